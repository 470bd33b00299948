import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingRabbitMQ
import MessagingRedis
import MessagingSQLite

/// What a message is like somewhere, for comparing before and after.
struct Trace: Hashable, CustomStringConvertible {
    let id: String
    let group: String?
    let state: StoredMessage.State
    let body: [UInt8]
    let attempts: Int
    let failures: Int
    let due: Date?

    init(_ stored: StoredMessage) {
        id = stored.message.id.rawValue
        group = stored.group
        state = stored.state
        body = stored.message.body
        attempts = stored.attempts
        failures = stored.history.count
        due = stored.due
    }

    var place: String { "\(id) \(group ?? "*")" }
    var description: String { "\(place) \(state) \(attempts)/\(failures)" }
}

/// A folder with SQLite files and a journal, and the servers that are needed.
final class MigrationPlace: Sendable {
    static let name = "orders"
    static let groups = ["billing", "shipping"]

    let folder: URL
    private let redis: PrivateRedis?
    private let rabbitMQ: PrivateRabbitMQ?
    let sourceURL: String
    let targetURL: String

    /// Makes a place between two of `sqlite`, `redis` and `rabbitmq`.
    init(from source: String, to target: String) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mq-migration-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        let redis = [source, target].contains("redis") ? try PrivateRedis() : nil
        let rabbitMQ = [source, target].contains("rabbitmq") ? try PrivateRabbitMQ() : nil
        func url(_ kind: String, _ file: String) -> String {
            switch kind {
            case "redis": redis?.url ?? ""
            case "rabbitmq": rabbitMQ?.url ?? ""
            default: "sqlite:\(folder.appending(path: file).path)"
            }
        }
        (sourceURL, targetURL) = (url(source, "a.sqlite"), url(target, "b.sqlite"))
        (self.folder, self.redis, self.rabbitMQ) = (folder, redis, rabbitMQ)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    var journal: String { folder.appending(path: "migration.sqlite").path }
    var environment: [String: String] {
        [
            "MQ_MIGRATION_JOURNAL": journal, "MQ_MIGRATION_LEASE": "300ms",
            "MQ_SQLITE_URL": "sqlite:\(folder.path)/x.sqlite",
        ].merging(rabbitMQ.map { ["MQ_RABBITMQ_URL": $0.url] } ?? [:]) { $1 }
    }

    func open(_ url: String) throws -> any MessageQueue {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        if url.hasPrefix("sqlite:") { return SQLiteQueue(try SQLiteConfiguration(url: url), logger: logger) }
        if url.hasPrefix("amqp:") {
            // Its label says where it is and nothing else.
            return RabbitMQQueue(try RabbitMQConfiguration(url: rabbitMQ?.url ?? url), logger: logger)
        }
        return RedisQueue(try RedisConfiguration(url: url), logger: logger)
    }

    /// Removes everything, so that the same servers can be used again.
    func clear() async throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) {
            try FileManager.default.removeItem(at: folder.appending(path: name))
        }
        _ = try redis?.cli("FLUSHALL")
    }

    /// A process that carries a migration out.
    ///
    /// - Parameters:
    ///   - command: What it does.
    ///   - failpoint: Where it kills itself.
    ///   - stops: Whether it only stops there.
    /// - Returns: The process.
    /// - Throws: When it cannot be started.
    func child(_ command: String, failpoint: String? = nil, stops: Bool = false) throws -> MQProcess {
        var environment = failpoint.map { ["MQ_CHILD_FAILPOINT": $0] } ?? [:]
        if stops { environment["MQ_CHILD_STOPS"] = "1" }
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

    /// Puts so many messages into each state that can be moved, and returns what there is then.
    func fill(_ count: Int, lease: Duration = .seconds(1)) async throws -> Set<Trace> {
        let queue = try open(sourceURL)
        try await queue.declare(
            QueueDefinition(
                Self.name,
                groups: Self.groups.map { GroupDefinition($0, lease: lease, maxAttempts: 50) }
            )
        )
        for state in ["dead", "waiting", "ready"] {
            try await publish((0..<count).map { Self.message("\(state)-\($0)") }, queue)
            guard state != "ready" else { break }
            for group in Self.groups {
                let consumer = try await queue.consume(Self.name, group: group, consumer: "filler")
                var left = count
                while left > 0 {
                    let deliveries = try await consumer.receive(max: min(500, left), wait: .seconds(5))
                    guard !deliveries.isEmpty else { throw QueueError(.unavailable, "nothing came while filling") }
                    left -= deliveries.count
                    let settlement: Settlement =
                        state == "dead"
                        ? .reject(reason: .rejected, error: "no") : .retry(after: .seconds(3600), error: "later")
                    for outcome in try await consumer.settle(deliveries.map { SettleRequest($0.receipt, settlement) }) {
                        if let error = outcome.error { throw error }
                    }
                }
                await consumer.close()
            }
        }
        try await publish((0..<count).map { Self.message("later-\($0)", due: .after(.seconds(3600))) }, queue)
        await queue.close()
        return Set(try await contents(sourceURL))
    }

    private func publish(_ messages: [Message], _ queue: any MessageQueue) async throws {
        for outcome in try await queue.publish(messages, to: Self.name) { if let error = outcome.error { throw error } }
    }

    static func message(_ text: String, due: Message.Due? = nil) -> Message {
        Message(
            body: Array(text.utf8) + [0, 255],
            id: MessageID(text),
            key: "key-\(text)",
            headers: ["colour": "blue"],
            contentType: "application/x-test",
            due: due
        )
    }

    /// Everything that a side holds and can list.
    func contents(_ url: String) async throws -> [Trace] {
        let queue = try open(url)
        guard let transfer = queue.transfer else { return [] }
        guard try await definition(queue) != nil else { return [] }
        var found: [Trace] = []
        let unlisted = try await transfer.limits().unlisted
        let ofGroups = [StoredMessage.State.ready, .inFlight, .waiting].flatMap { state in
            Self.groups.map { (state, $0 as String?) }
        }
        for (state, group) in ofGroups + [(.scheduled, nil), (.dead, nil), (.reserved, nil)]
        where unlisted[state] == nil {
            var cursor: String?
            repeat {
                let page = try await transfer.stored(
                    in: Self.name,
                    state: state,
                    group: group,
                    after: cursor,
                    limit: 500
                )
                found += page.elements.map(Trace.init)
                cursor = page.next
            } while cursor != nil
        }
        await queue.close()
        return found
    }

    /// The settings of the queue; none where there is not even a file.
    private func definition(_ queue: any MessageQueue) async throws(QueueError) -> QueueDefinition? {
        do throws(QueueError) {
            return try await queue.definition(of: Self.name)
        } catch {
            guard error.code == .notFound else { throw error }
            return nil
        }
    }

    /// What is wrong with what is at a place if it should be what was there before, and how many are there twice.
    func problems(_ before: Set<Trace>, at url: String) async throws -> (problems: [String], doubled: Int) {
        let left = try await contents(url == targetURL ? sourceURL : targetURL)
        var problems = left.isEmpty ? [] : ["\(left.count) left behind: \(left.prefix(3))"]
        let places = Dictionary(grouping: try await contents(url), by: \.place)
        var doubled = 0
        for trace in before {
            guard let found = places[trace.place], let one = found.first else {
                problems.append("missing: \(trace)")
                continue
            }
            doubled += found.count - 1
            if one.state != trace.state || one.body != trace.body { problems.append("\(trace) is \(one)") }
            if one.attempts < trace.attempts || one.failures < trace.failures { problems.append("\(trace) is \(one)") }
            if let due = trace.due, (one.due ?? .distantPast) < due.addingTimeInterval(-0.01) {
                problems.append("too early: \(trace)")
            }
        }
        let known = Set(before.map(\.place))
        for (place, _) in places where !known.contains(place) { problems.append("extra: \(place)") }
        return (problems, doubled)
    }
}
