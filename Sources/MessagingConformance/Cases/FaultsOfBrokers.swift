import Messaging

extension Conformance {
    static let faultsOfBrokers: [ConformanceCase] = [restart, kill9Broker, blackhole, readOnly, chaos]

    private static let restart = ConformanceCase(
        "fault.restart",
        .lifecycle,
        "the broker is restarted under load: everything confirmed is handled, and the same clients go on",
        tier: .fault
    ) { harness in try await breakDown(harness, .stop) }

    private static let kill9Broker = ConformanceCase(
        "fault.kill9Broker",
        .lifecycle,
        "the broker is killed under load: no more is lost than the backend's durability says",
        tier: .fault
    ) { harness in try await breakDown(harness, .kill) }

    /// Takes the broker down twice under load.
    private static func breakDown(_ harness: any ConformanceHarness, _ change: BrokerChange) async throws {
        let stage = try await FaultStage(harness)
        let load = try await FaultLoad(stage, publishers: 4, consumers: 4)
        var kills: [ClosedRange<Duration>] = []
        do {
            try await load.expectFlow(40, "at first", within: stage.recovery)
            for _ in 0..<2 {
                let asked = harness.now
                try await stage.faults.broker(change)
                kills.append(asked...max(asked, harness.now))
                try await Task.sleep(for: .milliseconds(100))
                try await stage.faults.broker(.start)
                try await load.expectFlow(40, "after the broker came back", within: stage.recovery)
            }
            try await load.stop()
        } catch {
            load.abandon()
            throw error
        }
        let consumer = try await stage.consumer("judge")
        _ = try await stage.drain(consumer)
        await consumer.close()
        guard case .window(let window) = try await stage.stage.queue.capabilities().durability, change == .kill else {
            // Whatever was confirmed and is not there breaks the law of conservation.
            return
        }
        let left = try await stage.stage.queue.statistics(of: stage.name)["workers"]?.lag.value ?? 0
        try expectEqual(left, 0, "what is left")
        let lost = Set(load.confirmed.keys).subtracting(load.handled).subtracting(stage.history.handled)
        let excused = lost.filter { id in
            load.confirmed[id].map { time in
                kills.contains { time.overlaps(($0.lowerBound - window)...($0.upperBound + window)) }
            } ?? false
        }
        try expectEqual(
            lost.count - excused.count,
            0,
            "what was lost and confirmed longer before a kill than \(window)"
        )
        // What the backend says that a crash loses cannot be accounted for.
        if !lost.isEmpty { stage.history.noteForeign(stage.name) }
    }

    private static let blackhole = ConformanceCase(
        "fault.blackhole",
        .leases,
        "silence is noticed in time; afterwards the client goes on, and owns nothing that others have got",
        tier: .fault,
        requires: [.fencedSettle]
    ) { harness in
        let stage = try await FaultStage(harness)
        let proxy = try await stage.faults.proxy()
        let remote = try await stage.remote()
        let far = try await remote.consume(stage.name, group: "workers", consumer: "far")
        try await stage.stage.publish(stage.messages(0..<3))
        let held = try await stage.stage.take(3, from: far)
        for directions in [Set<FaultDirection>([.requests, .replies]), [.replies]] {
            try await proxy.apply(.silence(directions))
            let number = 10 + directions.count
            let outcome = try await stage.outcome(stage.message(number), by: remote)
            if outcome.isConfirmed {
                throw ConformanceFailure("in silence of \(directions) publishing said \(outcome)")
            }
            let receiving = Task { try await far.receive(max: 1, wait: stage.stage.step) }
            _ = try await within("receiving in silence", limit: stage.faults.patience * 2 + stage.recovery) {
                try? await receiving.value
            }
            try await proxy.apply(.none)
            try await stage.publish(stage.message(number), by: remote)
        }
        let near = try await stage.stage.consumer("near")
        var came: [MessageID: Int] = [:]
        let end = harness.now + stage.lease + stage.recovery
        while came.count < 5, harness.now < end {
            let asked = harness.now
            for delivery in try await near.receive(max: 10, wait: .zero) {
                came[delivery.message.id] = delivery.attempt
                try await stage.stage.timely(since: asked, stage.lease) { try await near.acknowledge(delivery) }
            }
            try await harness.advance(by: stage.stage.step)
        }
        for delivery in held {
            try expectEqual(came[delivery.message.id], 2, "the attempt of what was held in the silence")
            let code = try await stage.refusal(of: delivery, .acknowledge, by: far)
            try expectEqual(code, .leaseLost, "the error of a late acknowledgement")
        }
        // The same consumer, on a connection that works.
        await near.close()
        try await stage.publish(stage.message(50), by: remote)
        let ids = try await stage.drain(far, atLeast: 1)
        try expect(ids.contains(stage.message(50).id), "the consumer got nothing after the silence")
    }

    private static let readOnly = ConformanceCase(
        "fault.readOnly",
        .publishing,
        "a broker that takes nothing new refuses so that it can be tried again; then the same id is new",
        tier: .fault
    ) { harness in
        let stage = try await FaultStage(harness)
        let consumer = try await stage.stage.consumer()
        try await stage.publish(stage.message(0), by: stage.stage.queue)
        try await stage.faults.broker(.refuseWrites)
        let refused = [stage.message(1), stage.message(2)]
        for message in refused {
            guard case .refused(let error) = try await stage.outcome(message, by: stage.stage.queue) else {
                throw ConformanceFailure("a broker that takes nothing new accepted a message")
            }
            try expectEqual(error.code, .unavailable, "the error (\(error.message))")
            try expect(error.isRetryable, "the error cannot be tried again: \(error)")
        }
        try await stage.faults.broker(.acceptWrites)
        for message in refused {
            let end = ContinuousClock.now + stage.recovery
            while true {
                let outcome = try await stage.outcome(message, by: stage.stage.queue)
                if case .accepted = outcome { break }
                // A broker may need a moment until it takes something again.
                guard case .refused(let error) = outcome, error.isRetryable, ContinuousClock.now < end else {
                    throw ConformanceFailure("a refused message was not accepted afterwards: \(outcome)")
                }
                try await harness.advance(by: stage.stage.step)
            }
        }
        let came = try await stage.drain(consumer, atLeast: 3)
        try expectEqual(came.map(\.rawValue).sorted(), stage.messages(0..<3).map(\.id.rawValue), "what came")
    }

    private static let chaos = ConformanceCase(
        "fault.chaos",
        .lifecycle,
        "random work under random faults keeps every law of the history",
        tier: .fault
    ) { harness in
        let seed = harness.faults?.chaosSeed ?? .random(in: 0 ... .max)
        do {
            try await FaultChaos(harness, seed: seed).run()
        } catch let reason as NotPossible {
            throw reason
        } catch let slow as TooSlow {
            throw slow
        } catch {
            throw ConformanceFailure("with seed \(seed): \(error)")
        }
    }
}
