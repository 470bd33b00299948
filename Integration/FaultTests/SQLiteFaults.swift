import BrokerSupport
import Foundation
import GRDB
import Logging
import Messaging
import MessagingConformance
import MessagingSQLite
import Synchronization

/// A SQLite file that children share, and that another program can lock.
///
/// There is no connection and no broker to break.
final class SQLiteFaults: FaultControl {
    private let folder: URL
    private let locker = Mutex<DatabaseQueue?>(nil)

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "mq-fault-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    private var path: String { folder.appending(path: "mq.sqlite").path }

    var patience: Duration { .seconds(1) }
    /// A consumer that was not seen for half a minute does not count.
    var registrationLimit: Duration { .seconds(31) }

    var effort: Double { FaultEffort.value }

    func makeQueue() async throws -> any MessageQueue { client(timeout: .milliseconds(500)) }

    /// A client that judges: it waits for a busy machine.
    func makeDirectQueue() -> any MessageQueue { client(timeout: .seconds(3)) }

    private func client(timeout: Duration) -> any MessageQueue {
        SQLiteQueue(
            SQLiteConfiguration(path: path, timeout: timeout, maxBodyBytes: 1 << 20),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    func proxy() async throws -> any FaultProxy {
        throw NotPossible("a file has no connection that could be cut")
    }

    func broker(_ change: BrokerChange) async throws {
        switch change {
        case .refuseWrites:
            var configuration = Configuration()
            configuration.allowsUnsafeTransactions = true
            configuration.busyMode = .timeout(5)
            let other = try DatabaseQueue(path: path, configuration: configuration)
            try await other.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
            locker.withLock { $0 = other }
        case .acceptWrites:
            let other = locker.withLock { $0.take() }
            try await other?.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
        case .stop, .kill, .start, .pause, .resume:
            throw NotPossible("a file has no broker that could be stopped or killed")
        }
    }

    /// Publishes a message with plain SQL.
    func insert(_ body: [UInt8], into queue: String) async throws {
        var configuration = Configuration()
        configuration.busyMode = .timeout(10)
        configuration.allowsUnsafeTransactions = true
        let other = try DatabaseQueue(path: path, configuration: configuration)
        try await other.writeWithoutTransaction {
            try $0.execute(sql: "INSERT INTO mq_publish (queue, body) VALUES (?, ?)", arguments: [queue, Data(body)])
        }
    }

    func startChild(_ job: FaultChildJob) async throws -> any FaultChild {
        try FaultProcess(job, on: "sqlite://\(path)")
    }
}

/// The suite on a file of its own.
struct SQLiteFaultHarness: ConformanceHarness {
    let file: SQLiteFaults

    var timeUnit: Duration { .milliseconds(250) }
    var tolerance: Duration { .milliseconds(200) }
    var faults: (any FaultControl)? { file }

    func makeQueue() async throws -> any MessageQueue { file.makeDirectQueue() }
    func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }

    func injectForeign(body: [UInt8], into queue: String) async throws -> Bool {
        try await file.insert(body, into: queue)
        return true
    }
}
