#if Kafka
import Foundation
import Logging
import Messaging
import MessagingKafka

/// Measures Kafka: messages are published with confirmation, then consumed, acknowledged and committed, beside a loop that
/// does the same with librdkafka alone and the same settings, in turns.
enum KafkaChild {
    private static let batch = 2000
    private static let parts = 10

    static func measure(_ url: String, messages: Int, bytes: Int) async throws {
        let configuration = try KafkaConfiguration(url: url)
        let queue = KafkaQueue(configuration, logger: Logger(label: "child"))
        let name = "load-\(MessageID.make())"
        let id = Array(MessageID.make().rawValue.utf8)
        func open(_ id: [UInt8]?, _ suffix: String) async throws -> PlainKafka {
            try await queue.declare(QueueDefinition(name + suffix))
            return try PlainKafka(
                servers: configuration.servers,
                topic: name + suffix,
                partitions: Int32(configuration.partitions),
                id: id
            )
        }
        try await queue.declare(QueueDefinition(name, groups: [GroupDefinition("workers")]))
        let (plain, bare) = try await (open(id, "-plain"), open(nil, "-bare"))
        let turns = max(1, messages / parts / batch)
        let clock = ContinuousClock()
        let body = [UInt8](repeating: 120, count: bytes)
        // The first part of each warms up.
        for part in 0...parts {
            var (ours, theirs, least) = (Duration.zero, Duration.zero, Duration.zero)
            for _ in 0..<turns {
                let messages = (0..<batch).map { _ in Message(body: body) }
                ours += try await clock.measure {
                    let outcomes = try await queue.publish(messages, to: name)
                    guard outcomes.count(where: \.isConfirmed) == batch else {
                        throw QueueError(.brokerError, "a message was refused")
                    }
                }
                theirs += try clock.measure { try plain.publish(batch, body) }
                least += try clock.measure { try bare.publish(batch, body) }
            }
            if part > 0 { report("publish", bytes, part, turns * batch, ours, theirs, least) }
        }
        let consumer = try await queue.consume(name, group: "workers", consumer: "c", options: ConsumerOptions())
        try plain.subscribe()
        try bare.subscribe()
        for part in 0...parts {
            // A whole part each: while the one is measured the other's buffer fills.
            let count = turns * batch
            let ours = try await clock.measure {
                var taken = 0
                while taken < count {
                    let deliveries = try await consumer.receive(max: min(1000, count - taken), wait: .seconds(10))
                    if deliveries.isEmpty { throw QueueError(.brokerError, "messages are missing") }
                    taken += deliveries.count
                    _ = try await consumer.settle(deliveries.map { SettleRequest($0.receipt, .acknowledge) })
                }
            }
            let theirs = try clock.measure { try plain.consume(count) }
            let least = try clock.measure { try bare.consume(count) }
            if part > 0 { report("consume", bytes, part, count, ours, theirs, least) }
        }
        plain.close()
        bare.close()
        await queue.close()
    }

    private static func report(
        _ what: String,
        _ bytes: Int,
        _ part: Int,
        _ count: Int,
        _ ours: Duration,
        _ theirs: Duration,
        _ least: Duration
    ) {
        func rate(_ time: Duration) -> Int { Int(Double(count) / (time / .seconds(1))) }
        QueueChild.say(
            "{\"step\":\"\(what)\",\"bytes\":\(bytes),\"part\":\(part),\"messages\":\(count),\"rate\":\(rate(ours)),"
                + "\"plain_rate\":\(rate(theirs)),\"plain_rate_without_id\":\(rate(least))}"
        )
    }
}
#endif
