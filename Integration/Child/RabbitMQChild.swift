#if RabbitMQ
import Foundation
import Logging
import Messaging
import MessagingRabbitMQ

/// Measures RabbitMQ: messages of 512 bytes are published with confirmation, then consumed and acknowledged, beside a loop
/// that does the same with librabbitmq alone, with the same window, on a quorum queue of the same settings.
enum RabbitMQChild {
    private static let batch = 500
    private static let parts = 10

    static func measure(_ url: String, messages: Int) async throws {
        let configuration = try RabbitMQConfiguration(url: url)
        let queue = RabbitMQQueue(configuration, logger: Logger(label: "child"))
        let name = "load-\(MessageID.make())"
        try await queue.declare(QueueDefinition(name, groups: [GroupDefinition("workers")]))
        let plain = try PlainRabbitMQ(configuration, queue: name + "-plain")
        let turns = max(1, messages / parts / batch)
        let clock = ContinuousClock()
        let body = [UInt8](repeating: 120, count: 512)
        // The first part of each warms up.
        for part in 0...parts {
            var (ours, theirs) = (Duration.zero, Duration.zero)
            for _ in 0..<turns {
                let messages = (0..<batch).map { _ in Message(body: body) }
                ours += try await clock.measure {
                    let outcomes = try await queue.publish(messages, to: name)
                    guard outcomes.count(where: \.isConfirmed) == batch else {
                        throw QueueError(.brokerError, "a message was refused")
                    }
                }
                theirs += try clock.measure { try plain.publish(batch, body) }
            }
            if part > 0 { report("publish", part, turns * batch, ours, theirs) }
        }
        let consumer = try await queue.consume(name, group: "workers", consumer: "c", options: ConsumerOptions())
        try plain.subscribe(prefetch: batch)
        for part in 0...parts {
            // A whole part each: while the one is measured the broker fills the other's window.
            let count = turns * batch
            let ours = try await clock.measure {
                var taken = 0
                while taken < count {
                    let deliveries = try await consumer.receive(max: min(batch, count - taken), wait: .seconds(10))
                    if deliveries.isEmpty { throw QueueError(.brokerError, "messages are missing") }
                    taken += deliveries.count
                    _ = try await consumer.settle(deliveries.map { SettleRequest($0.receipt, .acknowledge) })
                }
            }
            let theirs = try clock.measure { try plain.consume(count) }
            if part > 0 { report("consume", part, turns * batch, ours, theirs) }
        }
        plain.close()
        await queue.close()
    }

    /// Opens a client, consumes a message and closes it, again and again, and says what the process holds.
    static func rounds(_ url: String, _ count: Int) async throws {
        let configuration = try RabbitMQConfiguration(url: url)
        let name = "rounds-\(MessageID.make())"
        for round in 0...count {
            if round == 20 || round == count { QueueChild.say("{\"round\":\(round),\(held())}") }
            let queue = RabbitMQQueue(configuration, logger: Logger(label: "child"))
            if round == 0 { try await queue.declare(QueueDefinition(name, groups: [GroupDefinition("g")])) }
            try await queue.publish(Message(text: "x"), to: name)
            let consumer = try await queue.consume(name, group: "g", consumer: "c", options: ConsumerOptions())
            let deliveries = try await consumer.receive(max: 10, wait: .seconds(10))
            guard deliveries.count == 1 else {
                throw QueueError(.brokerError, "round \(round) got \(deliveries.count)")
            }
            try await consumer.acknowledge(deliveries[0])
            await queue.close()
        }
    }

    private static func held() -> String {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        func number(_ name: String) -> Int {
            status.split(separator: "\n").first { $0.hasPrefix(name) }
                .flatMap { $0.split(whereSeparator: \.isWhitespace).dropFirst().first }.flatMap { Int($0) } ?? 0
        }
        let files = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0
        return "\"resident_kb\":\(number("VmRSS:")),\"threads\":\(number("Threads:")),\"files\":\(files)"
    }

    private static func report(_ what: String, _ part: Int, _ count: Int, _ ours: Duration, _ theirs: Duration) {
        let rates = [ours, theirs].map { Int(Double(count) / ($0 / .seconds(1))) }
        QueueChild.say(
            "{\"step\":\"\(what)\",\"part\":\(part),\"messages\":\(count),\"rate\":\(rates[0]),\"plain_rate\":\(rates[1])}"
        )
    }
}
#endif
