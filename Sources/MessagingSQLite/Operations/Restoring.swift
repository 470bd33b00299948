#if SQLite
import GRDB
import Messaging

/// What comes from elsewhere with the state that it had there.
extension Transaction {
    func restore(_ messages: [StoredMessage], to name: String, maxBodyBytes: Int) throws -> [PublishOutcome] {
        let queue = try queue(name)
        let note = try prepared("INSERT OR IGNORE INTO mq_restored (queue_id, id) VALUES (?, ?)")
        return try messages.map { stored in
            if let problem = MessageRules.problem(stored.message, maxBodyBytes: maxBodyBytes, queue: name) {
                return .refused(problem)
            }
            let isNew = try note.run(.integer(queue.id), .text(stored.id)) == 1
            if !isNew { return .duplicate }
            guard let problem = try write(stored, queue) else { return .accepted }
            try prepared("DELETE FROM mq_restored WHERE queue_id = ? AND id = ?")
                .run(.integer(queue.id), .text(stored.id))
            return .refused(problem)
        }
    }

    func forgetRestored(of name: String) throws {
        try prepared("DELETE FROM mq_restored WHERE queue_id = ?").run(.integer(try queue(name).id))
    }

    /// Writes a message in; returns why it cannot be.
    private func write(_ stored: StoredMessage, _ queue: QueueInfo) throws -> QueueError? {
        guard let name = stored.group else {
            if stored.state == .dead {
                return QueueError(.invalidArgument, "a dead letter must name its group", queue: queue.name)
            }
            // What is due already goes into the log with the next look.
            try insert(stored, with: Self.scheduling, [.integer(queue.id), .integer(due(stored) ?? now)])
            wake(queue)
            return nil
        }
        guard let group = queue.group(name) else {
            return QueueError(.notFound, "there is no group '\(name)'; declare it first", queue: queue.name)
        }
        if let death = stored.death {
            try insert(
                stored,
                with: Self.burying,
                [
                    .integer(queue.id), .integer(group.id), .text(death.reason.rawValue),
                    .optional(death.error.map(Failure.shortened)), .integer(stored.attempts),
                    .integer(stored.redrives), .integer(death.failedAt.map(FileTime.present) ?? now),
                    .optional(History.encode(stored.history)), .optional(due(stored)),
                ]
            )
            return nil
        }
        return try write(stored, for: group, queue)
    }

    private func write(_ stored: StoredMessage, for group: GroupInfo, _ queue: QueueInfo) throws -> QueueError? {
        let later = due(stored).flatMap { $0 > now ? $0 : nil }
        let key = queue.isKeyed ? stored.message.key : nil
        if let key, later != nil || stored.attempts > 0 {
            // What waits behind a key has neither a time nor attempts.
            guard try enterLane(key, group) else {
                return QueueError(
                    .queueFull,
                    "a retry cannot follow others of its key; try again when they are done",
                    queue: queue.name
                )
            }
        }
        try insert(stored, with: Self.redriving, [.optional(due(stored))])
        let pending = Pending(
            position: -database.lastInsertedRowID,
            attempt: stored.attempts,
            redrives: stored.redrives,
            history: History.encode(stored.history)
        )
        if later != nil || stored.attempts > 0 {
            try wait(pending, until: later ?? now, group)
            wake(group, of: queue)
        } else {
            try bring(pending, key: key, group, queue)
        }
        return nil
    }

    private func due(_ stored: StoredMessage) -> Int64? { stored.due.map(FileTime.future) }

    private static let scheduling = insertion(into: "mq_scheduled", ["queue_id", "due"])
    private static let redriving = insertion(into: "mq_redriven", ["due"])
    private static let burying = insertion(
        into: "mq_dead",
        ["queue_id", "group_id", "reason", "error", "attempts", "redrives", "failed_at", "history", "due"]
    )

    private static func insertion(into table: String, _ columns: [String]) -> String {
        let all = columns + ["id", "body", "key", "content_type", "headers", "published_at"]
        let marks = Array(repeating: "?", count: all.count).joined(separator: ", ")
        return "INSERT INTO \(table) (\(all.joined(separator: ", "))) VALUES (\(marks))"
    }

    private func insert(_ stored: StoredMessage, with statement: String, _ values: [SQLValue]) throws {
        try prepared(statement).run(
            values + [
                .text(stored.message.id.rawValue), .bytes(stored.message.body), .optional(stored.message.key),
                .optional(stored.message.contentType), .optional(HeaderCoding.encode(stored.message.headers)),
                .integer(stored.publishedAt.map(FileTime.present) ?? now),
            ]
        )
    }

    // MARK: - Remembered ids

    func remember(_ ids: [RememberedID], of name: String) throws {
        let queue = try queue(name)
        guard queue.dedupeWindow > 0 else { return }
        let insert = try prepared(queue.sql.insertSeen)
        for remembered in ids {
            // As if it had been published so long before its end as the window is.
            let published = min(FileTime.present(remembered.until), FileTime.latest) - queue.dedupeWindow
            guard Saturating.sum(published, queue.dedupeWindow) > now else { continue }
            try insert.run(.text(remembered.id.rawValue), .null, .integer(published))
        }
        // The next pass of upkeep may not come later than the earliest of them ends.
        try prepared("UPDATE mq_queue SET sweep_at = min(sweep_at, ?) WHERE id = ? AND sweep_at > 0")
            .run(.integer(now), .integer(queue.id))
    }
}
#endif
