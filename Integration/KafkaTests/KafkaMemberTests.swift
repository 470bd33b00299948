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
