import BrokerSupport
import Foundation
import GRDB
import Logging
import Messaging
import MessagingKafka
import MessagingRedis
import MessagingSQLite

@testable import mq

/// A backend of a test's own, with what only its own tools can tell of it.
enum Place: Sendable {
    case redis(PrivateRedis)
    /// A SQLite file in a folder of its own.
    case sqlite(TestFolder)
    /// A server of Kafka's protocol, and a folder with the file of what is no message.
    case kafka(PrivateKafka, TestFolder)

    /// The kinds of places, for parameters of tests.
    enum Kind: String, CaseIterable {
        case redis
        case sqlite
        case kafka

        /// The kinds that this machine has what it takes for.
        static let installed = allCases.filter { $0 != .kafka || PrivateKafka.isInstalled }

        func make() throws -> Place {
            switch self {
            case .kafka: .kafka(try PrivateKafka(), try TestFolder())
            case .redis: .redis(try PrivateRedis())
            case .sqlite: .sqlite(try TestFolder())
            }
        }
    }

    private static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// What the programs of the pipeline find in their environment.
    var environment: [String: String] {
        guard case .kafka(_, let folder) = self else { return [:] }
        return ["MQ_SQLITE_URL": "sqlite://\(folder.path)/mq.sqlite"]
    }

    var url: String {
        switch self {
        case .kafka(let server, _): server.url
        case .redis(let server): server.url
        case .sqlite(let folder): "sqlite://\(folder.path)/mq.sqlite"
        }
    }

    /// A client, and what the pipeline keeps beside the queues.
    func open() throws -> (queue: any MessageQueue, stores: PipelineStores) {
        switch self {
        case .kafka(_, let folder):
            let file = SQLiteQueue(SQLiteConfiguration(path: folder.path + "/mq.sqlite"), logger: Self.silent)
            let queue = KafkaQueue(try KafkaConfiguration(url: url), logger: Self.silent)
            return (queue, .sqlite(SQLiteStorage(file)))
        case .redis:
            let queue = RedisQueue(try RedisConfiguration(url: url), logger: Self.silent)
            return (queue, .redis(RedisCommands(queue)))
        case .sqlite:
            let queue = SQLiteQueue(try SQLiteConfiguration(url: url), logger: Self.silent)
            return (queue, .sqlite(SQLiteStorage(queue)))
        }
    }

    /// Removes everything.
    func wipe() throws {
        switch self {
        case .redis(let server): try server.cli("FLUSHALL")
        case .sqlite(let folder): try folder.clear()
        case .kafka(let server, let folder):
            try server.wipe()
            try folder.clear()
        }
    }

    /// What the backend's own tools find wrong with the data; `nil` when nothing is, or when it has none.
    func damage() throws -> String? {
        let folder: TestFolder
        switch self {
        case .redis: return nil
        case .sqlite(let own), .kafka(_, let own): folder = own
        }
        guard FileManager.default.fileExists(atPath: folder.path + "/mq.sqlite") else { return nil }
        var configuration = Configuration()
        configuration.busyMode = .timeout(10)
        let file = try DatabaseQueue(path: folder.path + "/mq.sqlite", configuration: configuration)
        let answer = try file.read { try String.fetchOne($0, sql: "PRAGMA integrity_check") }
        return answer == "ok" ? nil : answer ?? "no answer"
    }
}

/// A temporary folder that goes with its last reference.
final class TestFolder: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "mq-place-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    /// Removes what is in it.
    func clear() throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: path) {
            try FileManager.default.removeItem(atPath: path + "/" + name)
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}
