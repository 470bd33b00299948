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

    /// The most duplicates of one crash: what was on its way by being consumed.
    private static let window = 64

    static let pairs = [["sqlite", "sqlite"]] + (PrivateRedis.isInstalled ? [["sqlite", "redis"]] : [])

    @Test("killed at each failpoint and started again: nothing is lost, and all is there once", arguments: pairs)
    func kills(pair: [String]) async throws {
        let place = try MigrationPlace(from: pair[0], to: pair[1])
        var before = try await place.fill(Self.count)
        let clean = await (try place.child("apply")).wait(atMost: 120)
        #expect(clean.status == 0, "\(clean.errors)")
        #expect(try await place.problems(before, at: place.targetURL).problems == [])
        let hits = Self.hits(clean.output)
        #expect(hits.count >= 30)
        var (runs, doubled) = (0, 0)
        for (point, count) in hits.sorted(by: { $0.key < $1.key }) {
            for hit in Self.chosen(count, pair) {
                try await place.clear()
                before = try await place.fill(Self.count)
                let killed = await (try place.child("apply", failpoint: "\(point):\(hit)")).wait(atMost: 120)
                #expect(killed.status == -SIGKILL, "\(point):\(hit) \(killed.errors)")
                let again = await (try place.child("apply")).wait(atMost: 120)
                #expect(again.status == 0, "\(point):\(hit) \(again.errors)")
                let result = try await place.problems(before, at: place.targetURL)
                #expect(result.problems == [], "\(point):\(hit)")
                runs += 1
                doubled += result.doubled
            }
        }
        // Nobody else consumed, so that even what is taken by consuming is recognised.
        #expect(doubled == 0)
        print("migration \(pair[0]) → \(pair[1]): \(hits.count) failpoints, \(runs) kills, \(doubled) duplicates")
    }

    @Test("killed on the way, and taken back: nothing is lost", arguments: pairs)
    func killsThenRollback(pair: [String]) async throws {
        let place = try MigrationPlace(from: pair[0], to: pair[1])
        var (runs, doubled) = (0, 0)
        for effect in [
            "begin", "declare", "open", "remember", "close", "intend", "reserve", "restore", "done", "remove",
        ] {
            for hit in [1, 2] {
                try await place.clear()
                let before = try await place.fill(Self.count)
                let killed = await (try place.child("apply", failpoint: "\(effect).after:\(hit)")).wait(atMost: 120)
                // What is done only once leaves nothing to be taken back.
                guard killed.status == -SIGKILL else { continue }
                let back = await (try place.child("rollback")).wait(atMost: 120)
                #expect(back.status == 0, "\(effect):\(hit) \(back.errors)")
                let result = try await place.problems(before, at: place.sourceURL)
                #expect(result.problems == [], "\(effect):\(hit)")
                #expect(result.doubled <= Self.window)
                runs += 1
                doubled += result.doubled
            }
        }
        #expect(runs >= 12)
        print("migration \(pair[0]) → \(pair[1]) and back: \(runs) kills, \(doubled) duplicates")
    }

    /// The first, the middle and the last hit; against a server only the middle one unless a person asks for more.
    private static func chosen(_ count: Int, _ pair: [String]) -> Set<Int> {
        let hasTime = ProcessInfo.processInfo.environment["MQ_TEST_MIGRATION_MESSAGES"] != nil
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
