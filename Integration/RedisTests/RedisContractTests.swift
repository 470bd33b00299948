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

    var timeUnit: Duration { .milliseconds(200) }
    // How busy the machine may be; nothing may come early whatever it is.
    var tolerance: Duration { .seconds(1) }

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
        let result = try await ConformanceRunner(harness).result(of: law)
        switch result.outcome {
        case .passed: break
        case .failed: Issue.record("\(result)")
        case .unsupported, .notPossible, .knownFailure: Issue.record("\(result)", severity: .warning)
        }
    }
}
