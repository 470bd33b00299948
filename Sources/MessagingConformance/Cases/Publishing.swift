import Messaging

extension Conformance {
    static let publishing: [ConformanceCase] = [retrySameID, idConflict, dedupeExpiry, unroutable, queueFull]

    private static let retrySameID = ConformanceCase(
        "pub.retrySameID",
        .publishing,
        "publishing an id again within the window adds nothing",
        requires: [.deduplication]
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        let message = Message(text: "once")
        try await stage.publish([message])
        let other = try await harness.makeQueue()
        let outcomes = try await other.publish([message, message], to: stage.name)
        for outcome in outcomes {
            guard case .duplicate = outcome else { throw ConformanceFailure("\(outcome), expected duplicate") }
        }
        let delivery = try await stage.takeOne(from: consumer)
        try await consumer.acknowledge(delivery)
        guard case .duplicate = try await stage.queue.publish(message, to: stage.name) else {
            throw ConformanceFailure("an acknowledged id was accepted again within the window")
        }
        try await stage.expectNothing(consumer)
    }

    private static let idConflict = ConformanceCase(
        "pub.idConflict",
        .publishing,
        "an id with another body is refused, and the first body stays",
        requires: [.idConflict]
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        let id = MessageID.make()
        try await stage.publish([Message(text: "first", id: id)])
        try await expectError(.idConflict, "publishing the id with another body") {
            try await stage.queue.publish(Message(text: "second", id: id), to: stage.name)
        }
        let delivery = try await stage.takeOne(from: consumer)
        try expectEqual(delivery.message.text, "first", "the body")
        try await consumer.acknowledge(delivery)
        try await stage.expectNothing(consumer)
    }

    private static let dedupeExpiry = ConformanceCase(
        "pub.dedupExpiry",
        .publishing,
        "an id may be published again after the window",
        requires: [.deduplication]
    ) { harness in
        let stage = try await Stage(harness) { $0.dedupeWindow = harness.timeUnit * 2 }
        let consumer = try await stage.consumer()
        let message = Message(text: "again")
        let before = harness.now
        try await stage.publish([message])
        let after = harness.now
        while true {
            try await harness.advance(by: stage.unit / 4)
            let late = harness.now - after - stage.unit * 2
            guard case .duplicate = try await stage.queue.publish(message, to: stage.name) else { break }
            try expect(late <= harness.tolerance, "it is a duplicate \(late) after the window")
        }
        let took = harness.now - before
        try expect(took >= stage.unit * 2 - .milliseconds(1), "it was accepted again after \(took)")
        let taken = try await stage.take(2, from: consumer)
        try expectEqual(taken.map(\.message.id), [message.id, message.id], "the ids")
        try await stage.settle(taken, by: consumer)
        try await stage.expectNothing(consumer)
    }

    private static let unroutable = ConformanceCase(
        "pub.unroutable",
        .publishing,
        "publishing to what was not declared fails and creates nothing"
    ) { harness in
        let queue = try await harness.makeQueue()
        let name = harness.uniqueName("missing")
        try await expectError(.notFound, "publishing to an unknown queue") {
            try await queue.publish([Message(text: "lost")], to: name)
        }
        try await expectError(.notFound, "consuming an unknown queue") {
            try await queue.consume(name, group: "workers", consumer: "c")
        }
        try await expectError(.notFound, "the figures of an unknown queue") { try await queue.statistics(of: name) }
        let capabilities = try await queue.capabilities()
        if capabilities[.deadLetters].isAvailable {
            try await expectError(.notFound, "the dead letters of an unknown queue") {
                try await queue.deadLetters(of: name, matching: .all, after: nil, limit: 10)
            }
            try await expectError(.notFound, "redriving on an unknown queue") {
                try await queue.redrive(["x"], of: name)
            }
            try await expectError(.notFound, "discarding on an unknown queue") {
                try await queue.discardDeadLetters(["x"], of: name)
            }
        }
        if capabilities[.scheduleList].isAvailable {
            try await expectError(.notFound, "the schedule of an unknown queue") {
                try await queue.scheduled(of: name, after: nil, limit: 10)
            }
            try await expectError(.notFound, "cancelling on an unknown queue") {
                try await queue.cancelScheduled(["x"], of: name)
            }
        }
        let definition = try await queue.definition(of: name)
        try expect(definition == nil, "publishing created a queue")
        try await queue.declare(QueueDefinition(name, groups: [GroupDefinition("workers")]))
        try await expectError(.notFound, "consuming an unknown group") {
            try await queue.consume(name, group: "others", consumer: "c")
        }
        try await queue.publish(Message(text: "kept"), to: name)
    }

    private static let queueFull = ConformanceCase(
        "pub.queueFull",
        .publishing,
        "a full queue refuses, and accepts again after one message is handled",
        requires: [.boundedQueue]
    ) { harness in
        let stage = try await Stage(harness) { $0.maxReady = 10 }
        let consumer = try await stage.consumer()
        try await stage.publish(10)
        let refused = Message(text: "one too many")
        try await expectError(.queueFull, "publishing to a full queue") {
            try await stage.queue.publish(refused, to: stage.name)
        }
        let delivery = try await stage.takeOne(from: consumer)
        try await consumer.acknowledge(delivery)
        // Refused means never published: the same id is no duplicate.
        try await stage.publish([refused])
        let taken = try await stage.take(10, from: consumer)
        try expect(taken.contains { $0.message.id == refused.id }, "the message did not come after all")
        try await stage.settle(taken, by: consumer)
        try await stage.expectNothing(consumer)
    }
}
