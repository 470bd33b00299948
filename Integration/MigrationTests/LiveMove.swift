import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingMigration
import TestSupport
import Testing

/// A queue that moves along a route, by the program that people use, while two producers and three consumers run.
struct LiveMove: Sendable {
    private static let wantedCount =
        ProcessInfo.processInfo.environment["MQ_TEST_MIGRATION_MESSAGES"].flatMap { Int($0) }
    /// How many messages are published while it moves: a few in CI, 20,000 when a person asks for it.
    static let count = wantedCount ?? 1000
    /// How many are in each state before.
    static let perState = wantedCount.map { max(20, $0 / 5) } ?? 20
    /// How many are in flight when it begins.
    private static let held = min(20, perState)
    /// How long one leg, or what is left to be handled after the last one, may take.
    private static let limit: Duration = .seconds(300 + count / 50)
    /// From how many messages on producers publish several at a time, so that a test does not wait for them.
    private static let many = 2000
    private static let batch = 10
    /// How far ahead of its time a message may be and still be looked for where it waited.
    private static let margin: TimeInterval = 300

    /// All routes, or those that a person asks for: `kafka>sqlite`, or `kafka` for all that have it.
    static func wanted(_ routes: [[String]]) -> [[String]] {
        let wanted = ProcessInfo.processInfo.environment["MQ_TEST_MIGRATION_PAIR"]
        return routes.filter { route in wanted.map { route.joined(separator: ">").contains($0) } ?? true }
    }

    private let stops: [String]
    private let place: MigrationPlace
    private let ledger: LiveLedger

    /// Fills a queue, moves it along a route, and looks whether everything is where it should be.
    ///
    /// - Parameter stops: The kinds of the sides, as `MigrationPlace` has them.
    /// - Throws: When something cannot be carried out.
    static func run(_ stops: [String]) async throws {
        let place = try MigrationPlace(stops)
        let filled = try await place.fillAndTell(perState, lease: .seconds(30), apart: true)
        #expect(filled.handled.count == perState / 3)
        let move = LiveMove(stops: stops, place: place, ledger: LiveLedger(filled, producers: 2))
        try await move.runClients()
        try await move.check()
    }

    private func makeClients() throws -> [MigratingQueue] {
        let place = place
        return try (0..<5).map { number in
            MigratingQueue(
                MigrationSide(try place.open(place.sourceURL), label: place.sourceLabel),
                journal: place.journal,
                lease: .milliseconds(300),
                name: "client-\(number)",
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            ) { label in try place.open(label) }
        }
    }

    private func runClients() async throws {
        let clients = try makeClients()
        let holder = try await LiveHolder.taking(Self.held, of: MigrationPlace.groups[1], from: clients[4])
        #expect(holder.count == Self.held)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<2 {
                group.addTask { try await produce(clients[number], number) }
            }
            for (number, name) in [(2, 0), (3, 0), (4, 1)] {
                group.addTask { try await consume(clients[number], MigrationPlace.groups[name], "c\(number)") }
            }
            group.addTask { try await hold(holder) }
            let urls = place.urls
            for leg in urls.indices.dropFirst() {
                try await move(from: urls[leg - 1], to: urls[leg], isFirst: leg == 1, holder)
            }
            // Who publishes now must have followed: the old side takes nothing any more.
            try await Task.sleep(for: .milliseconds(100))
            ledger.setMoved()
            let isHandled = try await eventually(within: Self.limit) { ledger.isComplete || ledger.hasFailed }
            #expect(isHandled)
            // In a run that takes long some schedules have come due.
            let now = Date()
            let isDueHandled = try await eventually(within: .seconds(60)) {
                ledger.overdue(at: now).isEmpty || ledger.hasFailed
            }
            #expect(isDueHandled)
            // Where nobody answers an acknowledgement, one that is on its way when its consumer closes may be lost.
            try await Task.sleep(for: .seconds(1))
            ledger.end()
            try await group.waitForAll()
        }
        for client in clients { await client.close() }
    }

    // MARK: - Clients

    /// Publishes its share, and goes on slowly until the queue has moved.
    private func produce(_ client: MigratingQueue, _ number: Int) async throws {
        defer { ledger.endProducer() }
        let deadline = ContinuousClock.now + Self.limit * stops.count
        let share = Self.count / 2
        var index = 0
        do {
            while index < share || !ledger.hasMoved, ContinuousClock.now < deadline {
                let isDone = index >= share
                let size = isDone || Self.count <= Self.many ? 1 : Self.batch
                let messages = (index..<index + size).map { MigrationPlace.message("live-\(number)-\($0)") }
                for outcome in try await client.publish(messages, to: MigrationPlace.name) {
                    if let error = outcome.error { throw error }
                }
                ledger.confirm(messages.map(\.id.rawValue))
                index += size
                // A longer route is no reason for more messages.
                try await Task.sleep(for: .milliseconds(isDone ? 5 * stops.count : 4))
            }
        } catch {
            ledger.fail("producer \(number)", error)
            throw error
        }
    }

    private func consume(_ client: MigratingQueue, _ group: String, _ name: String) async throws {
        do {
            let consumer = try await client.consume(MigrationPlace.name, group: group, consumer: name)
            while !ledger.isOver {
                let deliveries = try await consumer.receive(max: 10, wait: .milliseconds(500))
                if deliveries.isEmpty { continue }
                for delivery in deliveries { ledger.handle(delivery) }
                let requests = deliveries.map { SettleRequest($0.receipt, .acknowledge) }
                for outcome in try await consumer.settle(requests) { if let error = outcome.error { throw error } }
            }
            await consumer.close()
        } catch {
            ledger.fail(name, error)
            throw error
        }
    }

    private func hold(_ holder: LiveHolder) async throws {
        do {
            let settled = try await holder.hold(ledger)
            #expect(settled == holder.count / 2)
        } catch {
            ledger.fail("holder", error)
            throw error
        }
    }

    // MARK: - Moving

    private func move(from source: String, to target: String, isFirst: Bool, _ holder: LiveHolder) async throws {
        let leg = "\(source) → \(target)"
        let words = ["--queue", MigrationPlace.name]
        let sides = ["--from", source, "--to", target]
        // What RabbitMQ and Kafka cannot do, and a Redis that is not told to be as safe as a disk.
        let losses = ["durability", "deduplication", "id-conflict", "schedule-list", "atomic-move", "confirmed-settle"]
            .flatMap { ["--accept-loss", $0] }
        let plan = try await mq(["plan"] + words + sides)
        #expect(plan.status == 0, "\(leg): \(plan.output) \(plan.errors)")
        if ledger.due(by: Date()).isEmpty {
            #expect(plan.output.contains("→ \(Self.perState) scheduled messages"), "\(leg): \(plan.output)")
        }
        // Where it is counted by group, which it is where it can be listed.
        if isFirst, source.hasPrefix("sqlite:") || source.hasPrefix("redis:") {
            #expect(plan.output.contains("messages in flight stay with their consumers"), "\(leg): \(plan.output)")
        }
        holder.release()
        for arguments in [["apply"] + words + sides + losses, ["verify"] + words, ["finish"] + words] {
            let outcome = try await mq(arguments)
            #expect(outcome.status == 0, "\(leg), \(arguments[0]): \(outcome.output) \(outcome.errors)")
        }
    }

    private func mq(_ arguments: [String]) async throws -> MQProcess.Outcome {
        let seconds = Double(Self.limit.components.seconds)
        return try await MQProcess.run(["migrate"] + arguments, environment: place.environment, atMost: seconds)
    }

    // MARK: - Afterwards

    private func check() async throws {
        #expect(ledger.problems == [])
        #expect(ledger.missing.isEmpty, "\(ledger.missing.prefix(5))")
        #expect(ledger.strangers.isEmpty, "\(ledger.strangers.prefix(5))")
        // Nothing was killed, nothing was carried over while it was in flight, and what was given back was not counted.
        let repeats = ledger.repeats
        #expect(repeats == 0)
        // What waits, is scheduled or dead is on the last side and on no other, as it was.
        let uncertain = ledger.due(by: Date(timeIntervalSinceNow: Self.margin))
        let result = try await place.problems(ledger.kept, at: place.targetURL, except: uncertain)
        #expect(result.problems.isEmpty, "\(result.problems.count): \(result.problems.prefix(10))")
        #expect(result.doubled == 0)
        print(
            "migration \(stops.joined(separator: " → ")), live: \(ledger.confirmed) messages beside "
                + "\(Self.perState) of each other state, \(repeats) duplicates"
        )
    }
}
