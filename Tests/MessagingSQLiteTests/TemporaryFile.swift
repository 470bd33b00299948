import Foundation
import GRDB
import Logging
import Messaging
import MessagingSQLite

/// A file in a temporary folder of its own, removed with the last reference.
final class TemporaryFile: Sendable {
    let folder: URL
    var path: String { folder.appending(path: "mq.sqlite").path }

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "mq-sqlite-\(MessageID.make())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    /// A connection of a program that does not use this library, and waits while another one writes as it should.
    func makeConnection() throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.busyMode = .timeout(10)
        configuration.allowsUnsafeTransactions = true
        return try DatabaseQueue(path: path, configuration: configuration)
    }

    func makeQueue(
        clock: QueueClock = .system,
        _ change: (inout SQLiteConfiguration) -> Void = { _ in }
    ) -> SQLiteQueue {
        var configuration = SQLiteConfiguration(path: path, synchronous: .normal, maxBodyBytes: 1 << 20)
        change(&configuration)
        return SQLiteQueue(configuration, clock: clock, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
}
