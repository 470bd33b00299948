#if SQLite
import Foundation
import Logging
import Messaging
import MessagingBaselines
import MessagingSQLite

/// Measures a file: publishes messages of 512 bytes in batches of 100, then consumes and acknowledges them, and beside
/// each tenth inserts as many of the same rows into a plain table of another file, in the same batches and with the
/// same `synchronous`.
enum ThroughputChild {
    private static let batch = 100

    static func run(file: String, messages: Int) async throws {
        let logger = Logger(label: "child")
        let queue = SQLiteQueue(SQLiteConfiguration(path: file), logger: logger)
        try await queue.declare(QueueDefinition("load", groups: [GroupDefinition("workers")]))
        let part = max(batch, messages / 10 / batch * batch)
        let clock = ContinuousClock()
        let plain = try PlainSQLite(
            path: file + "-plain",
            synchronous: .full,
            PlainSettings(queue: "load", size: 512, window: batch)
        )
        // Batch by batch in turns, so that both meet the same moments of the machine.
        for number in 0..<10 {
            var (ours, theirs) = (Duration.zero, Duration.zero)
            for _ in 0..<(part / batch) {
                let rows = makeBatch()
                ours += try await clock.measure {
                    let outcomes = try await queue.publish(rows, to: "load")
                    guard outcomes.count(where: { $0.isConfirmed }) == batch else {
                        throw QueueError(.brokerError, "a message was refused")
                    }
                }
                theirs += try clock.measure { try plain.publish(batch) }
            }
            report("publish", number, part, ours, theirs, file)
        }
        let consumer = try await queue.consume("load", group: "workers", consumer: "c", options: ConsumerOptions())
        for number in 0..<10 {
            var (ours, theirs) = (Duration.zero, Duration.zero)
            for _ in 0..<(part / batch) {
                ours += try await clock.measure {
                    let deliveries = try await consumer.receive(max: batch, wait: .seconds(1))
                    guard deliveries.count == batch else { throw QueueError(.brokerError, "messages are missing") }
                    _ = try await consumer.settle(deliveries.map { SettleRequest($0.receipt, .acknowledge) })
                }
                theirs += try clock.measure { try plain.publish(batch) }
            }
            report("consume", number, part, ours, theirs, file)
        }
        // Upkeep gives the space back while somebody waits.
        var last = 0
        for _ in 0..<30 where size(file) != last {
            last = size(file)
            _ = try await consumer.receive(max: 1, wait: .seconds(2))
        }
        QueueChild.say("{\"end\":true,\"file_bytes\":\(size(file)),\"wal_bytes\":\(size(file + "-wal"))}")
        plain.close()
        await queue.close()
    }

    private static func makeBatch() -> [Message] {
        (0..<batch).map { _ in Message(body: [UInt8](repeating: 120, count: 512)) }
    }

    private static func report(
        _ what: String,
        _ number: Int,
        _ count: Int,
        _ ours: Duration,
        _ theirs: Duration,
        _ file: String
    ) {
        let rates = [ours, theirs].map { Int(Double(count) / ($0 / .seconds(1))) }
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let peak =
            status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
            .flatMap { $0.split(separator: " ").dropFirst().first }.flatMap { Int($0) } ?? 0
        QueueChild.say(
            "{\"step\":\"\(what)\",\"part\":\(number),\"messages\":\(count),\"rate\":\(rates[0]),"
                + "\"plain_rate\":\(rates[1]),\"peak_kb\":\(peak),\"file_bytes\":\(size(file)),"
                + "\"wal_bytes\":\(size(file + "-wal"))}"
        )
    }

    private static func size(_ path: String) -> Int {
        (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0
    }
}
#endif
