import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingMigration
import Synchronization
import TestSupport
import Testing

/// A queue moves while producers and consumers run, by the program that people use.
@Suite("Migrations of a live queue", .serialized, .timeLimit(.minutes(20)))
struct MigrationLiveTests {
    /// How many messages: a few in CI, 20,000 when a person asks for it.
    private static let count =
        ProcessInfo.processInfo.environment["MQ_TEST_MIGRATION_MESSAGES"].flatMap { Int($0) } ?? 1000

    /// All that can run here, or those that a person asks for: `kafka>sqlite`, or `kafka` for all that have it.
    static let pairs = wanted(allPairs)
    static let kafkaPairs = wanted(allKafkaPairs)

    private static func wanted(_ pairs: [[String]]) -> [[String]] {
        let wanted = ProcessInfo.processInfo.environment["MQ_TEST_MIGRATION_PAIR"]
        return pairs.filter { pair in wanted.map { pair.joined(separator: ">").contains($0) } ?? true }
    }

    private static let allPairs =
        [["sqlite", "sqlite"]] + (PrivateRedis.isInstalled ? [["sqlite", "redis"], ["redis", "sqlite"]] : [])
        + (PrivateRabbitMQ.isInstalled ? [["sqlite", "rabbitmq"], ["rabbitmq", "sqlite"]] : [])
        + (PrivateRedis.isInstalled && PrivateRabbitMQ.isInstalled
            ? [["redis", "rabbitmq"], ["rabbitmq", "redis"]] : [])
    private static let allKafkaPairs =
        [["sqlite", "kafka"], ["kafka", "sqlite"]]
        + (PrivateRedis.isInstalled ? [["redis", "kafka"], ["kafka", "redis"]] : [])
        + (PrivateRabbitMQ.isInstalled ? [["rabbitmq", "kafka"]] : [])

    /// What the clients have seen.
    private struct Ledger: Sendable {
        var confirmed: Set<String> = []
        var handled: [String: Int] = [:]
        /// How many producers still publish, which they do until the queue has moved.
        var producers = 2
        var hasMoved = false

        /// Each message was handled in each group.
        var isComplete: Bool {
            producers == 0 && handled.count >= confirmed.count * MigrationPlace.groups.count
        }
    }

    @Test("two producers, three consumers in two groups: every confirmed message is handled", arguments: pairs)
    func live(pair: [String]) async throws { try await move(pair) }

    @Test(
        "the same from and to Kafka",
        .enabled(if: PrivateKafka.isInstalled, "\(PrivateKafka.unwanted)"),
        arguments: kafkaPairs
    )
    func liveOnKafka(pair: [String]) async throws { try await move(pair) }

    private func move(_ pair: [String]) async throws {
        let place = try MigrationPlace(from: pair[0], to: pair[1])
        let waiting = Set(try await place.fill(20, lease: .seconds(30)).filter { $0.state != .ready })
        let ledger = Shared(Ledger())
        ledger.withLock { ledger in ledger.confirmed.formUnion((0..<20).map { "ready-\($0)" }) }
        let clients = try (0..<5).map { number in
            MigratingQueue(
                MigrationSide(try place.open(place.sourceURL), label: place.sourceLabel),
                journal: place.journal,
                lease: .milliseconds(300),
                name: "client-\(number)",
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            ) { label in try place.open(label) }
        }
        let isOver = Shared(false)
        try await withThrowingTaskGroup { group in
            for number in 0..<2 {
                group.addTask {
                    let deadline = ContinuousClock.now + .seconds(300)
                    var index = 0
                    while index < Self.count / 2 || !ledger.withLock({ $0.hasMoved }) {
                        guard ContinuousClock.now < deadline else { break }
                        let message = MigrationPlace.message("live-\(number)-\(index)")
                        let outcome = try await clients[number].publish([message], to: MigrationPlace.name)[0]
                        if let error = outcome.error { throw error }
                        ledger.withLock { _ = $0.confirmed.insert(message.id.rawValue) }
                        index += 1
                        try await Task.sleep(for: .milliseconds(4))
                    }
                    ledger.withLock { $0.producers -= 1 }
                }
            }
            for (number, name) in [(2, "billing"), (3, "billing"), (4, "shipping")] {
                group.addTask {
                    let consumer = try await clients[number].consume(
                        MigrationPlace.name,
                        group: name,
                        consumer: "c\(number)"
                    )
                    while !isOver.withLock({ $0 }) {
                        for delivery in try await consumer.receive(max: 10, wait: .milliseconds(500)) {
                            ledger.withLock { $0.handled["\(name) \(delivery.message.id)", default: 0] += 1 }
                            try await consumer.acknowledge(delivery)
                        }
                    }
                    await consumer.close()
                }
            }
            let words = ["--queue", MigrationPlace.name]
            let sides = ["--from", place.sourceURL, "--to", place.targetURL]
            // What RabbitMQ cannot do, and a Redis that is not told to be as safe as a disk.
            let losses = [
                "durability", "deduplication", "id-conflict", "schedule-list", "atomic-move", "confirmed-settle",
            ]
            .flatMap { ["--accept-loss", $0] }
            let plan = try await mq(place, ["migrate", "plan"] + words + sides)
            #expect(plan.status == 0, "\(plan.errors)")
            #expect(plan.output.contains("→ 20 scheduled messages"))
            let applied = try await mq(place, ["migrate", "apply"] + words + sides + losses)
            #expect(applied.status == 0, "\(applied.errors)")
            let verified = try await mq(place, ["migrate", "verify"] + words)
            #expect(verified.status == 0, "\(verified.output) \(verified.errors)")
            let finished = try await mq(place, ["migrate", "finish"] + words)
            #expect(finished.status == 0, "\(finished.errors)")
            // Who publishes now must have followed: the old side takes nothing any more.
            try await Task.sleep(for: .milliseconds(100))
            ledger.withLock { $0.hasMoved = true }
            let isHandled = try await eventually(within: .seconds(300)) { ledger.withLock { $0.isComplete } }
            #expect(isHandled)
            let missing = ledger.withLock { ledger in
                MigrationPlace.groups.flatMap { name in
                    ledger.confirmed.filter { ledger.handled["\(name) \($0)"] == nil }.map { "\(name) \($0)" }
                }
            }
            #expect(missing.isEmpty)
            isOver.withLock { $0 = true }
            try await group.waitForAll()
        }
        for client in clients { await client.close() }
        let twice = ledger.withLock { $0.handled.values.count { $0 > 1 } }
        // Nothing was killed and nothing was carried over while it was in flight.
        #expect(twice == 0)
        // What waits, is scheduled or dead is on the new side, as it was.
        let result = try await place.problems(waiting, at: place.targetURL)
        #expect(result.problems == [] && result.doubled == 0)
        print(
            "migration \(pair[0]) → \(pair[1]), live: \(ledger.withLock { $0.confirmed.count }) messages, \(twice) duplicates"
        )
    }

    private func mq(_ place: MigrationPlace, _ arguments: [String]) async throws -> MQProcess.Outcome {
        try await MQProcess.run(arguments, environment: place.environment, atMost: 300)
    }
}

/// A value that several tasks change.
///
/// `@unchecked Sendable`: the value is read and changed under the lock alone.
private final class Shared<Value: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value

    init(_ value: Value) { self.value = value }

    func withLock<Result>(_ body: (inout Value) -> Result) -> Result { lock.withLock { body(&value) } }
}
