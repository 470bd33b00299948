import BrokerSupport
import Foundation
import Messaging
import TestSupport
import Testing

/// Processes that are stopped for longer than their lease, and wake when others have gone on without them.
@Suite("Migrations in which processes are stopped", .serialized, .timeLimit(.minutes(10)))
struct MigrationStopTests {
    private static let count = 70
    /// The most that a mover doubles which wakes after everything is over: what it was writing in.
    private static let window = 64

    #if os(Linux)
    /// Whether a process is stopped, as the kernel has it: the letter behind its name in parentheses.
    private static func isStopped(_ process: Int32) -> Bool {
        let text = (try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)) ?? ""
        return text.split(separator: ")").last?.split(separator: " ").first == "T"
    }

    /// Whether a process has a lock for writing on any file; a line that has `->` is of one who waits for it.
    private static func isWriting(_ process: Int32) throws -> Bool {
        try String(contentsOfFile: "/proc/locks", encoding: .utf8).split(separator: "\n").contains { line in
            let words = line.split(separator: " ")
            return words.count > 4 && words[3] == "WRITE" && words[4] == "\(process)"
        }
    }

    /// Fills the source, stops a mover at a failpoint, and lets another one work meanwhile.
    ///
    /// - Parameters:
    ///   - place: Where everything is.
    ///   - point: The failpoint.
    /// - Returns: What there was before, the mover that is stopped, and how the other one ended.
    /// - Throws: When something cannot be carried out.
    private func stoppedRun(
        _ place: MigrationPlace,
        _ point: String
    ) async throws -> (before: Set<Trace>, stopped: MQProcess, other: MQProcess.Outcome) {
        try await place.clear()
        let before = try await place.fill(Self.count)
        let stopped = try place.child("apply", failpoint: "\(point):1", stops: true)
        let hasStopped = try await eventually(within: .seconds(60)) { Self.isStopped(stopped.processID) }
        #expect(hasStopped, "\(point): \(stopped.errors)")
        // Another thread of it may have been stopped while it wrote: the file would be locked for everybody.
        let hasLetGo = try await eventually(within: .seconds(60)) {
            guard Self.isStopped(stopped.processID) else { return false }
            guard try Self.isWriting(stopped.processID) else { return true }
            stopped.signal(SIGCONT)
            return false
        }
        #expect(hasLetGo, "\(point): it was never found stopped without a lock")
        // Its lease has to run out first; whoever comes earlier is told so.
        var other = await (try place.child("apply")).wait(atMost: 120)
        for _ in 0..<50 where other.status != 0 && other.errors.contains("another process carries out") {
            other = await (try place.child("apply")).wait(atMost: 120)
        }
        return (before, stopped, other)
    }

    @Test("a mover that wakes after another has finished its work: nothing is lost, and what is doubled is bounded")
    func mover() async throws {
        let place = try MigrationPlace(from: "sqlite", to: "sqlite")
        var (runs, doubled) = (0, 0)
        for effect in ["take", "intend", "reserve", "restore", "done", "remove", "settle"] {
            for side in ["before", "after"] {
                let (before, stopped, other) = try await stoppedRun(place, "\(effect).\(side)")
                #expect(other.status == 0, "\(effect).\(side): \(other.errors)")
                try Data().write(to: place.goAhead)
                stopped.signal(SIGCONT)
                let woken = await stopped.wait(atMost: 60)
                #expect(woken.status != -SIGKILL, "\(effect).\(side): it does not end")
                let result = try await place.problems(before, at: place.targetURL)
                #expect(result.problems == [], "\(effect).\(side)")
                #expect(result.doubled <= Self.window, "\(effect).\(side)")
                runs += 1
                doubled += result.doubled
            }
        }
        print("migration sqlite → sqlite: \(runs) movers stopped and woken, \(doubled) duplicates")
    }

    // From Redis: who is stopped while it writes to an SQLite file holds that file up, and everybody is told so.
    @Test(
        "a publisher that wakes when its queue has moved: what it publishes is on the new side",
        .enabled(if: PrivateRedis.isInstalled, "redis-server is not installed"),
        arguments: [0, 100, 300]
    )
    func publisher(stopsAfter: Int) async throws {
        let place = try MigrationPlace(from: "redis", to: "sqlite")
        let before = try await place.fill(5)
        let count = 400
        let publisher = try place.publisher(count)
        let hasBegun = try await eventually(within: .seconds(30)) { publisher.output.contains("confirmed live-20\n") }
        #expect(hasBegun, "\(publisher.errors)")
        let mover = try place.child("apply")
        // A moment somewhere in the migration: which one is of no importance.
        try await Task.sleep(for: .milliseconds(stopsAfter))
        publisher.signal(SIGSTOP)
        var moved = await mover.wait(atMost: 120)
        publisher.signal(SIGCONT)
        // It may have been stopped while it wrote to the journal or to the new side: then the move goes on afterwards.
        if moved.errors.contains("locked") || moved.errors.contains("stopped") {
            moved = await (try place.child("apply")).wait(atMost: 120)
        }
        #expect(moved.status == 0, "\(moved.errors)")
        let published = await publisher.wait(atMost: 120)
        #expect(published.status == 0, "\(published.errors)")
        let left = try await place.contents(place.sourceURL).count
        #expect(left == 0)
        let found = Dictionary(grouping: try await place.contents(place.targetURL), by: \.place).mapValues(\.count)
        let expected = (0..<count).flatMap { index in MigrationPlace.groups.map { "live-\(index) \($0)" } }
        let missing = (expected + before.map(\.place)).filter { found[$0] == nil }
        #expect(missing.isEmpty)
        let doubled = expected.filter { found[$0, default: 0] > 1 }
        #expect(doubled.isEmpty)
        #expect(found.count == expected.count + before.count)
    }
    #endif
}
