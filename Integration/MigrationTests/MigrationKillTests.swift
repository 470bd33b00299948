import BrokerSupport
import Foundation
import Messaging
import TestSupport
import Testing

/// The process that carries a migration out is killed at every durable effect.
@Suite("Migrations that are killed", .serialized, .timeLimit(.minutes(60)))
struct MigrationKillTests {
    /// How many messages of each state: a few in CI, more when a person asks for it.
    private static let count =
        ProcessInfo.processInfo.environment["MQ_TEST_MIGRATION_MESSAGES"].flatMap { Int($0) } ?? 70

    /// Whether a person asks for more than CI has time for.
    private static let hasTime = ProcessInfo.processInfo.environment["MQ_TEST_MIGRATION_MESSAGES"] != nil

    /// The most duplicates of one crash: a page that was on its way by being consumed, and where the target recognises what
    /// was written in before, the one after it.
    private static func window(to target: String) -> Int {
        ["rabbitmq", "kafka", "kafkaCluster"].contains(target) ? 64 : 2 * 64
    }

    /// Pairs whose every failpoint has its turn; RabbitMQ takes seconds for each.
    static let pairs = [["sqlite", "sqlite"]] + (PrivateRedis.isInstalled ? [["sqlite", "redis"]] : [])
    static let rabbitMQPairs =
        PrivateRabbitMQ.isInstalled
        ? [["sqlite", "rabbitmq"], ["rabbitmq", "sqlite"]] + (PrivateRedis.isInstalled ? [["redis", "rabbitmq"]] : [])
        : []

    @Test("killed at each failpoint and started again: nothing is lost, and all is there once", arguments: pairs)
    func kills(pair: [String]) async throws {
        let place = try MigrationPlace(from: pair[0], to: pair[1])
        let hits = try await cleanRun(place)
        #expect(hits.count >= 30)
        let kills = hits.sorted(by: { $0.key < $1.key })
            .flatMap { point, count in Self.chosen(count, pair).map { "\(point):\($0)" } }
        let doubled = try await kill(place, kills, atMost: 0)
        Self.tell(pair, hits, kills, doubled)
    }

    @Test("killed at what touches the broker and started again: nothing is lost", arguments: rabbitMQPairs)
    func killsWithRabbitMQ(pair: [String]) async throws {
        try await killAtBroker(pair, hasAll: pair == Self.rabbitMQPairs.first || Self.hasTime)
    }

    @Test(
        "the same from and to Kafka",
        .enabled(if: PrivateKafka.isWanted, "\(PrivateKafka.unwanted)"),
        // Whoever joins a group of the mock cluster waits three seconds, which makes a move from it take half a minute.
        arguments: [["sqlite", "kafkaCluster"]] + (hasTime ? [["kafkaCluster", "sqlite"]] : [])
    )
    func killsOnKafka(pair: [String]) async throws { try await killAtBroker(pair, hasAll: Self.hasTime) }

    private func killAtBroker(_ pair: [String], hasAll: Bool) async throws {
        let place = try MigrationPlace(from: pair[0], to: pair[1])
        let hits = try await cleanRun(place)
        // What is ready goes over first, then what waits, then what is dead.
        var wanted: [(point: String, hits: [Place])] = [
            ("close.after", [.first]), ("take.after", [.last]), ("restore.after", [.first, .last]),
            ("done.after", [.last]), ("settle.after", [.first]), ("remove.after", [.last]),
        ]
        // The others are the same for every pair, and a pair takes minutes.
        if hasAll {
            wanted += [
                ("declare.after", [.first]), ("reserve.after", [.middle]), ("restore.before", [.middle]),
                ("done.after", [.first]),
            ]
        }
        let kills = wanted.flatMap { point, places in
            Set(places.map { $0.hit(of: hits[point] ?? 0) }).sorted().map { "\(point):\($0)" }
        }
        // A broker that knows no ids takes again what it had confirmed when the mover died before it was noted.
        let doubled = try await kill(place, kills, atMost: pair[1] == "sqlite" ? 0 : Self.window(to: pair[1]))
        Self.tell(pair, hits, kills, doubled)
    }

    private static func tell(_ pair: [String], _ hits: [String: Int], _ kills: [String], _ doubled: Int) {
        print(
            "migration \(pair[0]) → \(pair[1]): \(hits.count) failpoints, \(kills.count) kills, \(doubled) duplicates"
        )
    }

    /// Which of the hits of a failpoint is meant.
    private enum Place {
        case first, middle, last

        func hit(of count: Int) -> Int {
            switch self {
            case .first: 1
            case .middle: (count + 1) / 2
            case .last: count
            }
        }
    }

    /// Fills the source; the groups stand at different positions where what is ready is listed and not worked out.
    private func fill(_ place: MigrationPlace) async throws -> Set<Trace> {
        let isListed = ["sqlite:", "redis:"].contains { place.sourceURL.hasPrefix($0) }
        return try await place.fill(Self.count, apart: isListed)
    }

    /// A run without kills, which tells how often each failpoint is hit.
    private func cleanRun(_ place: MigrationPlace) async throws -> [String: Int] {
        let before = try await fill(place)
        let clean = await (try place.child("apply")).wait(atMost: 120)
        #expect(clean.status == 0, "\(clean.errors)")
        let result = try await place.problems(before, at: place.targetURL)
        #expect(result.problems == [] && result.doubled == 0)
        return Self.hits(clean.output)
    }

    /// Kills a run at each of some failpoints, lets it go on, and looks at what is there.
    ///
    /// - Parameters:
    ///   - place: Where everything is.
    ///   - kills: The failpoints with the hits.
    ///   - most: How many duplicates each kill may make.
    /// - Returns: How many duplicates there were together.
    /// - Throws: When something cannot be carried out.
    private func kill(_ place: MigrationPlace, _ kills: [String], atMost most: Int) async throws -> Int {
        var doubled = 0
        for kill in kills {
            let (before, killed) = try await killedRun(place, kill)
            #expect(killed.status == -SIGKILL, "\(kill) \(killed.errors)")
            let again = await (try place.child("apply")).wait(atMost: 120)
            #expect(again.status == 0, "\(kill) \(again.errors)")
            let result = try await place.problems(before, at: place.targetURL)
            #expect(result.problems == [], "\(kill)")
            #expect(result.doubled <= most, "\(kill)")
            doubled += result.doubled
        }
        return doubled
    }

    /// Fills the source and lets a run die at a failpoint.
    ///
    /// How a broker hands its messages out differs a little from run to run: one that never came to the last hit is
    /// followed by one that dies earlier.
    ///
    /// - Parameters:
    ///   - place: Where everything is.
    ///   - kill: The failpoint with the hit.
    /// - Returns: What there was before, and how the run ended.
    /// - Throws: When something cannot be carried out.
    private func killedRun(
        _ place: MigrationPlace,
        _ kill: String
    ) async throws -> (before: Set<Trace>, ended: MQProcess.Outcome) {
        let parts = kill.split(separator: ":").map(String.init)
        var hit = parts.last.flatMap { Int($0) } ?? 1
        var attempt = 0
        while true {
            attempt += 1
            try await place.clear()
            let before = try await fill(place)
            let ended = await (try place.child("apply", failpoint: "\(parts[0]):\(hit)")).wait(atMost: 120)
            let seen = Self.hits(ended.output)[parts[0]] ?? 0
            guard ended.status == 0, seen > 0, seen < hit, attempt < 4 else { return (before, ended) }
            hit = seen
        }
    }

    @Test("killed on the way, and taken back: nothing is lost", arguments: pairs + rabbitMQPairs.prefix(2))
    func killsThenRollback(pair: [String]) async throws {
        let place = try MigrationPlace(from: pair[0], to: pair[1])
        var (runs, doubled) = (0, 0)
        let all = ["begin", "declare", "open", "remember", "close", "intend", "reserve", "restore", "done", "remove"]
        let hasRabbitMQ = pair.contains("rabbitmq")
        for effect in hasRabbitMQ ? ["open", "close", "reserve", "restore", "remove"] : all {
            for hit in hasRabbitMQ ? [1] : [1, 2] {
                guard let found = try await rollback(place, "\(effect).after:\(hit)") else { continue }
                runs += 1
                doubled += found
            }
        }
        #expect(runs >= (hasRabbitMQ ? 5 : 12))
        print("migration \(pair[0]) → \(pair[1]) and back: \(runs) kills, \(doubled) duplicates")
    }

    @Test(
        "the same on the way to Kafka, and taken back when all has gone over",
        .enabled(if: PrivateKafka.isWanted, "\(PrivateKafka.unwanted)"),
        arguments: [["sqlite", "kafkaCluster"]]
    )
    func rollbackOnKafka(pair: [String]) async throws {
        let place = try MigrationPlace(from: pair[0], to: pair[1])
        let before = try await fill(place)
        let moved = await (try place.child("quarantine")).wait(atMost: 120)
        #expect(moved.status == 0, "\(moved.errors)")
        let over = try await place.contents(place.targetURL, takingReady: false)
        #expect(Set(over.map(\.place)) == Set(before.map(\.place)))
        let back = await (try place.child("rollback")).wait(atMost: 240)
        #expect(back.status == 0, "\(back.errors)")
        let result = try await place.problems(before, at: place.sourceURL)
        // Nobody was killed.
        #expect(result.problems == [] && result.doubled == 0)
        // Each of them takes half a minute, because who joins a group of the mock cluster waits three seconds.
        let kills = ["close.after:1", "reserve.after:1", "restore.after:2", "done.after:1"]
        var doubled = 0
        for kill in kills {
            let found = try await rollback(place, kill)
            #expect(found != nil, "\(kill): nobody was killed")
            doubled += found ?? 0
        }
        print("migration \(pair[0]) → \(pair[1]) and back: \(kills.count) kills, \(doubled) duplicates")
    }

    /// Kills a run at a failpoint, takes the migration back, and looks at what is there.
    ///
    /// - Parameters:
    ///   - place: Where everything is.
    ///   - kill: The failpoint with the hit.
    /// - Returns: How many duplicates there were; `nil` when it was not killed, because what is done only once leaves
    ///   nothing to be taken back.
    /// - Throws: When something cannot be carried out.
    private func rollback(_ place: MigrationPlace, _ kill: String) async throws -> Int? {
        try await place.clear()
        let before = try await fill(place)
        let killed = await (try place.child("apply", failpoint: kill)).wait(atMost: 120)
        guard killed.status == -SIGKILL else { return nil }
        let back = await (try place.child("rollback")).wait(atMost: 240)
        #expect(back.status == 0, "\(kill) \(back.errors)")
        // The one that was killed may have taken something there.
        let result = try await place.problems(before, at: place.sourceURL, allowsHeld: true)
        #expect(result.problems == [], "\(kill)")
        #expect(result.doubled <= Self.window(to: place.stops[1]), "\(kill)")
        return result.doubled
    }

    @Test("killed on the way, killed on the way back, and moved after all: nothing is lost", arguments: pairs)
    func killsThenForwardAgain(pair: [String]) async throws {
        let place = try MigrationPlace(from: pair[0], to: pair[1])
        var (runs, doubled) = (0, 0)
        for effect in ["advance", "close", "reserve", "restore", "done", "remove"] {
            try await place.clear()
            let before = try await fill(place)
            let killed = await (try place.child("apply", failpoint: "restore.after:2")).wait(atMost: 120)
            #expect(killed.status == -SIGKILL, "\(effect): \(killed.errors)")
            let back = await (try place.child("rollback", failpoint: "\(effect).after:2")).wait(atMost: 120)
            // What is done only once leaves nothing to be gone on with.
            if back.status == 0 { continue }
            #expect(back.status == -SIGKILL, "\(effect): \(back.errors)")
            let forward = await (try place.child("forward")).wait(atMost: 120)
            #expect(forward.status == 0, "\(effect): \(forward.errors)")
            // The one that was killed on the way back had taken something there.
            let result = try await place.problems(before, at: place.targetURL, allowsHeld: true)
            #expect(result.problems == [], "\(effect)")
            // A crash on the way there and one on the way back.
            #expect(result.doubled <= Self.window(to: pair[1]) + Self.window(to: pair[0]), "\(effect)")
            runs += 1
            doubled += result.doubled
        }
        #expect(runs >= 4)
        print("migration \(pair[0]) → \(pair[1]), back and there again: \(runs * 2) kills, \(doubled) duplicates")
    }

    /// The first, the middle and the last hit; against a server only the middle one unless a person asks for more.
    private static func chosen(_ count: Int, _ pair: [String]) -> Set<Int> {
        let middle = (count + 1) / 2
        return pair.contains("redis") && !hasTime ? [middle] : [1, middle, count]
    }

    private static func hits(_ output: String) -> [String: Int] {
        output.split(separator: "\n").reduce(into: [:]) { hits, line in
            let words = line.split(separator: " ")
            if words.count == 3, words[0] == "hit" { hits[String(words[1])] = Int(words[2]) }
        }
    }
}
