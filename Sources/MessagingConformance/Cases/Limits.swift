import Messaging

extension Conformance {
    static let limits: [ConformanceCase] = [limit, mixedSizes, foreign, largeBatch]

    /// Bytes without a pattern that a backend could repeat by chance.
    private static func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        let chunk = (0..<min(count, 4099)).map { _ in UInt8.random(in: 0...255, using: &generator) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count { bytes += chunk.prefix(count - bytes.count) }
        return bytes
    }

    private static let limit = ConformanceCase(
        "rt.limit",
        .fidelity,
        "the largest body comes as it was, one byte more is refused, and the client goes on"
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        let limit = try await stage.queue.capabilities().maxBodyBytes
        try expect(limit > 0, "the largest body is said to have \(limit) bytes")
        if limit > 128 << 20 { throw NotPossible("a body of more than \(limit) bytes is too large to be tried") }
        var messages: [Message] = []
        // Control: what is refused below is refused for its last byte only.
        if limit <= 8 << 20 { messages.append(Message(body: bytes(limit, seed: 11))) }
        try await stage.publish(messages)
        let tooLarge = Message(body: bytes(limit + 1, seed: 12))
        try await expectError(.tooLarge, "publishing \(limit + 1) bytes") {
            try await stage.queue.publish(tooLarge, to: stage.name)
        }
        messages += try await stage.publish(1, prefix: "next")
        let taken = try await stage.take(messages.count, from: consumer)
        for message in messages {
            let found = taken.first { $0.message.id == message.id }
            try expect(found?.message.body == message.body, "a body of \(message.body.count) bytes changed")
        }
        try await stage.settle(taken, by: consumer)
        try await stage.expectNothing(consumer)
        try await stage.expectFigures(ready: 0, inFlight: 0)
    }

    private static let mixedSizes = ConformanceCase(
        "rt.mixedSizes",
        .fidelity,
        "large bodies among many small ones all come, and keep the order of their keys where keys have one",
        tier: .full
    ) { harness in
        let probe = try await harness.makeQueue()
        let capabilities = try await probe.capabilities()
        let isKeyed = capabilities[.keyedOrder].isAvailable
        let stage = try await Stage(harness) { if isKeyed { $0.ordering = .keyed } }
        let consumers = [try await stage.consumer("consumer-1"), try await stage.consumer("consumer-2")]
        let large = min(1 << 20, capabilities.maxBodyBytes)
        let messages = (0..<1016).map { index in
            let size = index % 64 == 63 || index == 1015 ? large : min(100, large)
            return Message(
                body: bytes(size, seed: UInt64(index)),
                key: "key-\(index % 8)",
                headers: ["turn": "\(index / 8)"]
            )
        }
        for start in stride(from: 0, to: messages.count, by: 127) {
            try await stage.publish(Array(messages[start..<min(start + 127, messages.count)]))
        }
        let bodies = Dictionary(messages.map { ($0.id, $0.body) }) { first, _ in first }
        var seen = Set<MessageID>()
        var turns: [String: Int] = [:]
        while seen.count < messages.count {
            for consumer in consumers where seen.count < messages.count {
                var batch = try await consumer.receive(max: 20, wait: .zero)
                if batch.isEmpty { batch = try await stage.take(1, from: consumer) }
                for delivery in batch {
                    let message = delivery.message
                    try expect(seen.insert(message.id).inserted, "\(message.id) came twice")
                    try expect(bodies[message.id] == message.body, "a body of \(message.body.count) bytes changed")
                    let key = message.key ?? ""
                    if isKeyed {
                        try expectEqual(message.headers["turn"], "\(turns[key, default: 0])", "the turn of \(key)")
                    }
                    turns[key, default: 0] += 1
                }
                try await stage.settle(batch, by: consumer)
            }
        }
        try await stage.expectNothing(consumers[0])
        try await stage.expectFigures(ready: 0, inFlight: 0)
    }

    private static let foreign = ConformanceCase(
        "rt.foreign",
        .fidelity,
        "what another program has written comes raw or is an undecodable dead letter, and the next message flows"
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        let body = [0xFF, 0x00] + Array("\r\nforeign".utf8)
        guard try await harness.injectForeign(body: body, into: stage.name) else {
            throw NotPossible("the harness has no client that knows nothing of this library")
        }
        let next = try await stage.publish(1, prefix: "next")[0]
        // The next message comes in either case.
        var taken = [try await stage.takeOne(from: consumer)]
        if taken[0].message.id != next.id {
            try expectEqual(taken[0].message.body, body, "the body of the foreign message")
            try expectEqual(taken[0].attempt, 1, "its attempt")
            try expect(!taken[0].message.id.rawValue.isEmpty, "it has no id")
            taken.append(try await stage.takeOne(from: consumer))
            try expectEqual(taken[1].message, next, "the next message")
            // It is handled as any other: a retry keeps it, with the attempt counted.
            try await consumer.settle(taken[0], .retry(after: .zero, error: "once more"))
            let again = try await stage.takeOne(from: consumer)
            try expectEqual(again.message.id, taken[0].message.id, "the id of the foreign message")
            try expectEqual(again.message.body, body, "the body of the foreign message")
            try expectEqual(again.attempt, 2, "its attempt")
            try await stage.settle([again, taken[1]], by: consumer)
        } else {
            let letter = try await stage.deadLetter()
            try expectEqual(letter.reason, .undecodable, "the reason")
            try await stage.settle(taken, by: consumer)
        }
        try await stage.expectNothing(consumer)
        try await stage.expectFigures(ready: 0, inFlight: 0)
    }

    private static let largeBatch = ConformanceCase(
        "pub.large",
        .publishing,
        "thousands of messages in one call have their outcomes in order, whatever becomes of some",
        tier: .full
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        var messages = (0..<5000).map { Message(text: "\($0)") }
        let recognises = try await stage.queue.capabilities()[.deduplication].isAvailable
        let known = recognises ? stride(from: 0, to: 5000, by: 97).map { $0 } : []
        try await stage.publish(known.map { messages[$0] })
        for index in stride(from: 50, to: 5000, by: 250) { messages[index].headers = ["mq-forged": "x"] }
        let outcomes = try await stage.queue.publish(messages, to: stage.name)
        try expectEqual(outcomes.count, messages.count, "the number of outcomes")
        let duplicates = Set(known)
        var expected = Set(known.map { messages[$0].id })
        for (index, outcome) in outcomes.enumerated() {
            switch outcome {
            case .refused(let error) where index % 250 == 50:
                try expectEqual(error.code, .invalidArgument, "the refusal of message \(index)")
            case .duplicate where duplicates.contains(index) && index % 250 != 50: break
            case .accepted where !duplicates.contains(index) && index % 250 != 50:
                expected.insert(messages[index].id)
            default: throw ConformanceFailure("the outcome of message \(index) is \(outcome)")
            }
        }
        let taken = try await stage.take(expected.count, from: consumer)
        try expectEqual(Set(taken.map(\.message.id)), expected, "what came")
        for start in stride(from: 0, to: taken.count, by: 500) {
            try await stage.settle(Array(taken[start..<min(start + 500, taken.count)]), by: consumer)
        }
        try await stage.expectNothing(consumer)
    }
}
