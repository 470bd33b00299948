import Messaging

extension Conformance {
    static let closing: [ConformanceCase] = [concurrentClose, leaks]

    /// What one of many concurrent calls did.
    private enum Act: Sendable {
        case published([Message], confirmed: Set<MessageID>, unknown: Set<MessageID>)
        case ended
    }

    private static let concurrentClose = ConformanceCase(
        "life.concurrentClose",
        .lifecycle,
        "closing while others publish and receive ends every call, and what was confirmed is there"
    ) { harness in
        for round in 0..<3 {
            let stage = try await Stage(harness)
            let old = try await stage.publish(20, prefix: "old")
            var consumers: [any QueueConsumer] = []
            for index in 0..<5 { consumers.append(try await stage.consumer("consumer-\(index)")) }
            var work: [@Sendable () async throws -> Act] = []
            for index in 0..<20 {
                let consumer = consumers[index % 5]
                work.append { try await publish(stage, prefix: "\(index)") }
                work.append { try await receive(consumer, stage) }
            }
            for consumer in consumers {
                work.append {
                    await consumer.close()
                    return .ended
                }
                work.append {
                    await stage.queue.close()
                    return .ended
                }
            }
            var generator = SeededGenerator(seed: UInt64(round))
            work.shuffle(using: &generator)
            let calls = work
            let acts = try await within("closing while others publish and receive") {
                try await withThrowingTaskGroup(of: Act.self) { group in
                    for call in calls { group.addTask { try await call() } }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
            }
            try await expectKept(old, acts, stage)
        }
    }

    private static func publish(_ stage: Stage, prefix: String) async throws -> Act {
        let messages = (0..<5).map { Message(text: "\(prefix)-\($0)") }
        do {
            var (confirmed, unknown) = (Set<MessageID>(), Set<MessageID>())
            for (message, outcome) in zip(messages, try await stage.queue.publish(messages, to: stage.name)) {
                switch outcome {
                case .accepted: confirmed.insert(message.id)
                // The request had left when the client was closed.
                case .indeterminate: unknown.insert(message.id)
                case .refused(let error) where error.code == .closed: break
                default: throw ConformanceFailure("publish beside close gave \(outcome)")
                }
            }
            return .published(messages, confirmed: confirmed, unknown: unknown)
        } catch let error as QueueError where error.code == .closed {
            return .published(messages, confirmed: [], unknown: [])
        }
    }

    private static func receive(_ consumer: any QueueConsumer, _ stage: Stage) async throws -> Act {
        try await untilClosed { _ = try await consumer.receive(max: 3, wait: stage.unit * 1000) }
        return .ended
    }

    /// Does the same over and over until it says that it was closed.
    private static func untilClosed(_ body: () async throws -> Void) async throws {
        while true {
            // A broken backend may never say so, and nobody waits any more.
            try Task.checkCancellation()
            let failure: any Error
            do {
                try await body()
                continue
            } catch {
                failure = error
            }
            guard let error = failure as? QueueError, error.code == .closed else { throw failure }
            return
        }
    }

    /// Checks with another client that all that was confirmed is there, and nothing that was not published.
    private static func expectKept(_ old: [Message], _ acts: [Act], _ stage: Stage) async throws {
        var (confirmed, unknown) = (Set(old.map(\.id)), Set<MessageID>())
        for case .published(_, let some, let others) in acts {
            confirmed.formUnion(some)
            unknown.formUnion(others)
        }
        let queue = try await stage.harness.makeQueue()
        let consumer = try await queue.consume(stage.name, group: "workers", consumer: "after")
        var missing = confirmed
        let end = stage.harness.now + stage.unit * 10 + stage.harness.tolerance
        while true {
            let batch = try await consumer.receive(max: 100, wait: .zero)
            for delivery in batch {
                let id = delivery.message.id
                try expect(
                    confirmed.contains(id) || unknown.contains(id),
                    "'\(Stage.text(delivery))' came, its publishing failed"
                )
                missing.remove(id)
                unknown.remove(id)
            }
            try await stage.settle(batch, by: consumer)
            if batch.isEmpty {
                if missing.isEmpty { break }
                try expect(
                    stage.harness.now < end,
                    "\(missing.count) of \(confirmed.count) confirmed messages did not come"
                )
                try await stage.harness.advance(by: stage.step)
            }
        }
        // Nothing is left in the hands of those that were closed.
        let figures = try await queue.statistics(of: stage.name)["workers"]
        if figures?.inFlight.grade == .exact { try expectEqual(figures?.inFlight.value, 0, "what is in flight") }
        await queue.close()
    }

    private static let leaks = ConformanceCase(
        "life.leaks",
        .lifecycle,
        "clients and consumers that come and go leave none of themselves behind"
    ) { harness in
        let stage = try await Stage(harness)
        let messages = try await stage.publish(50)
        var handled: [MessageID] = []
        for turn in 0..<50 {
            // Every other turn with a client of its own.
            let queue = turn.isMultiple(of: 2) ? stage.queue : try await harness.makeQueue()
            let consumer = try await queue.consume(stage.name, group: "workers", consumer: "consumer-\(turn)")
            let delivery = try await stage.takeOne(from: consumer)
            handled.append(delivery.message.id)
            try await consumer.acknowledge(delivery)
            if let figure = try await stage.queue.statistics(of: stage.name)["workers"]?.consumers,
                figure.grade == .exact
            {
                // The control arm: a consumer that is open counts.
                try expectEqual(figure.value, 1, "the number of consumers in turn \(turn)")
            }
            await consumer.close()
            if !turn.isMultiple(of: 2) { await queue.close() }
        }
        try expectEqual(Set(handled), Set(messages.map(\.id)), "what was handled")
        let figures = try await stage.queue.statistics(of: stage.name)["workers"]
        if figures?.consumers.grade == .exact {
            try expectEqual(figures?.consumers.value, 0, "the number of consumers")
        }
        try await stage.expectFigures(ready: 0, inFlight: 0, delayed: 0, dead: 0)
        let last = try await stage.consumer("last")
        try await stage.expectNothing(last)
    }
}
