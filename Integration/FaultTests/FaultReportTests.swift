import BrokerSupport
import Foundation
import Messaging
import MessagingConformance
import MessagingMemory
import Testing

private let reportFolder = ProcessInfo.processInfo.environment["MQ_TEST_REPORTS"]

/// Writes what the fault tier comes to, for the matrix of docs/guarantees.md; see Integration/guarantees.
@Suite(
    "Reports of the fault tier",
    .enabled(if: reportFolder != nil, "MQ_TEST_REPORTS says into which folder they are written"),
    .serialized,
    .timeLimit(.minutes(20))
)
struct FaultReportTests {
    /// Those of the fault tier, and what needs a client that knows nothing of this library.
    private static let cases = Conformance.all.filter { $0.tier == .fault || $0.id == "rt.foreign" }

    @Test(.enabled(if: PrivateRedis.isInstalled, "redis-server is not installed; make test installs it"))
    func redis() async throws {
        let broker = try await RedisFaults()
        let report = try await Self.runner(RedisFaultHarness(broker: broker)).run(Self.cases)
        await broker.close()
        try Self.write(report)
    }

    @Test(.enabled(if: PrivateRabbitMQ.isInstalled, "rabbitmq-server is not installed; make test installs it"))
    func rabbitmq() async throws {
        let harness = RabbitMQFaultHarness(broker: try await RabbitMQFaults.shared())
        try Self.write(try await Self.runner(harness).run(Self.cases))
    }

    @Test func sqlite() async throws {
        try Self.write(try await Self.runner(SQLiteFaultHarness(file: try SQLiteFaults())).run(Self.cases))
    }

    @Test func memory() async throws {
        try Self.write(try await ConformanceRunner(MemoryHarness(broker: MemoryQueue())).run(Self.cases))
    }

    private static func runner(_ harness: any ConformanceHarness) -> ConformanceRunner {
        ConformanceRunner(harness, timeLimit: FaultEffort.timeLimit)
    }

    private static func write(_ report: ConformanceReport) throws {
        #expect(report.isPassed, "\(report.results.filter { $0.outcome == .failed }.compactMap(\.reason))")
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        let folder = URL(filePath: try #require(reportFolder))
        try encoder.encode(report).write(to: folder.appending(path: "\(report.system)-faults.json"))
    }

    /// Real time, and nothing that could break.
    private struct MemoryHarness: ConformanceHarness {
        let broker: MemoryQueue

        var timeUnit: Duration { .milliseconds(200) }
        var tolerance: Duration { .seconds(1) }

        func makeQueue() async throws -> any MessageQueue { broker.makeClient() }
        func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }
    }
}
