import BrokerSupport
import Foundation
import KafkaMock
import Logging
import Messaging
import MessagingKafka
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

    init(_ id: String, group: String?, _ state: StoredMessage.State, body: [UInt8], attempts: Int, failures: Int) {
        (self.id, self.group, self.state, self.body) = (id, group, state, body)
        (self.attempts, self.failures, due) = (attempts, failures, nil)
    }

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
    let redis: PrivateRedis?
    let rabbitMQ: PrivateRabbitMQ?
    private let kafka: PrivateKafka?
    /// librdkafka's mock cluster, where members that are killed are found out.
    private let cluster: QueueCluster?
    private let kinds: (source: String, target: String)

    var sourceURL: String { url(kinds.source, "a.sqlite") }
    var targetURL: String { url(kinds.target, "b.sqlite") }

    /// Makes a place between two of `sqlite`, `redis`, `rabbitmq`, `kafka` (a stand-in) and `kafkaCluster`.
    ///
    /// - Parameters:
    ///   - source: Where the queue is.
    ///   - target: Where it goes.
    ///   - settings: Further settings of Redis.
    /// - Throws: When a server does not start.
    init(from source: String, to target: String, redis settings: [String] = []) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mq-migration-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        let redis = [source, target].contains("redis") ? try PrivateRedis(settings) : nil
        // The figure of what consumers hold, which a gate waits for, is five seconds old otherwise.
        let figures = ["collect_statistics_interval = 200"]
        let rabbitMQ = [source, target].contains("rabbitmq") ? try PrivateRabbitMQ(figures) : nil
        let kafka = [source, target].contains("kafka") ? try PrivateKafka() : nil
        cluster = [source, target].contains("kafkaCluster") ? try QueueCluster([Self.definition()]) : nil
        kinds = (source, target)
        (self.folder, self.redis, self.rabbitMQ, self.kafka) = (folder, redis, rabbitMQ, kafka)
    }

    /// What the journal calls the source: its URL without options.
    var sourceLabel: String { String(sourceURL.prefix { $0 != "?" }) }

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

    private static func definition(lease: Duration = .milliseconds(500)) -> QueueDefinition {
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
    private static let levels = (0..<28).map { "mq.delay@100ms@\($0)" }

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

    /// Puts so many messages into each state that can be moved, and returns what there is then.
    func fill(_ count: Int, lease: Duration = .milliseconds(500)) async throws -> Set<Trace> {
        let queue = try open(sourceURL)
        try await queue.declare(Self.definition(lease: lease))
        for state in ["dead", "waiting", "ready"] {
            try await publish((0..<count).map { Self.message("\(state)-\($0)") }, queue)
            guard state != "ready" else { break }
            for group in Self.groups {
                let consumer = try await queue.consume(Self.name, group: group, consumer: "filler")
                var left = count
                while left > 0 {
                    let deliveries = try await consumer.receive(max: min(500, left), wait: .seconds(5))
                    guard !deliveries.isEmpty else { throw QueueError(.unavailable, "nothing came while filling") }
                    let settlement: Settlement =
                        state == "dead"
                        ? .reject(reason: .rejected, error: "no") : .retry(after: .seconds(3600), error: "later")
                    for outcome in try await consumer.settle(deliveries.map { SettleRequest($0.receipt, settlement) }) {
                        // On a machine that stands still for longer than the lease, the message comes again.
                        if let error = outcome.error, error.code != .leaseLost { throw error }
                        if outcome.error == nil { left -= 1 }
                    }
                }
                await consumer.close()
            }
        }
        try await publish((0..<count).map { Self.message("later-\($0)", due: .after(.seconds(3600))) }, queue)
        let unlisted = try await queue.transfer?.limits().unlisted ?? [:]
        await queue.close()
        var before = Set(try await contents(sourceURL, takingReady: false))
        if unlisted[.ready] != nil {
            for group in Self.groups {
                for index in 0..<count {
                    let message = Self.message("ready-\(index)")
                    let id = message.id.rawValue
                    before.insert(Trace(id, group: group, .ready, body: message.body, attempts: 0, failures: 0))
                }
            }
        }
        return before
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
    ///
    /// - Parameters:
    ///   - url: The side.
    ///   - takingReady: Whether what is ready and cannot be listed is consumed to see it.
    /// - Returns: What there is.
    /// - Throws: When the side cannot be asked.
    func contents(_ url: String, takingReady: Bool = true) async throws -> [Trace] {
        let queue = try open(url)
        guard let transfer = queue.transfer, let groups = try await definition(queue)?.groups.map(\.name) else {
            await queue.close()
            return []
        }
        var found: [Trace] = []
        let unlisted = try await transfer.limits().unlisted
        let ofGroups = [StoredMessage.State.ready, .inFlight, .waiting].flatMap { state in
            groups.map { (state, $0 as String?) }
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
        if takingReady, unlisted[.ready] != nil {
            for group in groups { found += try await takeReady(group, queue, isRabbitMQ: url.hasPrefix("amqp:")) }
        }
        found += try await hiddenCopies(url, queue, found)
        await queue.close()
        return found
    }

    /// Consumes what is ready, until neither the broker nor the consumer has anything left.
    private func takeReady(_ group: String, _ queue: any MessageQueue, isRabbitMQ: Bool) async throws -> [Trace] {
        var found: [Trace] = []
        let consumer = try await queue.consume(Self.name, group: group, consumer: "looker")
        let deadline = ContinuousClock.now + .seconds(30)
        // Two looks in a row: what was sent while the machine stood still comes just after the first.
        var emptyLooks = 0
        while true {
            let deliveries = try await consumer.receive(max: 500, wait: .milliseconds(200))
            emptyLooks = deliveries.isEmpty ? emptyLooks + 1 : 0
            if emptyLooks >= 2 {
                let figures = try await queue.statistics(of: Self.name)[group]
                let left =
                    isRabbitMQ ? [figures?.ready.value, figures?.inFlight.value] : [figures?.ready.value ?? 0]
                if left.allSatisfy({ $0 == 0 }) || ContinuousClock.now >= deadline { break }
            }
            if deliveries.isEmpty { continue }
            let outcomes = try await consumer.settle(deliveries.map { SettleRequest($0.receipt, .acknowledge) })
            for (delivery, outcome) in zip(deliveries, outcomes) {
                // On a machine that stands still for longer than the lease, the message comes again.
                if outcome.error?.code == .leaseLost { continue }
                if let error = outcome.error { throw error }
                found.append(
                    Trace(
                        delivery.message.id.rawValue,
                        group: group,
                        .ready,
                        body: delivery.message.body,
                        attempts: delivery.attempt - 1,
                        failures: delivery.history.count
                    )
                )
            }
        }
        await consumer.close()
        return found
    }

    /// Further copies of what a listing of RabbitMQ shows once.
    private func hiddenCopies(_ url: String, _ queue: any MessageQueue, _ found: [Trace]) async throws -> [Trace] {
        guard url.hasPrefix("amqp:"), let rabbitMQ else { return [] }
        let management = try Management(rabbitMQ.url)
        var later = 0
        for level in Self.levels { later += try await management.count(level) }
        let dead = try await queue.statistics(of: Self.name).groups.reduce(0) { $0 + ($1.dead.value ?? 0) }
        let listed = { (states: Set<StoredMessage.State>) in found.filter { states.contains($0.state) } }
        let hidden = [(later, listed([.waiting, .scheduled])), (dead, listed([.dead]))]
        return hidden.flatMap { count, listed in listed.prefix(max(0, count - listed.count)) }
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
    ///
    /// - Parameters:
    ///   - before: What was there before.
    ///   - url: The place.
    ///   - allowsHeld: Whether what was ready may be in the hands of somebody who was killed, until its lease is over.
    /// - Returns: What is wrong in words, and the number of duplicates.
    /// - Throws: When a side cannot be asked.
    func problems(
        _ before: Set<Trace>,
        at url: String,
        allowsHeld: Bool = false
    ) async throws -> (problems: [String], doubled: Int) {
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
            let isHeld = allowsHeld && trace.state == .ready && one.state == .inFlight
            if one.state != trace.state && !isHeld || one.body != trace.body { problems.append("\(trace) is \(one)") }
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
