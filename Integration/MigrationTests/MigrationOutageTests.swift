import BrokerSupport
import Foundation
import Messaging
import MessagingMigration
import TestSupport
import Testing

/// A broker dies in the middle of a move, and comes back with its data.
@Suite("Migrations whose broker dies", .serialized, .timeLimit(.minutes(10)))
struct MigrationOutageTests {
    private static let count = 150
    /// The most that is doubled when an answer never came.
    private static let window = 64

    static let pairs =
        (PrivateRedis.isInstalled ? [["sqlite", "redis"], ["redis", "sqlite"]] : [])
        + (PrivateRabbitMQ.isInstalled ? [["sqlite", "rabbitmq"], ["rabbitmq", "sqlite"]] : [])

    private func apply(_ place: MigrationPlace, _ more: [String]) throws -> MQProcess {
        let losses = [
            "durability", "keyed-order", "deduplication", "id-conflict", "schedule-list", "atomic-move",
            "confirmed-settle", "renewal", "fenced-settle",
        ]
        let words = ["migrate", "apply", "--queue", MigrationPlace.name, "--mode", "bridge"]
        return try MQProcess(
            words + ["--from", place.sourceURL, "--to", place.targetURL] + losses.flatMap { ["--accept-loss", $0] }
                + more,
            environment: place.environment
        )
    }

    /// Waits until so many messages have gone over.
    private func movesOn(_ place: MigrationPlace, _ count: Int, _ mover: MQProcess) async throws -> Bool {
        let deadline = ContinuousClock.now + .seconds(60)
        var journal: MigrationJournal?
        while ContinuousClock.now < deadline, mover.isRunning {
            if journal == nil, MigrationJournal.exists(at: place.journal) {
                journal = try MigrationJournal(path: place.journal)
            }
            if let journal, let migration = try await journal.latest(MigrationPlace.name),
                try await journal.counts(of: migration)[.removed] ?? 0 >= count
            {
                return true
            }
            // Seldom enough for the mover to write in it.
            try await Task.sleep(for: .milliseconds(50))
        }
        return false
    }

    /// Kills the broker as a crash would, which is not to forget which queues there are.
    private func crash(_ place: MigrationPlace) throws {
        try place.rabbitMQ?.writeDownQueues()
        place.redis?.crash()
        place.rabbitMQ?.crash()
    }

    @Test("the mover says how to go on, and the same command does when the broker is back", arguments: pairs)
    func dies(pair: [String]) async throws {
        let place = try MigrationPlace(from: pair[0], to: pair[1], redis: ["--appendfsync", "always"])
        let before = try await place.fill(Self.count)
        let mover = try apply(place, ["--rate", "100", "--patience", "5s"])
        #expect(try await movesOn(place, 100, mover), "\(mover.errors)")
        try crash(place)
        let stopped = await mover.wait(atMost: 120)
        #expect([3, 6].contains(stopped.status), "\(stopped.status) \(stopped.errors)")
        #expect(stopped.errors.contains("'mq migrate apply --queue orders' goes on"), "\(stopped.errors)")
        try place.redis?.start()
        try place.rabbitMQ?.start()
        let again = await (try apply(place, ["--patience", "30s"])).wait(atMost: 120)
        #expect(again.status == 0, "\(again.errors)")
        let result = try await place.problems(before, at: place.targetURL)
        #expect(result.problems == [])
        #expect(result.doubled <= Self.window)
        print("migration \(pair[0]) → \(pair[1]), the broker dies: \(result.doubled) duplicates")
    }

    @Test("a mover whose broker is back within its patience goes on by itself", arguments: pairs)
    func recovers(pair: [String]) async throws {
        let place = try MigrationPlace(from: pair[0], to: pair[1], redis: ["--appendfsync", "always"])
        let before = try await place.fill(Self.count)
        let mover = try apply(place, ["--rate", "100", "--patience", "90s"])
        #expect(try await movesOn(place, 200, mover), "\(mover.errors)")
        try crash(place)
        try place.redis?.start()
        try place.rabbitMQ?.start()
        let ended = await mover.wait(atMost: 180)
        #expect(ended.status == 0, "\(ended.errors)")
        let result = try await place.problems(before, at: place.targetURL)
        #expect(result.problems == [])
        #expect(result.doubled <= Self.window)
        print("migration \(pair[0]) → \(pair[1]), the broker comes back: \(result.doubled) duplicates")
    }
}
