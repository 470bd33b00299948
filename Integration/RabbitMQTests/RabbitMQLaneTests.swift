import BrokerSupport
import Foundation
import Messaging
import MessagingRabbitMQ
import TestSupport
import Testing

/// What only a live broker shows of keyed queues.
@Suite(
    "RabbitMQ, lanes of keyed queues",
    .enabled(if: PrivateRabbitMQ.isInstalled, "rabbitmq-server is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(5))
)
struct RabbitMQLaneTests {
    private func keyed(maxAttempts: Int = 10) -> QueueDefinition {
        var definition = definition("keyed", maxAttempts: maxAttempts)
        definition.ordering = .keyed
        return definition
    }

    private func send(_ messages: [Message], to name: String, _ queue: RabbitMQQueue) async throws {
        let outcomes = try await queue.publish(messages, to: name)
        #expect(outcomes.count { $0.isConfirmed } == messages.count)
    }

    private func ready(_ server: PrivateRabbitMQ, _ queue: String) throws -> String {
        try server.ctl(["list_queues", "name", "messages", "--no-table-headers"])
            .split(separator: "\n").first { $0.hasPrefix("\(queue)\t") }.map { String($0.dropFirst(queue.count + 1)) }
            ?? ""
    }

    @Test func whoJoinsGetsLanesOfWhoIsBusy() async throws {
        let queue = try makeQueue(try SharedRabbitMQ.url())
        let definition = keyed()
        try await queue.declare(definition)
        let first = try await queue.consume(definition.name, group: "g", consumer: "first")
        let second = try await queue.consume(definition.name, group: "g", consumer: "second")
        var handled = [0, 0]
        var next: [String: Int] = [:]
        var published = 0
        let deadline = ContinuousClock.now + .seconds(30)
        // The first one is asked all the time and has every lane, until it finds that it is not alone.
        while handled[1] < 50, ContinuousClock.now < deadline {
            if published - handled.reduce(0, +) < 200 {
                try await send(
                    (0..<100).map { Message(text: "\(published / 20 + $0 / 20)", key: "key-\($0 % 20)") },
                    to: definition.name,
                    queue
                )
                published += 100
            }
            for (index, consumer) in [first, second].enumerated() {
                let deliveries = try await consumer.receive(max: 20, wait: .milliseconds(10))
                for delivery in deliveries {
                    let key = delivery.message.key ?? ""
                    #expect(delivery.message.text == "\(next[key, default: 0])", "the turn of \(key)")
                    #expect(delivery.attempt == 1, "a lane that changes hands is no attempt")
                    next[key, default: 0] += 1
                }
                try await consumer.acknowledge(all: deliveries)
                handled[index] += deliveries.count
            }
        }
        #expect(handled[1] >= 50 && handled[0] > 0, "\(handled)")
        await queue.close()
    }

    @Test func aRetryIsKeptByWhoComesNextAndNeighboursAreNotCounted() async throws {
        let server = try PrivateRabbitMQ()
        let queue = try makeQueue(server.url) { $0.lanes = 1 }
        let definition = keyed()
        try await queue.declare(definition)
        try await send(
            ["a1", "a2", "b1"].map { Message(text: $0, id: MessageID($0), key: String($0.prefix(1))) },
            to: definition.name,
            queue
        )
        let first = try await queue.consume(definition.name, group: "g", consumer: "first")
        let head = try #require(try await first.take(1).first)
        #expect(head.message.text == "a1")
        let start = ContinuousClock.now
        // Long enough for the lane to change hands first, also on a machine that stands still.
        let delay = Duration.seconds(8)
        try await first.settle(head, .retry(after: delay, error: "not yet"))
        await first.close()
        let second = try await queue.consume(definition.name, group: "g", consumer: "second")
        let other = try #require(try await second.take(1).first)
        #expect(other.message.text == "b1" && other.attempt == 1)
        try await second.acknowledge(other)
        let again = try #require(try await second.take(1).first)
        #expect(ContinuousClock.now - start >= delay - .milliseconds(5))
        #expect(again.message.text == "a1" && again.attempt == 2)
        #expect(again.history.map(\.error) == ["not yet"] && again.history.map(\.consumer) == ["first"])
        try await second.acknowledge(again)
        let last = try #require(try await second.take(1).first)
        #expect(last.message.text == "a2" && last.attempt == 1)
        try await second.acknowledge(last)
        await queue.close()
        // Notes go with what they are about.
        for part in ["notes", "lane@0"] {
            let isEmpty = try await eventually(within: .seconds(20)) {
                try ready(server, "mq.\(definition.name)@g@\(part)") == "0"
            }
            #expect(isEmpty, "\(part)")
        }
    }

    @Test func aMessageThatKillsItsConsumersIsBuriedAloneAndItsNeighboursAreHandled() async throws {
        let server = try PrivateRabbitMQ()
        let queue = try makeQueue(server.url) { $0.lanes = 1 }
        let definition = keyed(maxAttempts: 2)
        try await queue.declare(definition)
        let names = ["poison"] + (0..<10).map { "neighbour-\($0)" }
        try await send(names.map { Message(text: $0, id: MessageID($0), key: $0) }, to: definition.name, queue)
        let consumer = try await queue.consume(definition.name, group: "g", consumer: "c")
        var handled: [String] = []
        var deaths = 0
        let deadline = ContinuousClock.now + .seconds(60)
        while handled.count < 10, ContinuousClock.now < deadline {
            for delivery in try await consumer.receive(max: 20, wait: .milliseconds(500)) {
                let text = delivery.message.text ?? ""
                #expect(delivery.attempt <= 2)
                if text == "poison" {
                    deaths += 1
                    try server.ctl(["close_all_connections", "killed"])
                    break
                }
                try? await consumer.acknowledge(delivery)
                // Only those whose acknowledgement the broker has do not come again.
                if !handled.contains(text) { handled.append(text) }
            }
        }
        #expect(handled.sorted() == names.dropFirst().sorted())
        #expect(
            try await eventually(within: .seconds(10)) {
                try await queue.deadLetters(of: definition.name, matching: .all, after: nil, limit: 20)
                    .elements.map(\.message.id.rawValue) == ["poison"]
            }
        )
        let letter = try await queue.deadLetters(of: definition.name, matching: .all, after: nil, limit: 1)
        #expect(letter.elements.first?.reason == .attemptsExhausted)
        // Two that count, and one alone with a note.
        #expect((2...3).contains(deaths), "\(deaths)")
        await queue.close()
    }

    @Test func aConnectionThatDiesLosesNoTurn() async throws {
        let server = try PrivateRabbitMQ()
        let queue = try makeQueue(server.url)
        let definition = keyed()
        try await queue.declare(definition)
        let consumer = try await queue.consume(definition.name, group: "g", consumer: "c")
        let messages = (0..<200).map { Message(text: "\($0 / 10)", key: "key-\($0 % 10)") }
        try await send(messages, to: definition.name, queue)
        var done: [String: Int] = [:]
        var seen = 0
        let deadline = ContinuousClock.now + .seconds(60)
        while done.values.reduce(0, +) < 200, ContinuousClock.now < deadline {
            let deliveries = try await consumer.receive(max: 10, wait: .milliseconds(500))
            seen += 1
            if seen == 5 || seen == 10 { try server.ctl(["close_all_connections", "cut"]) }
            let outcomes = try await consumer.settle(deliveries.map { SettleRequest($0.receipt, .acknowledge) })
            for (delivery, outcome) in zip(deliveries, outcomes) {
                let (key, turn) = (delivery.message.key ?? "", Int(delivery.message.text ?? "") ?? -1)
                // What was acknowledged when the connection died may come again; nothing comes before its turn.
                #expect(turn <= done[key, default: 0], "the turn of \(key)")
                if outcome.error == nil { done[key] = max(done[key, default: 0], turn + 1) }
            }
        }
        #expect(done.values.allSatisfy { $0 == 20 } && done.count == 10, "\(done)")
        await queue.close()
        #expect(
            try await eventually(within: .seconds(20)) {
                try server.ctl(["list_connections", "name", "--no-table-headers"]).isEmpty
            }
        )
    }

    @Test func theNumberOfLanesIsFixed() async throws {
        let url = try SharedRabbitMQ.url()
        let queue = try makeQueue(url) { $0.lanes = 3 }
        let definition = keyed()
        try await queue.declare(definition)
        try await queue.declare(definition)
        let other = try makeQueue(url) { $0.lanes = 5 }
        let error = await #expect(throws: QueueError.self) { try await other.declare(definition) }
        #expect(error?.code == .topologyConflict && error?.message.contains("3 lanes, not 5") == true)
        // Who only uses the queue takes the lanes as they are.
        try await send((0..<30).map { Message(text: "\($0)", key: "\($0)") }, to: definition.name, other)
        let consumer = try await queue.consume(definition.name, group: "g", consumer: "c")
        let taken = try await consumer.take(30)
        #expect(Set(taken.compactMap(\.message.text)).count == 30)
        try await consumer.acknowledge(all: taken)
        await other.close()
        #expect(try await queue.deleteQueue(definition.name))
        await queue.close()
    }

    @Test func otherProgramsPublishToTheQueueAsEver() async throws {
        let url = try SharedRabbitMQ.url()
        let queue = try makeQueue(url)
        let definition = keyed()
        try await queue.declare(definition)
        let routed = try await Management(url).publish(
            Array("raw".utf8),
            to: "mq.\(definition.name)@g@lane@5",
            properties: ["headers": ["mq-key": "k"] as [String: any Sendable]]
        )
        #expect(routed)
        let consumer = try await queue.consume(definition.name, group: "g", consumer: "c")
        let delivery = try #require(try await consumer.take(1).first)
        #expect(delivery.message.text == "raw" && delivery.message.key == "k")
        try await consumer.acknowledge(delivery)
        await queue.close()
    }
}
