import Foundation
import Logging
import Messaging
import MessagingSQLite
import TestSupport
import Testing

/// A file in a temporary folder of its own, removed with the last reference.
final class TemporaryFile: Sendable {
    let folder: URL
    var path: String { folder.appending(path: "mq.sqlite").path }

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "mq-sqlite-\(MessageID.make())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func makeQueue(
        clock: QueueClock = .system,
        _ change: (inout SQLiteConfiguration) -> Void = { _ in }
    ) -> SQLiteQueue {
        var configuration = SQLiteConfiguration(path: path, synchronous: .normal, maxBodyBytes: 1 << 20)
        change(&configuration)
        return SQLiteQueue(configuration, clock: clock, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
}

/// The contract's cases on a file, each client with connections of its own, on a clock that moves only when a case lets
/// time pass.
struct SQLiteHarness: ContractHarness {
    private let clock = ManualClock()
    private let file: TemporaryFile

    init() throws { file = try TemporaryFile() }

    var timeUnit: Duration { .seconds(1) }
    var tolerance: Duration { .milliseconds(100) }
    var now: Duration { clock.now }

    func makeQueue() async throws -> any MessageQueue { file.makeQueue(clock: clock.queueClock) }
    func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }
    func advance(by duration: Duration) async throws { clock.advance(by: duration) }
}

@Suite("SQLite keeps the contract", .timeLimit(.minutes(2)))
struct SQLiteContractTests {
    @Test(arguments: ContractCase.all)
    func keeps(_ law: ContractCase) async throws {
        try await law.run(try SQLiteHarness())
    }
}
