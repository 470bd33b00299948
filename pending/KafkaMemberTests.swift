import BrokerSupport
import Foundation
import Messaging
import MessagingKafka
import TestSupport
import Testing

@Suite(
    "Members of a Kafka group",
    .enabled(if: PrivateKafka.isInstalled, "noida-db is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(5))
)
struct KafkaMemberTests {
    private func open(_ server: PrivateKafka, _ options: String = "") throws -> KafkaQueue {
        KafkaQueue(try KafkaConfiguration(url: server.url + options), logger: silent)
    }

    private func take(_ count: Int, from consumer: any QueueConsumer) async throws -> [Delivery] {
        var taken: [Delivery] = []
        let deadline = ContinuousClock.now + .seconds(30)
        while taken.count < count, ContinuousClock.now < deadline {
            taken += try await consumer.receive(max: min(500, count - taken.count), wait: .seconds(1))
        }
        return taken
    }

    @Test("members that join, leave and are dropped lose nothing, and repeat only what was in flight")
    func churn() async throws {
        let server = try PrivateKafka()
        let producer = try open(server)
        try await producer.declare(QueueDefinition("work", groups: [GroupDefinition("g")]))
        let messages = (0..<600).map { Message(text: "\($0)", key: "\($0 % 50)") }
        let handled = Handled()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for start in stride(from: 0, to: messages.count, by: 20) {
                    for outcome in try await producer.publish(Array(messages[start..<start + 20]), to: "work") {
                        #expect(outcome.isConfirmed)
                    }
                    try await Task.sleep(for: .milliseconds(50))
                }
            }
            for member in 0..<3 {
                group.addTask {
                    // Each comes and goes some times while messages flow.
                    for round in 0..<3 {
                        let client = try self.open(server)
                        let consumer = try await client.consume("work", group: "g", consumer: "\(member)-\(round)")
                        let end = ContinuousClock.now + .milliseconds(700 + 200 * member)
                        while ContinuousClock.now < end {
                            for delivery in try await consumer.receive(max: 5, wait: .milliseconds(100)) {
                                await handled.add(delivery.message.id)
                                _ = try await consumer.settle([SettleRequest(delivery.receipt, .acknowledge)])
                            }
                        }
                        await client.close()
                    }
                }
            }
            try await group.waitForAll()
        }
        let last = try await producer.consume("work", group: "g", consumer: "last")
        let deadline = ContinuousClock.now + .seconds(30)
        while await handled.ids.count < messages.count, ContinuousClock.now < deadline {
            for delivery in try await last.receive(max: 100, wait: .milliseconds(500)) {
                await handled.add(delivery.message.id)
                _ = try await last.settle([SettleRequest(delivery.receipt, .acknowledge)])
            }
        }
        #expect(await handled.ids == Set(messages.map(\.id)))
        // Each of nine departures may repeat what one call had taken.
        #expect(await handled.repeats <= 9 * 5)
        await producer.close()
    }

    private actor Handled {
        private(set) var ids: Set<MessageID> = []
        private(set) var repeats = 0

        func add(_ id: MessageID) { if !ids.insert(id).inserted { repeats += 1 } }
    }

    @Test("what every group has finished is removed, what one still needs stays")
    func retention() async throws {
        let server = try PrivateKafka()
        let queue = try open(server, "&clean_interval=0.3&partitions=1")
        try await queue.declare(QueueDefinition("work", groups: [GroupDefinition("a"), GroupDefinition("b")]))
        _ = try await queue.publish((0..<50).map { Message(text: "\($0)") }, to: "work")
        let fast = try await queue.consume("work", group: "a", consumer: "a")
        let slow = try await queue.consume("work", group: "b", consumer: "b")
        for delivery in try await take(50, from: fast) { try await fast.acknowledge(delivery) }
        for delivery in try await take(20, from: slow) { try await slow.acknowledge(delivery) }
        let isTrimmed = try await eventually(within: .seconds(20)) {
            try await queue.statistics(of: "work").stored.value == 30
        }
        let stored = try await queue.statistics(of: "work").stored
        #expect(isTrimmed, "\(stored)")
        #expect(try await take(30, from: slow).count == 30)
        await queue.close()
    }

    @Test("a server that stops and starts again costs time and no confirmed message")
    func restart() async throws {
        let server = try PrivateKafka()
        let queue = try open(server)
        try await queue.declare(QueueDefinition("work", groups: [GroupDefinition("g")]))
        let consumer = try await queue.consume("work", group: "g", consumer: "c")
        _ = try await queue.publish((0..<20).map { Message(text: "\($0)") }, to: "work")
        for delivery in try await take(10, from: consumer) { try await consumer.acknowledge(delivery) }
        server.stop()
        async let published = queue.publish((20..<40).map { Message(text: "\($0)") }, to: "work")
        try await Task.sleep(for: .seconds(1))
        try server.start()
        for outcome in try await published { #expect(outcome.isConfirmed, "\(outcome)") }
        var seen = Set<String>()
        let deadline = ContinuousClock.now + .seconds(60)
        while seen.count < 30, ContinuousClock.now < deadline {
            // While the server is away, receive may say so.
            guard let batch = try? await consumer.receive(max: 50, wait: .seconds(2)) else { continue }
            for delivery in batch {
                seen.insert(delivery.message.text ?? "")
                _ = try await consumer.settle([SettleRequest(delivery.receipt, .acknowledge)])
            }
        }
        #expect(seen.isSuperset(of: (20..<40).map { "\($0)" }) && seen.count >= 30)
        await queue.close()
    }
}
