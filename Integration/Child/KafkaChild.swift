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
        try await queue.declare(QueueDefinition(name, groups: [GroupDefinition("workers")]))
        try await queue.declare(QueueDefinition(name + "-plain"))
        let plain = try PlainKafka(
            servers: configuration.servers,
            topic: name + "-plain",
            partitions: Int32(configuration.partitions)
        )
        let turns = max(1, messages / parts / batch)
        let clock = ContinuousClock()
        let body = [UInt8](repeating: 120, count: bytes)
        let id = Array(MessageID.make().rawValue.utf8)
        // The first part of each warms up.
        for part in 0...parts {
            var (ours, theirs, bare) = (Duration.zero, Duration.zero, Duration.zero)
            for _ in 0..<turns {
                let messages = (0..<batch).map { _ in Message(body: body) }
                ours += try await clock.measure {
                    let outcomes = try await queue.publish(messages, to: name)
                    guard outcomes.count(where: \.isConfirmed) == batch else {
                        throw QueueError(.brokerError, "a message was refused")
                    }
                }
                theirs += try clock.measure { try plain.publish(batch, body, id: id) }
                bare += try clock.measure { try plain.publish(batch, body, id: nil) }
            }
            if part > 0 { report("publish", bytes, part, turns * batch, ours, theirs, bare) }
        }
        let consumer = try await queue.consume(name, group: "workers", consumer: "c", options: ConsumerOptions())
        try plain.subscribe()
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
            if part > 0 { report("consume", bytes, part, count, ours, theirs, nil) }
        }
        plain.close()
        await queue.close()
    }

    private static func report(
        _ what: String,
        _ bytes: Int,
        _ part: Int,
        _ count: Int,
        _ ours: Duration,
        _ theirs: Duration,
        _ bare: Duration?
    ) {
        func rate(_ time: Duration) -> Int { Int(Double(count) / (time / .seconds(1))) }
        let further = bare.map { ",\"plain_rate_without_id\":\(rate($0))" } ?? ""
        QueueChild.say(
            "{\"step\":\"\(what)\",\"bytes\":\(bytes),\"part\":\(part),\"messages\":\(count),\"rate\":\(rate(ours)),"
                + "\"plain_rate\":\(rate(theirs))\(further)}"
        )
    }
}
#endif
