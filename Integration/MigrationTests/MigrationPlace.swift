import BrokerSupport
import Foundation
import KafkaMock
import Logging
import Messaging
import MessagingKafka
import MessagingRabbitMQ
import MessagingRedis
import MessagingSQLite

/// A folder with SQLite files and a journal, and the servers that are needed.
final class MigrationPlace: Sendable {
    static let name = "orders"
    static let groups = ["billing", "shipping"]

    let folder: URL
    let redis: PrivateRedis?
    let rabbitMQ: PrivateRabbitMQ?
    private let kafka: PrivateKafka?
    /// librdkafka's mock cluster, where members that are killed are found out.
    private let cluster: QueueCluster?
    /// The kinds of the sides, in the order in which the queue comes to them.
    let stops: [String]

    /// The sides in the order in which the queue comes to them; the same server may be there twice.
    var urls: [String] { stops.indices.map { url(stops[$0], "\(file($0)).sqlite") } }
    var sourceURL: String { urls.first ?? "" }
    var targetURL: String { urls.last ?? "" }

    /// Makes a place between two sides, as the other initializer does.
    convenience init(from source: String, to target: String, redis settings: [String] = []) throws {
        try self.init([source, target], redis: settings)
    }

    /// Makes a place for a route over `sqlite`, `redis`, `rabbitmq`, `kafka` (a stand-in) and `kafkaCluster`.
    ///
    /// - Parameters:
    ///   - stops: Where the queue is, and where it goes one after the other; each server is there once, and each
    ///     `sqlite` is a file of its own.
    ///   - settings: Further settings of Redis.
    /// - Throws: When a server does not start.
    init(_ stops: [String], redis settings: [String] = []) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mq-migration-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        let redis = stops.contains("redis") ? try PrivateRedis(settings) : nil
        // The figure of what consumers hold, which a gate waits for, is five seconds old otherwise.
        let figures = ["collect_statistics_interval = 200"]
        let rabbitMQ = stops.contains("rabbitmq") ? try PrivateRabbitMQ(figures) : nil
        let kafka = stops.contains("kafka") ? try PrivateKafka() : nil
        cluster = stops.contains("kafkaCluster") ? try QueueCluster([Self.definition()]) : nil
        self.stops = stops
        (self.folder, self.redis, self.rabbitMQ, self.kafka) = (folder, redis, rabbitMQ, kafka)
    }

    /// What the journal calls the source: its URL without options.
    var sourceLabel: String { String(sourceURL.prefix { $0 != "?" }) }

    /// The name of the file at a stop: `a` for a source and `b` for a target, and in longer routes `a`, `b`, … in turn.
    private func file(_ index: Int) -> String {
        let number = stops.count == 2 ? index : stops[..<index].count { $0 == "sqlite" }
        return ["a", "b", "c", "d"][min(number, 3)]
    }

    private func url(_ kind: String, _ file: String) -> String {
        switch kind {
        case "redis": redis?.url ?? ""
        case "rabbitmq": rabbitMQ?.url ?? ""
        // Without options, as in the journal.
        case "kafka": kafka.map { "kafka://127.0.0.1:\($0.port)" } ?? ""
        case "kafkaCluster": cluster?.url ?? ""
        default: "sqlite:\(folder.appending(path: file).path)"
        }
    }

    static func definition(lease: Duration = .milliseconds(500)) -> QueueDefinition {
        QueueDefinition(name, groups: groups.map { GroupDefinition($0, lease: lease, maxAttempts: 50) })
    }

    deinit {
        kafka?.stop()
        try? FileManager.default.removeItem(at: folder)
    }

    /// What a child that stops at a failpoint waits for.
    var goAhead: URL { folder.appending(path: "go-ahead") }
    var journal: String { folder.appending(path: "migration.sqlite").path }
    var environment: [String: String] {
        [
            "MQ_MIGRATION_JOURNAL": journal, "MQ_MIGRATION_LEASE": "300ms",
            "MQ_SQLITE_URL": "sqlite:\(folder.path)/x.sqlite",
        ].merging(rabbitMQ.map { ["MQ_RABBITMQ_URL": $0.url] } ?? [:]) { $1 }
            .merging(kafka.map { ["MQ_KAFKA_URL": $0.url] } ?? [:]) { $1 }
    }

    func open(_ url: String) throws -> any MessageQueue {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        if url.hasPrefix("sqlite:") { return SQLiteQueue(try SQLiteConfiguration(url: url), logger: logger) }
        if url.hasPrefix("amqp:") {
            // Its label says where it is and nothing else.
            return RabbitMQQueue(try RabbitMQConfiguration(url: rabbitMQ?.url ?? url), logger: logger)
        }
        if url.hasPrefix("kafka:") {
            return KafkaQueue(try KafkaConfiguration(url: kafka?.url ?? url), logger: logger)
        }
        return RedisQueue(try RedisConfiguration(url: url), logger: logger)
    }

    /// Removes everything, so that the same servers can be used again.
    func clear() async throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
            try FileManager.default.removeItem(at: folder.appending(path: name))
        }
        _ = try redis?.cli("FLUSHALL")
        try kafka?.wipe()
        try cluster?.wipe()
        guard let rabbitMQ else { return }
        let queue = try open(rabbitMQ.url)
        _ = try await queue.deleteQueue(Self.name)
        await queue.close()
        // What waits in the levels would belong to the next queue of the name.
        let management = try Management(rabbitMQ.url)
        for level in Self.levels { try await management.purge(level) }
    }

    /// The delay levels, as docs/rabbitmq.md names them.
    static let levels = (0..<28).map { "mq.delay@100ms@\($0)" }

    /// A process that carries a migration out.
    ///
    /// - Parameters:
    ///   - command: What it does.
    ///   - failpoint: Where it kills itself.
    ///   - stops: Whether it only stops there, until it is woken and the file `goAhead` is there.
    /// - Returns: The process.
    /// - Throws: When it cannot be started.
    func child(_ command: String, failpoint: String? = nil, stops: Bool = false) throws -> MQProcess {
        var environment = failpoint.map { ["MQ_CHILD_FAILPOINT": $0] } ?? [:]
        if stops { environment["MQ_CHILD_STOPS"] = goAhead.path }
        return try MQProcess(
            ["migrate", sourceURL, targetURL, journal, Self.name, command],
            program: MQProcess.built("queue-child"),
            environment: environment
        )
    }

    /// A process that publishes `live-0`, `live-1`, … and follows the migration.
    func publisher(_ count: Int) throws -> MQProcess {
        try MQProcess(
            ["follow", sourceURL, journal, Self.name, String(count)],
            program: MQProcess.built("queue-child")
        )
    }
}
