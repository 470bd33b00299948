import BrokerSupport
import Foundation
import Messaging
import MessagingConformance
import Testing

/// The fault tier of the contract suite on a RabbitMQ that its tests share, with a proxy in front and children beside.
@Suite(
    "RabbitMQ keeps the contract when something breaks",
    .enabled(if: PrivateRabbitMQ.isInstalled, "rabbitmq-server is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(15))
)
struct RabbitMQFaultTierTests {
    @Test(arguments: FaultEffort.cases)
    func keeps(_ law: ConformanceCase) async throws {
        let harness = RabbitMQFaultHarness(broker: try await RabbitMQFaults.shared())
        let result = try await ConformanceRunner(harness, timeLimit: FaultEffort.timeLimit).result(of: law)
        let capabilities = try await capabilities(harness)
        let missing = law.requires.contains { !capabilities[$0].isAvailable }
        #expect(result.outcome == (missing ? .unsupported : .passed), "\(result.outcome): \(result.reason ?? "")")
    }

    private func capabilities(_ harness: RabbitMQFaultHarness) async throws -> Capabilities {
        let probe = try await harness.makeQueue()
        let capabilities = try await probe.capabilities()
        await probe.close()
        return capabilities
    }

    @Test("what is refused sends nothing, counted on the proxy")
    func honest() async throws {
        let law = try #require(Conformance.find("cap.honest"))
        let harness = RabbitMQFaultHarness(broker: try await RabbitMQFaults.shared())
        let result = try await ConformanceRunner(harness, timeLimit: FaultEffort.timeLimit).result(of: law)
        #expect(result.outcome == .passed, "\(result.reason ?? "")")
    }

    private static let chaosRuns = ProcessInfo.processInfo.environment["MQ_TEST_CHAOS_RUNS"].flatMap { Int($0) } ?? 0

    @Test(
        "chaos, again and again, each with a seed of its own",
        .enabled(if: chaosRuns > 0, "MQ_TEST_CHAOS_RUNS says how often"),
        .timeLimit(.minutes(60)),
        arguments: 0..<max(1, chaosRuns)
    )
    func chaos(_ number: Int) async throws {
        let law = try #require(Conformance.find("fault.chaos"))
        let harness = RabbitMQFaultHarness(broker: try await RabbitMQFaults.shared())
        let result = try await ConformanceRunner(harness, timeLimit: .seconds(3600)).result(of: law)
        #expect(result.outcome == .passed, "\(result.reason ?? "")")
    }
}
