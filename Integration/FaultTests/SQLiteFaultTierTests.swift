import Messaging
import MessagingConformance
import Testing

/// The fault tier of the contract suite on a SQLite file, as far as a file can be broken: its processes die, and another
/// program locks it.
@Suite("SQLite keeps the contract when something breaks", .serialized, .timeLimit(.minutes(15)))
struct SQLiteFaultTierTests {
    /// What needs no connection and no broker.
    private static let possible: Set<String> = [
        "pub.confirmed", "crash.kill9", "crash.reaper", "crash.loop", "delay.durable", "dlq.atomic", "dlq.unavailable",
        "dlq.redriveKill", "fault.readOnly",
    ]

    @Test(arguments: FaultEffort.cases)
    func keeps(_ law: ConformanceCase) async throws {
        let harness = SQLiteFaultHarness(file: try SQLiteFaults())
        let report = try await ConformanceRunner(harness, timeLimit: FaultEffort.timeLimit).run([law])
        let result = try #require(report.results.first)
        let expected = Self.possible.contains(law.id) ? CaseResult.Outcome.passed : .notPossible
        #expect(result.outcome == expected, "\(result.outcome): \(result.reason ?? "")")
        if expected == .notPossible { #expect(result.reason?.contains("a file has no") == true) }
    }
}
