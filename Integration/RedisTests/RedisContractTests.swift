import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingConformance
import MessagingRedis
import TestSupport
import Testing

/// The contract's cases on a live Redis: the server of `Integration/with-brokers`, or one of the test's own.
struct RedisHarness: ConformanceHarness {
    let url: String

    var timeUnit: Duration { .milliseconds(250) }
    var tolerance: Duration { .milliseconds(100) }

    func makeQueue() async throws -> any MessageQueue {
        var configuration = try RedisConfiguration(url: url)
        configuration.maxBodyBytes = 1 << 20
        return RedisQueue(configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }

    func injectForeign(body: [UInt8], into queue: String) async throws -> Bool {
        guard let port = URL(string: url)?.port else { return false }
        // As hexadecimal digits: arguments of programs are text without NUL.
        let script = """
            local body = ARGV[1]:gsub('..', function(digits) return string.char(tonumber(digits, 16)) end)
            return redis.call('XADD', KEYS[1], '*', 'payload', body)
            """
        let digits = body.map { String(format: "%02x", $0) }.joined()
        let entry = try PrivateRedis.cli(port: port, ["EVAL", script, "1", queue, digits])
        return entry.contains("-")
    }
}

@Suite(
    "Redis keeps the contract",
    .enabled(if: PrivateRedis.isInstalled, "redis-server is not installed; make test installs it"),
    // One at a time: the cases measure delays, and the client and the server share the machine.
    .serialized,
    .timeLimit(.minutes(5))
)
struct RedisContractTests {
    @Test(arguments: Conformance.cases(upTo: .full))
    func keeps(_ law: ConformanceCase) async throws {
        // Without the server of `with-brokers`, one for each case, so that it ends with the case.
        let shared = ProcessInfo.processInfo.environment["MQ_TEST_REDIS_URL"]
        let own = shared == nil ? try PrivateRedis() : nil
        let harness = RedisHarness(url: shared ?? own?.url ?? "")
        defer { own?.stop() }
        let probe = try await harness.makeQueue()
        let capabilities = try await probe.capabilities()
        await probe.close()
        for feature in law.requires where !capabilities[feature].isAvailable {
            // Not a skip: what is not claimed is refused, and that is checked.
            return try await Self.refuses(feature, harness)
        }
        try await law.run(on: harness)
    }

    /// A feature that is not claimed throws `unsupported`.
    private static func refuses(_ feature: Capabilities.Feature, _ harness: RedisHarness) async throws {
        #expect(feature == .keyedOrder)
        let queue = try await harness.makeQueue()
        let error = await #expect(throws: QueueError.self) {
            try await queue.declare(QueueDefinition(harness.uniqueName("keyed"), ordering: .keyed))
        }
        #expect(error?.code == .unsupported)
        await queue.close()
    }
}
