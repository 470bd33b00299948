import Messaging

extension Conformance {
    static let deadLetters: [ConformanceCase] = [reason, poison, inspect, redrive, discardLetters]

    private static let reason = ConformanceCase(
        "dlq.reason",
        .deadLetters,
        "a dead letter has its message, group, reason, error, attempts and history",
        requires: [.deadLetters]
    ) { harness in
        let stage = try await Stage(harness) { $0.groups[0].maxAttempts = 3 }
        let consumer = try await stage.consumer()
        let message = Message(
            body: [0, 255, 10],
            key: "k",
            headers: ["a": "b"],
            contentType: "application/octet-stream"
        )
        try await stage.publish([message])
        for attempt in 1...3 {
            let delivery = try await stage.takeOne(from: consumer)
            try expectEqual(delivery.attempt, attempt, "the attempt")
            try await consumer.settle(delivery, .retry(after: .zero, error: "failure \(attempt)"))
        }
        try await stage.expectQuiet(consumer)
        let letter = try await stage.deadLetter()
        try expectEqual(letter.message, message, "the message")
        try expectEqual(letter.queue, stage.name, "the queue")
        try expectEqual(letter.group, "workers", "the group")
        try expectEqual(letter.reason, .attemptsExhausted, "the reason")
        try expectEqual(letter.error, "failure 3", "the last error")
        try expectEqual(letter.attempts, 3, "the attempts")
        try expectEqual(letter.history.map(\.error), (1...3).map { "failure \($0)" }, "the history")
        try expect(letter.failedAt != nil, "there is no time of failure")
        try await stage.expectFigures(ready: 0, inFlight: 0, delayed: 0, dead: 1)
    }

    private static let poison = ConformanceCase(
        "dlq.poison",
        .deadLetters,
        "a message that is rejected on attempt 1 is a dead letter, and the next one flows",
        requires: [.deadLetters]
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        try await stage.publish(2)
        let taken = try await stage.take(2, from: consumer)
        let own = DeadLetterReason(rawValue: "not-json")
        let error = "line 1: not JSON" + String(repeating: " é", count: 400)
        try await consumer.settle(taken[0], .reject(reason: own, error: error))
        try await consumer.acknowledge(taken[1])
        let letter = try await stage.deadLetter()
        try expectEqual(letter.message.id, taken[0].message.id, "the message")
        try expectEqual(letter.reason, own, "the reason")
        try expectEqual(letter.error, error, "the error")
        try expectEqual(letter.attempts, 1, "the attempts")
        try await stage.expectNothing(consumer)
    }

    private static let inspect = ConformanceCase(
        "dlq.inspect",
        .deadLetters,
        "listing dead letters in pages and by filter changes nothing",
        requires: [.deadLetters]
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        let messages = try await stage.publish(20)
        for delivery in try await stage.take(20, from: consumer) {
            let isEven = Stage.text(delivery).last?.wholeNumberValue?.isMultiple(of: 2) == true
            let reason: DeadLetterReason = isEven ? .rejected : .attemptsExhausted
            try await consumer.settle(delivery, .reject(reason: reason, error: "Error of \(Stage.text(delivery))"))
        }
        try await stage.expectFigures(ready: 0, inFlight: 0, dead: 20)
        for page in [1, 7, 20, 1000] {
            let letters = try await stage.deadLetters(page: page)
            try expectEqual(Set(letters.map(\.message.id)), Set(messages.map(\.id)), "pages of \(page)")
            try expectEqual(letters.count, 20, "the number of dead letters in pages of \(page)")
        }
        let counts: [(DeadLetterFilter, Int)] = [
            (DeadLetterFilter(reason: .rejected), 10), (DeadLetterFilter(group: "workers"), 20),
            (DeadLetterFilter(group: "others"), 0), (DeadLetterFilter(errorContains: "ERROR OF M-7"), 1),
            (DeadLetterFilter(reason: .rejected, errorContains: "m-7"), 0),
            (DeadLetterFilter(messageID: messages[3].id), 1),
        ]
        for (filter, count) in counts {
            try expectEqual(try await stage.deadLetters(filter).count, count, "the number of \(filter)")
        }
        try await stage.expectNothing(consumer)
        try await stage.expectFigures(ready: 0, inFlight: 0, delayed: 0, dead: 20)
    }

    private static let redrive = ConformanceCase(
        "dlq.redrive",
        .deadLetters,
        "redriven messages come to their group once, on attempt 1, with their history",
        requires: [.deadLetters]
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        let other = try await stage.otherGroup()
        try await stage.publish(20)
        if let other { try await stage.settle(try await stage.take(20, from: other), by: other) }
        for (index, delivery) in try await stage.take(20, from: consumer).enumerated() {
            try await consumer.settle(
                delivery,
                .reject(reason: .rejected, error: index < 10 ? "first half" : "second half")
            )
        }
        let letters = try await stage.deadLetters(DeadLetterFilter(errorContains: "first"))
        try expectEqual(letters.count, 10, "the number of dead letters that match")
        let ids = letters.map(\.id)
        let sent = try await stage.queue.redrive(ids + ["unknown"], of: stage.name)
        try expectEqual(Set(sent), Set(ids), "what was sent")
        let again = try await stage.queue.redrive(ids, of: stage.name)
        try expectEqual(again, [], "what was sent the second time")
        let taken = try await stage.take(10, from: consumer)
        try expectEqual(Set(taken.map(\.message.id)), Set(letters.map(\.message.id)), "what came")
        for delivery in taken {
            try expectEqual(delivery.attempt, 1, "the attempt")
            try expectEqual(delivery.redrives, 1, "the number of redrives")
            try expectEqual(delivery.history.map(\.error), ["first half"], "the history")
        }
        try await stage.expectFigures(ready: 0, inFlight: 10, dead: 10)
        if other != nil { try await stage.expectFigures(group: "others", ready: 0, inFlight: 0, dead: 0) }
        // Once more through the dead letters: the history and the number of redrives go on.
        try await consumer.settle(taken[0], .reject(reason: .rejected, error: "third"))
        let letter = try await stage.deadLetter(DeadLetterFilter(errorContains: "third"))
        try expectEqual(letter.history.map(\.error), ["first half", "third"], "the history of the dead letter")
        _ = try await stage.queue.redrive([letter.id], of: stage.name)
        let last = try await stage.takeOne(from: consumer)
        try expectEqual(last.redrives, 2, "the number of redrives")
        try await stage.settle(Array(taken.dropFirst()) + [last], by: consumer)
        try await stage.expectNothing(consumer)
        // The other group gets the sentinel alone.
        guard let other else { return }
        let sentinel = try await stage.takeOne(from: other)
        try expectEqual(Stage.text(sentinel), "sentinel", "what the other group got")
    }

    private static let discardLetters = ConformanceCase(
        "dlq.discard",
        .deadLetters,
        "discarded dead letters are gone, the others stay",
        requires: [.deadLetters]
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        try await stage.publish(4)
        let taken = try await stage.take(4, from: consumer)
        for delivery in taken {
            try await consumer.settle(delivery, .reject(reason: .rejected, error: nil))
            try await harness.advance(by: stage.step)
        }
        let letters = try await stage.deadLetters(page: 3)
        try expectEqual(letters.map(\.message.id), taken.map(\.message.id), "the dead letters, oldest first")
        let gone = letters.prefix(3).map(\.id)
        let removed = try await stage.queue.discardDeadLetters(gone + ["unknown"], of: stage.name)
        try expectEqual(Set(removed), Set(gone), "what was removed")
        try expectEqual(try await stage.deadLetter().id, letters[3].id, "what is left")
        let again = try await stage.queue.redrive(gone, of: stage.name)
        try expectEqual(again, [], "what was sent of the removed ones")
        try await stage.expectFigures(ready: 0, inFlight: 0, dead: 1)
        try await stage.expectNothing(consumer)
    }
}
