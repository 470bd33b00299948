import Messaging

extension Conformance {
    static let positions: [ConformanceCase] = [trimmed, deleted]

    private static let trimmed = ConformanceCase(
        "group.trimmed",
        .groups,
        "a replay from a time gets everything since then, or is refused and creates nothing",
        requires: [.replay, .fanOut]
    ) { harness in
        // What the retention leaves is removed when the backend gets to it: until then a replay gets everything.
        for round in 0..<8 {
            let stage = try await Stage(harness) {
                $0.groups[0].lease = harness.timeUnit * 2
                $0.retention = harness.timeUnit
            }
            let consumer = try await stage.consumer()
            let messages = try await stage.publish(5)
            let taken = try await stage.take(5, from: consumer)
            guard let time = taken.compactMap(\.publishedAt).min() else {
                throw ConformanceFailure("no delivery says when it was published")
            }
            try await stage.settle(taken, by: consumer)
            try await harness.advance(by: stage.unit * (2 << round))
            // Some backends look after what is old when there is something to do anyway.
            for _ in 0..<2 {
                let trigger = try await stage.publish(1, prefix: "trigger")
                try await stage.settle(try await stage.take(trigger.count, from: consumer), by: consumer)
            }
            var late = QueueDefinition(stage.name, groups: [GroupDefinition("late", start: .at(time))])
            late.retention = harness.timeUnit
            do {
                try await stage.queue.declare(late)
            } catch let error as QueueError {
                try expectEqual(error.code, .positionTrimmed, "the error")
                let found = try await stage.queue.definition(of: stage.name)
                try expectEqual(found?.groups.map(\.name), ["workers"], "the groups after a refusal")
                // What is certainly complete can still be replayed.
                late.groups[0].start = .latest
                try await stage.queue.declare(late)
                let new = try await stage.publish(1, prefix: "new")
                let member = try await stage.consumer(group: "late")
                try expectEqual(try await stage.takeOne(from: member).message.id, new[0].id, "what came next")
                return
            }
            let member = try await stage.consumer(group: "late")
            let replayed = try await stage.take(7, from: member)
            let missing = Set(messages.map(\.id)).subtracting(replayed.map(\.message.id))
            try expect(missing.isEmpty, "\(missing.count) of 5 messages are missing from a replay that was not refused")
        }
        throw ConformanceFailure("nothing was ever removed, long after the retention")
    }

    private static let deleted = ConformanceCase(
        "group.deleted",
        .groups,
        "a queue is deleted with all it has: its users are told, and one of the same name begins empty",
        requires: [.deletion]
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        let messages = try await stage.publish(3)
        let held = try await stage.takeOne(from: consumer)
        let other = try await harness.makeQueue()
        try expect(try await other.deleteQueue(stage.name), "deleting says that there was no such queue")
        try expect(try await !other.deleteQueue(stage.name), "deleting it again says that there was one")
        let listed = try await other.queues()
        try expect(!listed.contains(stage.name), "a deleted queue is listed")
        try expect(try await other.definition(of: stage.name) == nil, "a deleted queue has a definition")
        let settled = try? await consumer.settle([SettleRequest(held.receipt, .acknowledge)])
        if case .settled? = settled?.first { throw ConformanceFailure("a delivery of a deleted queue was settled") }
        // Told on the next call, or after the time in which a backend looks at what it knows.
        let end = ContinuousClock.now + .seconds(15)
        while true {
            do {
                let taken = try await consumer.receive(max: 1, wait: .milliseconds(500))
                try expect(taken.isEmpty, "a delivery came from a deleted queue")
            } catch let error as QueueError {
                try expect(
                    error.code == .topologyLost || error.code == .notFound,
                    "the error is \(error.code), expected topology-lost or not-found"
                )
                break
            }
            try expect(ContinuousClock.now < end, "the consumer was not told that its queue is gone")
        }
        try await expectError(.notFound, "publishing to what is gone") {
            try await stage.queue.publish(Message(text: "lost"), to: stage.name)
        }
        // And it can be made again: nothing of the old one is left, not even the ids.
        let again = QueueDefinition(stage.name, groups: [GroupDefinition("workers", lease: Stage.longLease(harness))])
        try await stage.queue.declare(again)
        try await stage.expectFigures(ready: 0, inFlight: 0, delayed: 0, dead: 0)
        let next = try await stage.consumer("consumer-2")
        let message = Message(text: "again", id: messages[0].id)
        try await stage.publish([message])
        try await next.acknowledge(try await stage.takeOne(from: next))
        try await stage.expectNothing(next, for: stage.unit)
        await consumer.close()
    }
}
