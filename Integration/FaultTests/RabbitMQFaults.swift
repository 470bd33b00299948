import BrokerSupport
import Dispatch
import Foundation
import Logging
import Messaging
import MessagingConformance
import MessagingConformanceFaults
import MessagingRabbitMQ
import Synchronization

/// A private RabbitMQ with a proxy in front of it.
///
/// A node takes seconds to start, so the tests share one, and what a case breaks is mended when it ends.
final class RabbitMQFaults: FaultControl {
    let server: PrivateRabbitMQ
    private let tcp: TCPFaultProxy
    /// Whether clients may have declared queues since the node was last told to write down which there are.
    private let mayHaveDeclared = Mutex(false)

    private init() async throws {
        server = try await Self.blocking { try PrivateRabbitMQ() }
        tcp = try await TCPFaultProxy.start(to: server.port)
    }

    // MARK: - The one that is shared

    private static let starting = Mutex<Task<RabbitMQFaults, any Error>?>(nil)
    private static let running = Mutex<RabbitMQFaults?>(nil)

    /// The one of this process, started by who asks first.
    static func shared() async throws -> RabbitMQFaults {
        let task = starting.withLock { starting in
            if let starting { return starting }
            let task = Task {
                let broker = try await RabbitMQFaults()
                running.withLock { $0 = broker }
                // A value that lives as long as the process is never deinitialized.
                atexit { RabbitMQFaults.running.withLock { $0 }?.server.remove() }
                return broker
            }
            starting = task
            return task
        }
        return try await task.value
    }

    // MARK: - Clients

    /// A client that goes through the proxy.
    func makeQueue() async throws -> any MessageQueue {
        try client(tcp.port) { configuration in
            // Longer than a machine stands still.
            configuration.connectTimeout = .seconds(3)
            configuration.commandTimeout = .seconds(4)
            configuration.heartbeat = .seconds(2)
        }
    }

    /// A client that goes straight to the server and judges: it waits for a busy machine.
    func makeDirectQueue() throws -> any MessageQueue {
        try client(server.port) { configuration in
            configuration.connectTimeout = .seconds(4)
            configuration.commandTimeout = .seconds(4)
        }
    }

    private func client(
        _ port: Int,
        _ change: (inout RabbitMQConfiguration) -> Void
    ) throws -> any MessageQueue {
        mayHaveDeclared.withLock { $0 = true }
        var configuration = RabbitMQConfiguration(port: port, management: server.management)
        configuration.maxBodyBytes = 1 << 20
        change(&configuration)
        return RabbitMQQueue(configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// A connect, a login and a call, once each, and the second chance of a call whose connection was dead.
    var patience: Duration { .seconds(14) }
    /// Its socket closes with its process.
    var registrationLimit: Duration { .seconds(2) }

    /// Longer, and with a seed, when a person asks for it.
    var chaosTime: Duration { .seconds(Self.variable("MQ_TEST_CHAOS_SECONDS") ?? 20) }
    var effort: Double { FaultEffort.value }
    var chaosSeed: UInt64? { Self.variable("MQ_TEST_CHAOS_SEED") }

    private static func variable<Value: FixedWidthInteger>(_ name: String) -> Value? {
        ProcessInfo.processInfo.environment[name].flatMap { Value($0) }
    }

    func proxy() async throws -> any FaultProxy { tcp }

    // MARK: - The broker

    func broker(_ change: BrokerChange) async throws {
        let server = server
        // Cases that kill a node are about messages, so it is made to write first which queues there are.
        let isUnwritten = mayHaveDeclared.withLock { mayHaveDeclared in
            defer { if change == .kill { mayHaveDeclared = false } }
            return mayHaveDeclared
        }
        try await Self.blocking {
            switch change {
            case .stop: server.stop()
            case .kill:
                if isUnwritten { try server.writeDownQueues() }
                server.crash()
            case .start: try server.start()
            case .pause: server.signal(SIGSTOP)
            case .resume: server.signal(SIGCONT)
            case .refuseWrites: try server.ctl(["set_vm_memory_high_watermark", "absolute", "1"])
            case .acceptWrites: try server.ctl(["set_vm_memory_high_watermark", "0.6"])
            }
        }
    }

    /// Does what takes seconds on a thread that no task waits for.
    private static func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value
    {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(with: Result { try body() }) }
        }
    }

    func startChild(_ job: FaultChildJob) async throws -> any FaultChild {
        mayHaveDeclared.withLock { $0 = true }
        return try FaultProcess(job, on: server.url)
    }
}

/// The suite on a private RabbitMQ that it may break.
struct RabbitMQFaultHarness: ConformanceHarness {
    let broker: RabbitMQFaults

    var timeUnit: Duration { .milliseconds(500) }
    /// The unit of delays is 100 ms, and each level takes some time.
    var tolerance: Duration { .milliseconds(800) }
    var faults: (any FaultControl)? { broker }

    func makeQueue() async throws -> any MessageQueue { try broker.makeDirectQueue() }
    func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }

    func injectForeign(body: [UInt8], into queue: String) async throws -> Bool {
        try await Management(broker.server.url).publish(body, to: "mq.\(queue)@workers")
    }
}
