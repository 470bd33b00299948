import Messaging

extension Conformance {
    static let fidelity: [ConformanceCase] = [basic, bytes, headers, names, partialBatch, invalid]

    private static let basic = ConformanceCase(
        "rt.basic",
        .fidelity,
        "every message comes once, as it was published, on attempt 1"
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        let messages = (0..<100).map { index in
            Message(
                text: "body \(index)",
                key: index % 3 == 0 ? nil : "key-\(index)",
                headers: ["index": "\(index)"],
                contentType: index % 2 == 0 ? "text/plain" : nil
            )
        }
        try await stage.publish(messages)
        let taken = try await stage.take(100, from: consumer)
        let byID = Dictionary(taken.map { ($0.message.id, $0) }) { first, _ in first }
        try expectEqual(byID.count, 100, "the number of different messages")
        for message in messages {
            guard let delivery = byID[message.id] else { throw ConformanceFailure("\(message.id) did not come") }
            try expectEqual(delivery.message, message, "the message")
            try expectEqual(delivery.attempt, 1, "the attempt")
            try expectEqual(delivery.queue, stage.name, "the queue")
            try expectEqual(delivery.group, "workers", "the group")
            try expectEqual(delivery.redrives, 0, "the number of redrives")
            try expect(delivery.history.isEmpty, "there is a history on attempt 1")
        }
        try await stage.settle(taken, by: consumer)
        try await stage.expectNothing(consumer)
    }

    private static let bytes = ConformanceCase("rt.bytes", .fidelity, "a body is any bytes, none included") { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        var generator = SeededGenerator(seed: 1)
        let bodies: [[UInt8]] = [
            [], [0], Array(0...255), [0xFF, 0xFE, 0xC0, 0x80], Array("\r\n$3\r\n".utf8),
            (0..<65536).map { _ in UInt8.random(in: 0...255, using: &generator) },
        ]
        let messages = bodies.map { Message(body: $0) }
        try await stage.publish(messages)
        let taken = try await stage.take(bodies.count, from: consumer)
        for message in messages {
            let body = taken.first { $0.message.id == message.id }?.message.body
            try expect(body == message.body, "a body of \(message.body.count) bytes changed")
        }
    }

    private static let headers = ConformanceCase(
        "rt.headers",
        .fidelity,
        "header values are any bytes, names are compared byte by byte, or the message is refused"
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        var many = MessageHeaders()
        for index in 0..<64 { many["header-\(index)"] = "value \(index)" }
        var strange = MessageHeaders()
        let values: [(String, [UInt8])] = [
            ("empty", []), ("nul", [0]), ("lines", Array("a\r\nb".utf8)), ("high", [0xFF]), ("emoji", Array("🐟".utf8)),
            ("long", Array(repeating: 65, count: 8192)), ("Case", [1]), ("case", [2]), ("payload", [3]), ("id", [4]),
        ]
        for (name, value) in values { strange.set(name, value) }
        let messages = [Message(text: "many", headers: many), Message(text: "strange", headers: strange)]
        let outcomes = try await stage.queue.publish(messages, to: stage.name)
        let accepted = zip(messages, outcomes).filter { $0.1.isConfirmed }.map(\.0)
        let taken = try await stage.take(accepted.count, from: consumer)
        for message in accepted {
            let found = taken.first { $0.message.id == message.id }?.message.headers
            for header in message.headers {
                try expect(found?.bytes(header.name) == header.value, "the header '\(header.name)' changed")
            }
            try expectEqual(found?.map(\.name), message.headers.map(\.name), "the names of the headers, in order")
        }
        try await stage.settle(taken, by: consumer)
        try await stage.expectNothing(consumer)
    }

    private static let names = ConformanceCase(
        "rt.names",
        .fidelity,
        "a valid name works on every backend, an invalid one is refused when it is declared"
    ) { harness in
        let queue = try await harness.makeQueue()
        let base = harness.uniqueName("n")
        let valid = [base + ".a", base + "_a", base + "-a", base + ":a", base + "/a", base + "A"]
        for name in valid {
            try await queue.declare(QueueDefinition(name, groups: [GroupDefinition("g.1_x-y:z/0")]))
            try await queue.publish(Message(text: name), to: name)
        }
        for name in valid {
            let consumer = try await queue.consume(name, group: "g.1_x-y:z/0", consumer: "c.1_x-y:z/0")
            let end = harness.now + harness.timeUnit * 10
            var texts: [String?] = []
            while texts.isEmpty, harness.now < end {
                texts += try await consumer.receive(max: 10, wait: .zero).map(\.message.text)
                if texts.isEmpty { try await harness.advance(by: harness.timeUnit / 20) }
            }
            try expectEqual(texts, [name], "what queue '\(name)' holds")
        }
        for name in ["", " ", "a b", "{a}", "fish🐟", "-a", String(repeating: "a", count: 201)] {
            try await expectError(.invalidName, "declaring queue '\(name)'") {
                try await queue.declare(QueueDefinition(name))
            }
            try await expectError(.invalidName, "declaring group '\(name)'") {
                try await queue.declare(QueueDefinition(base, groups: [GroupDefinition(name)]))
            }
            try await expectError(.invalidName, "opening consumer '\(name)'") {
                try await queue.consume(valid[0], group: "g.1_x-y:z/0", consumer: name)
            }
        }
        let definition = try await queue.definition(of: base)
        try expect(definition == nil, "a refused declaration left a queue behind")
    }

    private static let partialBatch = ConformanceCase(
        "rt.partialBatch",
        .fidelity,
        "one message that is refused never fails its batch"
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        let limit = try await stage.queue.capabilities().maxBodyBytes
        var messages = (0..<100).map { Message(text: "\($0)") }
        let tooLarge = limit <= 128 << 20
        if tooLarge {
            messages[50].body = [UInt8](repeating: 0, count: limit + 1)
        } else {
            messages[50].headers = ["mq-id": "forged"]
        }
        let outcomes = try await stage.queue.publish(messages, to: stage.name)
        try expectEqual(outcomes.count, 100, "the number of outcomes")
        for (index, outcome) in outcomes.enumerated() {
            switch outcome {
            case .accepted where index != 50: break
            case .refused(let error) where index == 50:
                try expectEqual(error.code, tooLarge ? .tooLarge : .invalidArgument, "the refusal")
            default: throw ConformanceFailure("the outcome of message \(index) is \(outcome)")
            }
        }
        let taken = try await stage.take(99, from: consumer)
        try expectEqual(Set(taken.map(\.message.id)).count, 99, "the number of different messages")
        try expect(!taken.contains { $0.message.id == messages[50].id }, "the refused message came")
        try await stage.settle(taken, by: consumer)
        try await stage.expectNothing(consumer)
    }

    private static let invalid = ConformanceCase(
        "rt.invalid",
        .fidelity,
        "ids without 1 to 512 bytes and headers that begin with mq- are refused"
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        let longest = MessageID(String(repeating: "é", count: 256))
        let refused = [
            Message(text: "a", id: ""), Message(text: "b", id: MessageID(String(repeating: "é", count: 257))),
            Message(text: "c", headers: ["mq-anything": "x"]),
        ]
        for outcome in try await stage.queue.publish(refused, to: stage.name) {
            try expectEqual(outcome.error?.code, .invalidArgument, "the refusal")
            try expect(!outcome.isConfirmed, "an invalid message was accepted")
        }
        try await stage.publish([Message(text: "longest", id: longest)])
        let delivery = try await stage.takeOne(from: consumer)
        try expectEqual(delivery.message.id, longest, "the id")
        try await consumer.acknowledge(delivery)
        try await stage.expectNothing(consumer)
    }
}
