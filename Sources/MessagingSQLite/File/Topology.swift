#if SQLite
import Messaging

/// A queue as it is in the file, with the statements that name its tables.
struct QueueInfo: Sendable {
    let id: Int64
    let name: String
    /// In milliseconds, as all times in the file.
    let dedupeWindow: Int64
    let retention: Int64
    let maxReady: Int?
    let isKeyed: Bool
    /// No publications are taken.
    let isClosed: Bool
    let groups: [GroupInfo]
    let sql: QueueSQL

    /// The low byte of the number, by which processes tell each other which queue it is about.
    var signal: UInt8 { UInt8(truncatingIfNeeded: id) }

    func group(_ name: String) -> GroupInfo? { groups.first { $0.name == name } }

    var definition: QueueDefinition {
        QueueDefinition(
            name,
            groups: groups.map(\.definition),
            dedupeWindow: .milliseconds(dedupeWindow),
            retention: .milliseconds(retention),
            maxReady: maxReady,
            ordering: isKeyed ? .keyed : .unordered
        )
    }
}

/// A group as it is in the file.
struct GroupInfo: Sendable {
    let id: Int64
    let definition: GroupDefinition
    /// The lease in milliseconds.
    let lease: Int64

    var name: String { definition.name }
}

/// The statements that name the tables of one queue, made once.
struct QueueSQL: Sendable {
    let insertMessage: String
    let insertSeen: String
    let selectSeen: String
    let replaceSeen: String
    let forget: String
    let read: String
    let readOne: String
    let readKey: String
    let delete: String
    let deleteRun: String
    let bury: String
    let publishedAt: String
    let promote: String

    init(_ id: Int64) {
        let message = "mq_message_\(id)"
        let seen = "mq_seen_\(id)"
        insertMessage = """
            INSERT INTO \(message) (seq, due, id, body, key, content_type, headers, published_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?)
            """
        insertSeen = "INSERT OR IGNORE INTO \(seen) (id, digest, published_at) VALUES (?, ?, ?)"
        selectSeen = "SELECT digest, published_at FROM \(seen) WHERE id = ?"
        replaceSeen = "UPDATE \(seen) SET digest = ?2, published_at = ?3 WHERE id = ?1"
        forget = "DELETE FROM \(seen) WHERE id = ?"
        read = """
            SELECT \(MessageRow.columns), seq FROM \(message) WHERE seq > ? ORDER BY seq LIMIT ?
            """
        readOne = "SELECT \(MessageRow.columns) FROM \(message) WHERE seq = ?"
        readKey = "SELECT key FROM \(message) WHERE seq = ?"
        delete = "DELETE FROM \(message) WHERE seq = ?"
        deleteRun = "DELETE FROM \(message) WHERE seq BETWEEN ? AND ?"
        bury = QueueSQL.bury(from: message, where: "seq")
        publishedAt = "SELECT published_at FROM \(message) WHERE seq > ? ORDER BY seq LIMIT 1"
        promote = """
            INSERT INTO \(message) (seq, due, id, body, key, content_type, headers, published_at)
            SELECT ?2, due, id, body, key, content_type, headers, published_at FROM mq_scheduled WHERE number = ?1
            """
    }

    /// Copies a message to the dead letters.
    static func bury(from table: String, where column: String) -> String {
        """
        INSERT INTO mq_dead (queue_id, group_id, reason, error, attempts, redrives, failed_at, history,
            due, id, body, key, content_type, headers, published_at)
        SELECT ?, ?, ?, ?, ?, ?, ?, ?, due, id, body, key, content_type, headers, published_at
        FROM \(table) WHERE \(column) = ?
        """
    }
}

extension Transaction {
    /// Returns a queue.
    ///
    /// - Throws: `QueueError` with the code `notFound`, `DatabaseError`.
    func queue(_ name: String) throws -> QueueInfo {
        guard let queue = try existing(name) else {
            throw QueueError(.notFound, "there is no such queue; declare it first", queue: name)
        }
        return queue
    }

    /// Returns a queue and one of its groups.
    ///
    /// - Throws: `QueueError` with the code `notFound`, `DatabaseError`.
    func group(_ name: String, of queue: String) throws -> (QueueInfo, GroupInfo) {
        let info = try self.queue(queue)
        guard let group = info.group(name) else {
            throw QueueError(.notFound, "there is no group '\(name)'; declare it first", queue: queue)
        }
        return (info, group)
    }

    /// Returns a queue if there is one; what the process knows is used as long as nobody has declared anything.
    func existing(_ name: String) throws -> QueueInfo? {
        if !isTopologyChecked {
            let version =
                try prepared("SELECT value FROM mq_meta WHERE name = 'topology'").first { $0.integer(0) } ?? 0
            if version != writer.topology {
                writer.topology = version
                writer.queues = [:]
            }
            isTopologyChecked = true
        }
        if let known = writer.queues[name] { return known }
        let found = try Topology.read(name, prepared)
        writer.queues[name] = found
        return found
    }

    /// Tells every process that what it knows about queues is old.
    func noteTopologyChange() throws {
        try prepared("UPDATE mq_meta SET value = value + 1 WHERE name = 'topology'").run()
        isTopologyChecked = false
    }
}

/// Reads queues and groups.
enum Topology {
    static func read(_ name: String, _ prepared: (String) throws -> Prepared) throws -> QueueInfo? {
        let row = try prepared(
            "SELECT id, dedupe_window, retention, max_ready, keyed, closed FROM mq_queue WHERE name = ?"
        )
        .first(.text(name)) { row in
            (
                id: row.integer(0), window: row.integer(1), retention: row.integer(2),
                maxReady: row.optionalInteger(3), isKeyed: row.integer(4) != 0, isClosed: row.integer(5) != 0
            )
        }
        guard let row else { return nil }
        var groups: [GroupInfo] = []
        try prepared("SELECT id, name, lease, max_attempts, start FROM mq_group WHERE queue_id = ? ORDER BY id")
            .each(.integer(row.id)) { group in
                groups.append(
                    GroupInfo(
                        id: group.integer(0),
                        definition: GroupDefinition(
                            group.text(1),
                            start: start(group.text(4)),
                            lease: .milliseconds(group.integer(2)),
                            maxAttempts: Int(clamping: group.integer(3))
                        ),
                        lease: group.integer(2)
                    )
                )
            }
        return QueueInfo(
            id: row.id,
            name: name,
            dedupeWindow: row.window,
            retention: row.retention,
            maxReady: row.maxReady.map { Int(clamping: $0) },
            isKeyed: row.isKeyed,
            isClosed: row.isClosed,
            groups: groups,
            sql: QueueSQL(row.id)
        )
    }

    /// `earliest`, `latest`, or milliseconds since 1970.
    static func text(_ start: GroupDefinition.Start) -> String {
        switch start {
        case .earliest: "earliest"
        case .latest: "latest"
        case .at(let date): String(UnixTime.milliseconds(date))
        }
    }

    private static func start(_ text: String) -> GroupDefinition.Start {
        switch text {
        case "latest": .latest
        case "earliest": .earliest
        default: Int64(text).map { .at(UnixTime.date($0)) } ?? .earliest
        }
    }
}
#endif
