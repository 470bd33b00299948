import Messaging
import MessagingConformance
import MessagingSQLite
import TestSupport
import Testing

/// The shipped SQL statements, each broken in one way, and the case of the suite that must see it.
@Suite("A mistake in a SQL statement is found", .timeLimit(.minutes(2)))
struct SQLiteBreakageTests {
    /// A mistake that was made by hand, and the case that finds it.
    struct Breakage: Sendable, CustomStringConvertible {
        let name: String
        let change: SQLStatementChange
        let foundBy: String

        init(_ name: String, _ find: String, _ replacement: String, foundBy: String) {
            self.name = name
            change = SQLStatementChange(find, replacement)
            self.foundBy = foundBy
        }

        var description: String { name }
    }

    /// A file on a manual clock whose clients all make the mistake.
    private struct BrokenHarness: ConformanceHarness {
        let clock = ManualClock()
        let file: TemporaryFile
        let change: SQLStatementChange?

        var timeUnit: Duration { .seconds(1) }
        var tolerance: Duration { .milliseconds(100) }
        var now: Duration { clock.now }

        func makeQueue() async throws -> any MessageQueue {
            file.makeQueue(clock: clock.queueClock) { $0.statementChanges = change.map { [$0] } ?? [] }
        }
        func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }
        func advance(by duration: Duration) async throws { clock.advance(by: duration) }
    }

    private static let inFlight = "mq_inflight WHERE group_id = ? AND seq = ? AND fence = ?"
    private static let unfenced = "mq_inflight WHERE group_id = ? AND seq = ? AND ? > 0"

    static let breakages: [Breakage] = [
        Breakage(
            "acknowledge-without-fence",
            "DELETE FROM \(inFlight)",
            "DELETE FROM \(unfenced)",
            foundBy: "lease.fence"
        ),
        Breakage(
            "move-without-fence",
            "SELECT attempt, redrives, history FROM \(inFlight)",
            "SELECT attempt, redrives, history FROM \(unfenced)",
            foundBy: "lease.fenceMoves"
        ),
        Breakage(
            "renew-without-fence",
            "UPDATE mq_inflight SET until = ? WHERE group_id = ? AND seq = ? AND fence = ?",
            "UPDATE mq_inflight SET until = ? WHERE group_id = ? AND seq = ? AND ? > 0",
            foundBy: "lease.fenceMoves"
        ),
        Breakage(
            "renew-changes-nothing",
            "SET until = ? WHERE",
            "SET until = until + 0 * ? WHERE",
            foundBy: "lease.extend"
        ),
        Breakage(
            "dedupe-window-ignored",
            "INSERT OR IGNORE INTO",
            "INSERT OR REPLACE INTO",
            foundBy: "pub.retrySameID"
        ),
        Breakage(
            "digest-dropped",
            "(id, digest, published_at) VALUES (?, ?, ?)",
            "(id, digest, published_at) VALUES (?, NULL + ?, ?)",
            foundBy: "pub.idConflict"
        ),
        Breakage(
            "redrive-keeps-the-letter",
            "DELETE FROM mq_dead WHERE number = ?",
            "DELETE FROM mq_dead WHERE number = ? AND 0",
            foundBy: "dlq.redrive"
        ),
        Breakage(
            "letter-without-error",
            "SELECT ?, ?, ?, ?, ?, ?, ?, ?, due",
            "SELECT ?, ?, ?, NULL + ?, ?, ?, ?, ?, due",
            foundBy: "dlq.reason"
        ),
        Breakage(
            "taken-retries-stay",
            "DELETE FROM mq_waiting WHERE group_id = ? AND due = ? AND seq = ?",
            "DELETE FROM mq_waiting WHERE group_id = ? AND due = ? AND seq = ? AND 0",
            foundBy: "settle.retry"
        ),
        Breakage("slow-groups-forgotten", "g.cursor < ?3", "0", foundBy: "group.fanout"),
        Breakage(
            "position-not-kept",
            "UPDATE mq_group SET cursor = ?, fence",
            "UPDATE mq_group SET cursor = min(cursor, ?), fence",
            foundBy: "settle.ack"
        ),
        Breakage(
            "due-messages-stay",
            "DELETE FROM mq_scheduled WHERE number = ?",
            "DELETE FROM mq_scheduled WHERE number = ? AND 0",
            foundBy: "schedule.deliver"
        ),
        Breakage(
            "cancel-does-nothing",
            "WHERE queue_id = ? AND id = ? AND due > ?",
            "WHERE queue_id = ? AND id = ? AND due > ? AND 0",
            foundBy: "schedule.cancel"
        ),
        Breakage(
            "attempts-not-kept",
            "(group_id, due, seq, attempt, redrives, history) VALUES (?, ?, ?, ?, ?, ?)",
            "(group_id, due, seq, attempt, redrives, history) VALUES (?, ?, ?, 0 * ?, ?, ?)",
            foundBy: "settle.retry"
        ),
    ]

    @Test("by the case that is named", arguments: breakages)
    func isFound(_ breakage: Breakage) async throws {
        let law = try #require(Conformance.find(breakage.foundBy))
        // The control arm: the case passes where nothing is broken.
        try await law.run(on: BrokenHarness(file: try TemporaryFile(), change: nil))
        let runner = ConformanceRunner(BrokenHarness(file: try TemporaryFile(), change: breakage.change))
        let result = try #require(try await runner.run([law]).results.first)
        print(
            "breakage \(breakage) \(law) \(result.outcome == .failed ? "found: " : "NOT FOUND ")\((result.reason ?? "").prefix(120))"
        )
        #expect(result.outcome == .failed, "\(law) does not find \(breakage): \(result.reason ?? "it passes")")
        #expect(result.reason?.contains("syntax error") != true)
    }
}
