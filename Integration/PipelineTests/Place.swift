import BrokerSupport
import Foundation
import GRDB
import KafkaMock
import Logging
import Messaging
import MessagingKafka
import MessagingPipeline
import MessagingRabbitMQ
import MessagingRedis
import MessagingSQLite

@testable import mq

/// A backend of a test's own, with what only its own tools can tell of it.
enum Place: Sendable {
    case redis(PrivateRedis)
    /// A node of the test's own for the messages, and a file in a folder for what is no message.
    case rabbitmq(PrivateRabbitMQ, TestFolder)
    /// A SQLite file in a folder of its own.
    case sqlite(TestFolder)
    /// A server of Kafka's protocol, and a folder with the file of what is no message.
    case kafka(PrivateKafka, TestFolder)
    /// librdkafka's mock cluster of three brokers in this process, and such a folder.
    case kafkaCluster(QueueCluster, TestFolder)

    /// The kinds of places, for parameters of tests.
    enum Kind: String, CaseIterable {
        case redis
        case rabbitmq
        case sqlite
        case kafka
        case kafkaCluster

        /// The kinds whose tests do not need a process of their own.
        static let ordinary: [Kind] = [.redis, .rabbitmq, .sqlite]

        func make() throws -> Place {
            switch self {
            case .kafkaCluster:
                .kafkaCluster(
                    try QueueCluster(Layer.workers.compactMap { $0.definition(lease: .seconds(1)) }),
                    try TestFolder()
                )
            case .kafka: .kafka(try PrivateKafka(), try TestFolder())
            case .redis: .redis(try PrivateRedis())
            // The figure of what consumers hold is five seconds old otherwise.
            case .rabbitmq: .rabbitmq(try PrivateRabbitMQ(["collect_statistics_interval = 200"]), try TestFolder())
            case .sqlite: .sqlite(try TestFolder())
            }
        }
    }

    private static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    var url: String {
        switch self {
        case .kafka(let server, _): server.url
        case .kafkaCluster(let cluster, _): cluster.url
        case .redis(let server): server.url
        case .rabbitmq(let server, _): server.url
        case .sqlite(let folder): "sqlite://\(folder.path)/mq.sqlite"
        }
    }

    /// What a process of `mq` needs in its environment.
    var environment: [String: String] {
        switch self {
        case .rabbitmq(_, let folder), .kafka(_, let folder), .kafkaCluster(_, let folder):
            ["MQ_SQLITE_URL": "sqlite://\(folder.path)/mq.sqlite"]
        case .redis, .sqlite: [:]
        }
    }

    /// A client, and what the pipeline keeps beside the queues.
    func open() throws -> (queue: any MessageQueue, stores: PipelineStores) {
        switch self {
        case .redis:
            let queue = RedisQueue(try RedisConfiguration(url: url), logger: Self.silent)
            return (queue, .redis(RedisCommands(queue)))
        case .rabbitmq(_, let folder):
            let queue = RabbitMQQueue(try RabbitMQConfiguration(url: url), logger: Self.silent)
            let file = SQLiteQueue(
                try SQLiteConfiguration(url: "sqlite://\(folder.path)/mq.sqlite"),
                logger: Self.silent
            )
            return (queue, .sqlite(SQLiteStorage(file)))
        case .kafka(_, let folder), .kafkaCluster(_, let folder):
            let queue = KafkaQueue(try KafkaConfiguration(url: url), logger: Self.silent)
            let file = SQLiteQueue(SQLiteConfiguration(path: folder.path + "/mq.sqlite"), logger: Self.silent)
            return (queue, .sqlite(SQLiteStorage(file)))
        case .sqlite:
            let queue = SQLiteQueue(try SQLiteConfiguration(url: url), logger: Self.silent)
            return (queue, .sqlite(SQLiteStorage(queue)))
        }
    }

    /// Removes everything.
    func wipe() throws {
        switch self {
        case .redis(let server): try server.cli("FLUSHALL")
        case .rabbitmq(let server, let folder):
            // The queues stay; who declares them again finds them empty.
            try server.ctl(["eval", "[rabbit_amqqueue:purge(Q) || Q <- rabbit_amqqueue:list()]."])
            try folder.clear()
        case .sqlite(let folder): try folder.clear()
        case .kafka(let server, let folder):
            try server.wipe()
            try folder.clear()
        case .kafkaCluster(let cluster, let folder):
            try cluster.wipe()
            try folder.clear()
        }
    }

    /// What the backend's own tools find wrong with the data; `nil` when nothing is, or when it has none.
    func damage() throws -> String? {
        let folder: TestFolder
        switch self {
        case .redis: return nil
        case .rabbitmq(_, let beside), .kafka(_, let beside), .kafkaCluster(_, let beside): folder = beside
        case .sqlite(let own): folder = own
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
