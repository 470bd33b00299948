import BrokerSupport
import Foundation
import GRDB
import Logging
import Messaging
import MessagingSQLite

/// A file in a temporary folder of its own, removed with the last reference.
final class QueueFile: Sendable {
    let folder: URL
    var path: String { folder.appending(path: "mq.sqlite").path }
    var url: String { "sqlite://\(path)" }

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "mq-sqlite-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func makeQueue() -> SQLiteQueue {
        SQLiteQueue(
            SQLiteConfiguration(path: path, maxBodyBytes: 1 << 20),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    /// The size of the file without its log.
    var bytes: Int { (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0 }

    /// Starts a child program on the file.
    func start(_ mode: String, _ words: [String]) throws -> MQProcess {
        try MQProcess([mode, url] + words, program: MQProcess.built("queue-child"))
    }

    /// What SQLite finds wrong with the file; `ok` when nothing is.
    func integrity() throws -> String? {
        var configuration = Configuration()
        // Clients that come and go lock the file for a moment.
        configuration.busyMode = .timeout(10)
        return try DatabaseQueue(path: path, configuration: configuration).read {
            try String.fetchOne($0, sql: "PRAGMA integrity_check")
        }
    }
}
