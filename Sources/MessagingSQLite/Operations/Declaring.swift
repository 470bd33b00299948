#if SQLite
import GRDB
import Messaging

extension Transaction {
    /// Creates a queue or adds groups to it.
    func declare(_ definition: QueueDefinition) throws {
        guard let queue = try existing(definition.name) else {
            return try create(definition)
        }
        let wanted = Self.rounded(definition)
        var conflicts = queue.definition.differences(from: wanted)
        for group in wanted.groups {
            guard let existing = queue.group(group.name) else { continue }
            conflicts += existing.definition.differences(from: group)
        }
        guard conflicts.isEmpty else {
            throw QueueError(
                .topologyConflict,
                "the queue exists with other settings: \(conflicts.joined(separator: ", ")); nothing was changed",
                queue: definition.name
            )
        }
        let missing = wanted.groups.filter { queue.group($0.name) == nil }
        if missing.isEmpty { return }
        try checkPositions(of: missing, queue)
        // What is due was there before the new groups.
        while let due = try promote(queue), due <= now {}
        let slowest = try slowestCursor(of: queue.id)
        for group in missing { try add(group, to: queue.id, named: queue.name, slowest: slowest) }
        if queue.groups.isEmpty { try removeUnread(before: missing, queue) }
        try noteTopologyChange()
    }

    private func create(_ definition: QueueDefinition) throws {
        let definition = Self.rounded(definition)
        let id = try unusedNumber(in: "mq_queue")
        try prepared(
            "INSERT INTO mq_queue (id, name, dedupe_window, retention, max_ready, keyed) VALUES (?, ?, ?, ?, ?, ?)"
        )
        .run(
            .integer(id),
            .text(definition.name),
            .integer(definition.dedupeWindow.milliseconds),
            .integer(definition.retention.milliseconds),
            .optional(definition.maxReady.map(Int64.init)),
            .integer(definition.ordering == .keyed ? 1 : 0)
        )
        for statement in Schema.tables(of: id, named: definition.name) { try database.execute(sql: statement) }
        for group in definition.groups { try add(group, to: id, named: definition.name, slowest: nil) }
        try noteTopologyChange()
    }

    /// Adds a group to a queue.
    ///
    /// Beyond the slowest group nothing has been removed, so the group reads on from there. Of what is before that only
    /// some is left; it is given to the group one by one, as if it had been taken back.
    ///
    /// `slowest` is how far the slowest group has read that was there before, `nil` when there was none.
    private func add(_ group: GroupDefinition, to id: Int64, named name: String, slowest: Int64?) throws {
        let end =
            try prepared("SELECT next_seq - 1 FROM mq_queue WHERE id = ?").first(.integer(id)) { $0.integer(0) } ?? 0
        let start: Int64
        switch group.start {
        case .earliest:
            let oldest = try prepared("SELECT min(seq) FROM mq_message_\(id)").first { $0.optionalInteger(0) } ?? nil
            start = oldest.map { $0 - 1 } ?? end
        case .latest: start = end
        case .at(let date):
            // By publication and not by place: scheduled messages enter the log later than they were published.
            let first =
                try prepared("SELECT min(seq) FROM mq_message_\(id) WHERE published_at >= ?")
                .first(.integer(FileTime.present(date))) { $0.optionalInteger(0) } ?? nil
            start = first.map { $0 - 1 } ?? end
        }
        let cursor = max(start, slowest ?? start)
        try prepared(
            "INSERT INTO mq_group (id, queue_id, name, lease, max_attempts, start, cursor) VALUES (?, ?, ?, ?, ?, ?, ?)"
        ).run(
            .integer(try unusedNumber(in: "mq_group")),
            .integer(id),
            .text(group.name),
            .integer(group.lease.milliseconds),
            .integer(group.maxAttempts),
            .text(Topology.text(group.start)),
            .integer(cursor)
        )
        guard cursor > start, let queue = try Topology.read(name, prepared), let added = queue.group(group.name) else {
            return
        }
        var left: [(Int64, String?)] = []
        try prepared("SELECT seq, key FROM mq_message_\(id) WHERE seq > ? AND seq <= ? ORDER BY seq")
            .each(.integer(start), .integer(cursor)) { left.append(($0.integer(0), $0.optionalText(1))) }
        for (position, key) in left {
            try bring(Pending(position: position), key: queue.isKeyed ? key : nil, added, queue)
        }
    }

    /// Refuses a group that would begin where messages may be missing.
    private func checkPositions(of groups: [GroupDefinition], _ queue: QueueInfo) throws {
        let complete = now - queue.retention
        for group in groups {
            guard case .at(let date) = group.start, FileTime.present(date) < complete else { continue }
            let counts = try prepared("SELECT next_seq - 1, stored FROM mq_queue WHERE id = ?")
                .first(.integer(queue.id)) { ($0.integer(0), $0.integer(1)) }
            guard let (entered, stored) = counts, stored + Int64(notedStored(queue)) < entered else { continue }
            throw QueueError.positionTrimmed(
                group: group.name,
                at: date,
                complete: UnixTime.date(complete),
                queue: queue.name
            )
        }
    }

    private func slowestCursor(of id: Int64) throws -> Int64? {
        try prepared("SELECT min(cursor) FROM mq_group WHERE queue_id = ?")
            .first(.integer(id)) { $0.optionalInteger(0) } ?? nil
    }

    /// Without any group nothing is ever finished: what the first ones skip is finished when they are added.
    private func removeUnread(before groups: [GroupDefinition], _ queue: QueueInfo) throws {
        guard queue.retention == 0 else { return }
        let removed = try prepared(
            """
            DELETE FROM mq_message_\(queue.id) WHERE seq <= (SELECT min(cursor) FROM mq_group WHERE queue_id = ?)
            """
        ).run(.integer(queue.id))
        noteStored(-removed, queue)
    }

    /// The settings as the file keeps them: times in whole milliseconds.
    private static func rounded(_ definition: QueueDefinition) -> QueueDefinition {
        var definition = definition
        definition.dedupeWindow = .milliseconds(definition.dedupeWindow.milliseconds)
        definition.retention = .milliseconds(definition.retention.milliseconds)
        for index in definition.groups.indices {
            definition.groups[index].lease = .milliseconds(definition.groups[index].lease.milliseconds)
        }
        return definition
    }
}
#endif
