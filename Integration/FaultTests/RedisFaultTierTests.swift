import BrokerSupport
import Foundation
import Messaging
import MessagingConformance
import Testing

/// The fault tier of the contract suite on a Redis of each test's own, with a proxy in front and children beside.
@Suite(
    "Redis keeps the contract when something breaks",
    .enabled(if: PrivateRedis.isInstalled, "redis-server is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(15))
)
struct RedisFaultTierTests {
    @Test(arguments: FaultEffort.cases)
    func keeps(_ law: ConformanceCase) async throws {
        let broker = try await RedisFaults()
        let runner = ConformanceRunner(RedisFaultHarness(broker: broker), timeLimit: FaultEffort.timeLimit)
        let report = try await runner.run([law])
        await broker.close()
        let result = try #require(report.results.first)
        // Everything can be broken here: what is not possible would be a hole.
        #expect(result.outcome == .passed, "\(result.outcome): \(result.reason ?? "")")
    }

    @Test("with the default fsync a killed server loses no more than its window")
    func window() async throws {
        let law = try #require(Conformance.find("fault.kill9Broker"))
        let broker = try await RedisFaults(["--appendfsync", "everysec"])
        let runner = ConformanceRunner(RedisFaultHarness(broker: broker), timeLimit: FaultEffort.timeLimit)
        let report = try await runner.run([law])
        await broker.close()
        #expect(report.isPassed, "\(report.results.compactMap(\.reason).joined())")
    }
}

extension RedisFaultTierTests {
    @Test("what is refused sends nothing, counted on the proxy")
    func honest() async throws {
        let law = try #require(Conformance.find("cap.honest"))
        let broker = try await RedisFaults(timeout: .seconds(10))
        let runner = ConformanceRunner(RedisFaultHarness(broker: broker), timeLimit: FaultEffort.timeLimit)
        let report = try await runner.run([law])
        await broker.close()
        #expect(report.isPassed, "\(report.results.compactMap(\.reason).joined())")
    }
}

extension RedisFaultTierTests {
    @Test("a connection that cannot be set up is unavailable, and leaves nothing unknown")
    func silentServer() async throws {
        let broker = try await RedisFaults()
        let queue = try await broker.makeQueue()
        let proxy = try await broker.proxy()
        try await proxy.apply(.drop(.replies))
        let error = await #expect(throws: QueueError.self) {
            try await queue.publish([Message(text: "x")], to: "orders")
        }
        #expect(error?.code == .unavailable && error?.isRetryable == true)
        #expect(error?.message.contains("unknown") == false, "\(error?.message ?? "")")
        #expect(error?.message.contains("did not answer in time while the connection was set up") == true)
        await queue.close()
        await broker.close()
    }
}

extension RedisFaultTierTests {
    private static let chaosRuns = ProcessInfo.processInfo.environment["MQ_TEST_CHAOS_RUNS"].flatMap { Int($0) } ?? 0

    @Test(
        "chaos, again and again, each with a seed of its own",
        .enabled(if: chaosRuns > 0, "MQ_TEST_CHAOS_RUNS says how often"),
        .timeLimit(.minutes(60)),
        arguments: 0..<max(1, chaosRuns)
    )
    func chaos(_ number: Int) async throws {
        let law = try #require(Conformance.find("fault.chaos"))
        let broker = try await RedisFaults()
        let report = try await ConformanceRunner(RedisFaultHarness(broker: broker), timeLimit: .seconds(3600)).run([law]
        )
        await broker.close()
        #expect(report.isPassed, "\(report.results.compactMap(\.reason).joined())")
    }
}

extension RedisFaultTierTests {
    @Test("a queue that vanished is made again; wherever that is cut, a refused message is not there")
    func vanishedQueue() async throws {
        let broker = try await RedisFaults()
        let queue = try await broker.makeQueue()
        let proxy = try await broker.proxy()
        let definition = QueueDefinition("orders", groups: [GroupDefinition("workers")])
        try await queue.declare(definition)
        /// Publishes to a queue that is gone, and says what publishing said.
        func publish(_ number: Int, _ fault: ProxyFault) async throws -> PublishOutcome? {
            try broker.server.cli("FLUSHALL")
            try await proxy.apply(fault)
            do throws(QueueError) {
                return try await queue.publish([Message(text: "x", id: MessageID("m\(number)"))], to: "orders").first
            } catch {
                return error.code == .indeterminate ? .indeterminate(error) : .refused(error)
            }
        }
        let before = try await proxy.traffic().replyBytes
        guard case .accepted? = try await publish(0, .none) else {
            Issue.record("the queue was not made again")
            return
        }
        let size = try await proxy.traffic().replyBytes - before
        var unknown = 0
        for bytes in Array(stride(from: 0, to: size, by: max(1, size / 60))) + [size - 3, size - 2, size - 1] {
            _ = try? await queue.definition(of: "orders")
            _ = try? await queue.definition(of: "orders")
            let outcome = try await publish(1 + bytes, .cut(.replies, after: bytes))
            try await proxy.apply(.none)
            let count = Int(try broker.server.cli("XLEN", "orders")) ?? -1
            switch outcome {
            case .accepted?: #expect(count == 1, "cut after \(bytes) bytes, accepted and not there")
            case .refused(let error)?: #expect(count == 0, "cut after \(bytes) bytes, refused and there: \(error)")
            case .indeterminate?: unknown += 1
            default: Issue.record("cut after \(bytes) bytes, publishing said \(String(describing: outcome))")
            }
        }
        // At least the end of the last answer leaves it open.
        #expect(unknown >= 3)
        await queue.close()
        await broker.close()
    }
}
