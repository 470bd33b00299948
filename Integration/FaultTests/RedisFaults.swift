import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingConformance
import MessagingConformanceFaults
import MessagingRedis

/// A private Redis with a proxy in front of it.
final class RedisFaults: FaultControl {
    let server: PrivateRedis
    private let tcp: TCPFaultProxy
    private let changes: [RedisScriptChange]
    /// How long the clients behind the proxy wait for an answer: longer than a machine stands still.
    private let timeout: Duration

    init(
        _ arguments: [String] = ["--appendfsync", "always"],
        changes: [RedisScriptChange] = [],
        timeout: Duration = .seconds(2)
    ) async throws {
        self.timeout = timeout
        server = try PrivateRedis(arguments + ["--maxmemory-policy", "noeviction"])
        tcp = try await TCPFaultProxy.start(to: server.port)
        self.changes = changes
    }

    func close() async {
        await tcp.close()
        server.stop()
    }

    /// A client that goes through the proxy.
    func makeQueue() async throws -> any MessageQueue { try client(tcp.port, timeout: timeout) }

    /// A client that goes straight to the server and judges: it waits for a busy machine.
    func makeDirectQueue() throws -> any MessageQueue { try client(server.port, timeout: .seconds(10)) }

    private func client(_ port: Int, timeout: Duration) throws -> any MessageQueue {
        var configuration = try RedisConfiguration(url: "redis://127.0.0.1:\(port)")
        configuration.maxBodyBytes = 1 << 20
        configuration.connectTimeout = timeout
        configuration.commandTimeout = timeout
        configuration.heartbeat = Self.heartbeat
        configuration.forgetsConsumersAfter = Self.forgotten
        configuration.scriptChanges = changes
        return RedisQueue(configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private static let forgotten: Duration = .seconds(2)
    /// The longest time of one blocking read, which has the time of an answer besides.
    private static let heartbeat: Duration = .milliseconds(500)

    /// A connect, a command or a blocking read with its answer, once each.
    var patience: Duration { timeout * 3 + Self.heartbeat }
    /// As the clients are told, at the least four leases of the cases.
    var registrationLimit: Duration { .seconds(4) + Self.forgotten }

    /// Longer, and with a seed, when a person asks for it.
    var chaosTime: Duration { .seconds(Self.variable("MQ_TEST_CHAOS_SECONDS") ?? 20) }
    var chaosSeed: UInt64? { Self.variable("MQ_TEST_CHAOS_SEED") }
    var effort: Double { FaultEffort.value }

    private static func variable<Value: FixedWidthInteger>(_ name: String) -> Value? {
        ProcessInfo.processInfo.environment[name].flatMap { Value($0) }
    }

    func proxy() async throws -> any FaultProxy { tcp }

    func broker(_ change: BrokerChange) async throws {
        switch change {
        case .stop: server.stop()
        case .kill: server.crash()
        case .start: try server.start()
        case .pause: server.signal(SIGSTOP)
        case .resume: server.signal(SIGCONT)
        case .refuseWrites: try server.cli("CONFIG", "SET", "maxmemory", "1000000")
        case .acceptWrites: try server.cli("CONFIG", "SET", "maxmemory", "0")
        }
    }

    func startChild(_ job: FaultChildJob) async throws -> any FaultChild {
        try FaultProcess(job, on: server.url)
    }
}

/// The suite on a private Redis that it may break.
struct RedisFaultHarness: ConformanceHarness {
    let broker: RedisFaults

    var timeUnit: Duration { .milliseconds(250) }
    var tolerance: Duration { .milliseconds(200) }
    var faults: (any FaultControl)? { broker }

    func makeQueue() async throws -> any MessageQueue { try broker.makeDirectQueue() }
    func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }

    func injectForeign(body: [UInt8], into queue: String) async throws -> Bool {
        try PrivateRedis.add(body, to: queue, port: broker.server.port)
    }
}
