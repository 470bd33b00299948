import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingMigration
import Synchronization
import TestSupport
import Testing

/// A queue in keyed order moves while producers and consumers run.
@Suite("Migrations of a keyed queue", .serialized, .timeLimit(.minutes(10)))
struct MigrationKeyedTests {
    /// How many keys, and how many messages of each.
    private static let (keys, turns) = (8, 60)

    static let pairs =
        [["sqlite", "sqlite"]]
        + (PrivateRabbitMQ.isInstalled ? [["sqlite", "rabbitmq"], ["rabbitmq", "sqlite"]] : [])

    /// What the consumers have seen.
    private final class Ledger: Sendable {
        private struct State {
            var next: [String: Int] = [:]
            var retried: Set<String> = []
            var problems: [String] = []
            var repeats = 0
            var isOver = false
        }

        private let state = Mutex(State())

        var handled: Int { state.withLock { $0.next.values.reduce(0, +) } }
        var problems: [String] { state.withLock { $0.problems } }
        var repeats: Int { state.withLock { $0.repeats } }
        var isOver: Bool { state.withLock { $0.isOver } }
        func end() { state.withLock { $0.isOver = true } }

        /// Notes a delivery, and says how it ends: each tenth message is tried twice.
        func settlement(of delivery: Delivery) -> Settlement {
            let (key, text) = (delivery.message.key ?? "", delivery.message.text ?? "")
            return state.withLock { state in
                let (turn, next) = (Int(text) ?? -1, state.next[key, default: 0])
                if turn > next || turn < 0 { state.problems.append("\(key): \(text) before \(next)") }
                if turn < next { state.repeats += 1 }
                if turn % 10 == 3, state.retried.insert("\(key) \(turn)").inserted {
                    return .retry(after: .milliseconds(200), error: "again")
                }
                if turn == next { state.next[key] = next + 1 }
                return .acknowledge
            }
        }
    }

    @Test("no message of a key overtakes another one", arguments: pairs)
    func keyed(pair: [String]) async throws {
        let place = try MigrationPlace(from: pair[0], to: pair[1])
        try await fill(place)
        let ledger = Ledger()
        let clients = try (0..<4).map { number in
            MigratingQueue(
                MigrationSide(try place.open(place.sourceURL), label: place.sourceLabel),
                journal: place.journal,
                lease: .milliseconds(300),
                name: "client-\(number)",
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            ) { label in try place.open(label) }
        }
        try await withThrowingTaskGroup { group in
            for number in 0..<2 {
                group.addTask { try await Self.produce(clients[number], number) }
            }
            for number in 2..<4 {
                group.addTask { try await Self.consume(clients[number], "consumer-\(number)", ledger) }
            }
            try await move(place)
            let isHandled = try await eventually(within: .seconds(120)) { ledger.handled == Self.keys * Self.turns }
            #expect(isHandled, "\(ledger.handled) of \(Self.keys * Self.turns)")
            ledger.end()
            try await group.waitForAll()
        }
        for client in clients { await client.close() }
        #expect(ledger.problems == [])
        // A lane that changes hands can bring what was just acknowledged once more.
        let found = try await place.contents(place.targetURL).map(\.id).sorted()
        let kept = ["dead-0", "dead-1", "later-0", "later-1"]
        let back = found.filter { !kept.contains($0) }
        #expect(ledger.repeats + back.count <= 64)
        #expect(found.filter(kept.contains) == kept)
        // Nor does RabbitMQ answer an acknowledgement: one that a closed consumer sent last may be lost.
        let acknowledged = Set((0..<Self.keys).flatMap { key in (0..<Self.turns).map { "\(key)-\($0)" } })
        #expect(back.allSatisfy { pair[1] == "rabbitmq" && acknowledged.contains($0) }, "\(back)")
        print(
            "migration \(pair[0]) → \(pair[1]), keyed: \(ledger.handled) messages of \(Self.keys) keys in order, "
                + "\(ledger.repeats) repeats"
        )
    }

    /// A keyed queue with two dead letters and two schedules.
    private func fill(_ place: MigrationPlace) async throws {
        let queue = try place.open(place.sourceURL)
        let groups = [GroupDefinition(MigrationPlace.groups[0], lease: .seconds(30), maxAttempts: 50)]
        try await queue.declare(QueueDefinition(MigrationPlace.name, groups: groups, ordering: .keyed))
        let dead = (0..<2).map { MigrationPlace.message("dead-\($0)") }
        for outcome in try await queue.publish(dead, to: MigrationPlace.name) { #expect(outcome.isConfirmed) }
        let consumer = try await queue.consume(MigrationPlace.name, group: groups[0].name, consumer: "filler")
        var left = dead.count
        while left > 0 {
            let deliveries = try await consumer.receive(max: left, wait: .seconds(5))
            guard !deliveries.isEmpty else { throw QueueError(.unavailable, "nothing came while filling") }
            left -= deliveries.count
            for delivery in deliveries { try await consumer.settle(delivery, .reject(reason: .rejected, error: "no")) }
        }
        await consumer.close()
        let later = (0..<2).map { MigrationPlace.message("later-\($0)", due: .after(.seconds(3600))) }
        for outcome in try await queue.publish(later, to: MigrationPlace.name) { #expect(outcome.isConfirmed) }
        await queue.close()
    }

    /// Publishes half of the keys, each in order.
    private static func produce(_ client: MigratingQueue, _ number: Int) async throws {
        for turn in 0..<turns {
            for key in 0..<keys where key % 2 == number {
                let message = Message(text: "\(turn)", id: MessageID("\(key)-\(turn)"), key: "key-\(key)")
                let outcome = try await client.publish([message], to: MigrationPlace.name)[0]
                if let error = outcome.error { throw error }
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    private static func consume(_ client: MigratingQueue, _ name: String, _ ledger: Ledger) async throws {
        let consumer = try await client.consume(MigrationPlace.name, group: MigrationPlace.groups[0], consumer: name)
        while !ledger.isOver {
            for delivery in try await consumer.receive(max: 10, wait: .milliseconds(500)) {
                try await consumer.settle(delivery, ledger.settlement(of: delivery))
            }
        }
        await consumer.close()
    }

    private func move(_ place: MigrationPlace) async throws {
        let words = ["--queue", MigrationPlace.name]
        let sides = ["--from", place.sourceURL, "--to", place.targetURL]
        let losses = ["deduplication", "id-conflict", "schedule-list", "atomic-move", "confirmed-settle"]
            .flatMap { ["--accept-loss", $0] }
        for arguments in [["apply"] + words + sides + losses, ["verify"] + words, ["finish"] + words] {
            let outcome = try await MQProcess.run(["migrate"] + arguments, environment: place.environment, atMost: 300)
            #expect(outcome.status == 0, "\(arguments[0]): \(outcome.output) \(outcome.errors)")
        }
    }
}
