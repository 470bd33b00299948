import Messaging

extension Conformance {
    static let faultsInPublishing: [ConformanceCase] = [
        confirmed, ambiguous, notSent, cutSweep, brokerDown, retryAmbiguous,
    ]

    private static let confirmed = ConformanceCase(
        "pub.confirmed",
        .publishing,
        "what publish has confirmed is there, although its publisher is killed right after",
        tier: .fault
    ) { harness in
        let stage = try await FaultStage(harness)
        var children: [RecordedChild] = []
        // Each ends itself after its last message, when its client has had no time for anything else.
        for number in 0..<stage.repetitions(100) {
            let job = FaultChildJob(
                .publish,
                queue: stage.name,
                name: "\(stage.name)-p\(number)",
                count: 1 + number % 7
            )
            let child = try await stage.child(job)
            try await stage.wait(for: child, "its end") { $0.hasEnded }
            children.append(child)
        }
        let confirmed = children.flatMap { $0.ids(.published) }
        try expectEqual(confirmed.count, children.reduce(0) { $0 + $1.job.count }, "the number of confirmed messages")
        let consumer = try await stage.stage.consumer()
        let taken = try await stage.handle(confirmed.count, by: consumer, within: stage.recovery)
        try expectEqual(Set(taken.map(\.message.id.rawValue)), Set(confirmed), "what came")
        try await stage.stage.expectNothing(consumer, for: stage.lease)
    }

    private static let ambiguous = ConformanceCase(
        "pub.ambiguous",
        .publishing,
        "a publication whose answer was lost is indeterminate, neither confirmed nor refused",
        tier: .fault
    ) { harness in
        let stage = try await FaultStage(harness)
        let proxy = try await stage.faults.proxy()
        let remote = try await stage.remote()
        // The control arm: the same client and message without a fault.
        guard case .accepted = try await stage.outcome(stage.message(0), by: remote) else {
            throw ConformanceFailure("a publication through the proxy was not accepted")
        }
        for (number, fault) in [ProxyFault.cut(.replies, after: 0), .drop(.replies)].enumerated() {
            let (outcome, _) = try await stage.promptOutcome(under: fault, proxy, by: remote, number: 10 * number) {
                if case .indeterminate = $0 { true } else { false }
            }
            guard case .indeterminate = outcome else {
                throw ConformanceFailure("with \(fault) publishing said \(outcome), expected indeterminate")
            }
        }
        try await stage.publish(stage.message(3), by: remote)
        let consumer = try await stage.stage.consumer()
        let came = try await stage.drain(consumer, atLeast: 2)
        try expectEqual(Set(came).count, came.count, "the number of different messages")
        let needed = [stage.message(0).id, stage.message(3).id]
        try expect(needed.allSatisfy(came.contains), "what was confirmed did not come")
    }

    private static let notSent = ConformanceCase(
        "pub.notSent",
        .publishing,
        "a publication that was cut before its last byte is not there, and publish does not say that it is",
        tier: .fault
    ) { harness in
        let stage = try await FaultStage(harness)
        let proxy = try await stage.faults.proxy()
        let remote = try await stage.remote()
        let size = try await stage.size(of: stage.messages(0..<3), by: remote, proxy)
        let cuts = [0, 1, size.requestBytes / 2, size.requestBytes - 1]
        var there = stage.messages(0..<3)
        for (number, bytes) in cuts.enumerated() {
            let before = try await proxy.traffic().cuts
            let (outcome, more) = try await stage.promptOutcome(
                under: .cut(.requests, after: bytes),
                proxy,
                by: remote,
                number: 10 * number,
                isRight: { !$0.isConfirmed }
            )
            there += more
            try expect(try await proxy.traffic().cuts > before, "nothing was cut after \(bytes) bytes")
            if outcome.isConfirmed { throw ConformanceFailure("cut after \(bytes) bytes, publishing said \(outcome)") }
        }
        let consumer = try await stage.stage.consumer()
        let came = try await stage.drain(consumer, atLeast: there.count)
        try expectEqual(Set(came), Set(there.map(\.id)), "what came")
        try expectEqual(came.count, there.count, "how much came")
    }

    private static let cutSweep = ConformanceCase(
        "pub.cutSweep",
        .publishing,
        "wherever the exchange is cut, the outcome is true to what the broker holds",
        tier: .fault
    ) { harness in
        let stage = try await FaultStage(harness)
        let proxy = try await stage.faults.proxy()
        let remote = try await stage.remote()
        let size = try await stage.size(of: stage.messages(0..<3), by: remote, proxy)
        var generator = SeededGenerator(seed: 0x5EED)
        var points = [(FaultDirection.requests, size.requestBytes)]
        for _ in 0..<20 { points.append((.requests, Int.random(in: 0..<size.requestBytes, using: &generator))) }
        for _ in 0..<8 { points.append((.replies, Int.random(in: 0..<size.replyBytes, using: &generator))) }
        var certain = Set(stage.messages(0..<3).map(\.id))
        var possible = certain
        for (number, (direction, bytes)) in points.enumerated() {
            let before = stage.message(100 + number)
            try await stage.warm(remote, before)
            certain.insert(before.id)
            possible.insert(before.id)
            let message = stage.message(10 + number)
            switch try await stage.outcome(message, by: remote, cut: direction, after: bytes, proxy) {
            case .accepted:
                certain.insert(message.id)
                possible.insert(message.id)
            case .duplicate: throw ConformanceFailure("cut in the \(direction), a new id was a duplicate")
            case .indeterminate: possible.insert(message.id)
            case .refused: break
            }
        }
        let consumer = try await stage.stage.consumer()
        let came = try await stage.drain(consumer, atLeast: certain.count)
        try expectEqual(Set(came).count, came.count, "the number of different messages")
        try expect(certain.isSubset(of: came), "\(certain.subtracting(came).count) confirmed messages did not come")
        try expect(possible.isSuperset(of: came), "\(Set(came).subtracting(possible).count) refused messages came")
    }

    private static let brokerDown = ConformanceCase(
        "pub.brokerDown",
        .publishing,
        "without a broker publishing says unavailable in time, and the same client publishes when it is back",
        tier: .fault
    ) { harness in
        let stage = try await FaultStage(harness)
        let remote = try await stage.remote()
        let proxy = try await stage.faults.proxy()
        try await proxy.apply(.refuse)
        let name = stage.name
        // Before its connection knows, one call may be under way.
        _ = try await stage.outcome(stage.message(0), by: remote)
        let batches = (0..<20).map { number in stage.messages((10 + number * 50)..<(60 + number * 50)) }
        try await within("publishing without a broker", limit: stage.faults.patience + stage.recovery) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for batch in batches {
                    group.addTask {
                        do throws(QueueError) {
                            let outcomes = try await remote.publish(batch, to: name)
                            let wrong = outcomes.first {
                                $0.error?.code != .unavailable || $0.error?.isRetryable != true
                            }
                            if let wrong { throw QueueError(.brokerError, "publishing said \(wrong)") }
                        } catch {
                            try expectEqual(error.code, .unavailable, "the error without a broker (\(error.message))")
                            try expect(error.isRetryable, "the error without a broker cannot be tried again: \(error)")
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
        try await proxy.apply(.none)
        for number in 1..<4 { try await stage.publish(stage.message(number), by: remote) }
        let consumer = try await stage.stage.consumer()
        let came = try await stage.drain(consumer, atLeast: 3)
        try expectEqual(Set(came).subtracting([stage.message(0).id]), Set(stage.messages(1..<4).map(\.id)), "what came")
    }

    private static let retryAmbiguous = ConformanceCase(
        "pub.retryAmbiguous",
        .publishing,
        "an indeterminate publication that is made again with its id is there once",
        tier: .fault,
        requires: [.deduplication]
    ) { harness in
        let stage = try await FaultStage(harness)
        let proxy = try await stage.faults.proxy()
        let remote = try await stage.remote()
        let cuts: [ProxyFault] = [
            .cut(.replies, after: 0), .drop(.replies), .cut(.requests, after: 1), .drop(.requests),
        ]
        for (number, fault) in cuts.enumerated() {
            try await stage.warm(remote, stage.message(10 + number))
            try await proxy.apply(fault)
            let first = try await stage.outcome(stage.message(number), by: remote)
            try await proxy.apply(.none)
            try expect(!first.isConfirmed, "with \(fault) publishing said \(first)")
            try await stage.publish(stage.message(number), by: remote)
        }
        let consumer = try await stage.stage.consumer()
        let there = stage.messages(0..<cuts.count) + stage.messages(10..<(10 + cuts.count))
        let came = try await stage.drain(consumer, atLeast: there.count)
        try expectEqual(came.map(\.rawValue).sorted(), there.map(\.id.rawValue), "what came")
    }
}
