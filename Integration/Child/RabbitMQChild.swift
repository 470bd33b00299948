#if RabbitMQ
import Foundation
import Logging
import Messaging
import MessagingRabbitMQ

/// Looks for what a client of RabbitMQ leaves behind.
enum RabbitMQChild {
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
}
#endif
