#if SQLite
import GRDB
import Messaging

/// Where redriven messages stand behind their key: after all that was published before, before all that comes later.
enum HeldPlace {
    /// How many messages can be redriven between two that are published.
    private static let between: Int64 = 1 << 24

    static func inLog(_ position: Int64) -> Int64 { position * between }

    /// - Parameters:
    ///   - next: The position that the next published message gets.
    ///   - last: The last place taken behind the key.
    /// - Returns: The place of the redriven message.
    static func redriven(next: Int64, last: Int64?) -> Int64 {
        max((next - 1) * between + 1, (last ?? 0) + 1)
    }
}

extension Transaction {
    /// Sends dead letters to their groups again.
    ///
    /// - Returns: The ids that were sent.
    func redrive(_ ids: [String], of name: String) throws -> [String] {
        let queue = try queue(name)
        var sent: [String] = []
        for id in ids {
            guard let number = Int64(id) else { continue }
            let letter = try prepared(
                "SELECT group_id, redrives, history, key FROM mq_dead WHERE number = ? AND queue_id = ?"
            ).first(.integer(number), .integer(queue.id)) { row in
                (
                    group: row.integer(0), redrives: Int(clamping: row.integer(1)), history: row.optionalText(2),
                    key: row.optionalText(3)
                )
            }
            guard let letter, let group = queue.groups.first(where: { $0.id == letter.group }) else { continue }
            try prepared(
                """
                INSERT INTO mq_redriven (due, id, body, key, content_type, headers, published_at)
                SELECT due, id, body, key, content_type, headers, published_at FROM mq_dead WHERE number = ?
                """
            ).run(.integer(number))
            let pending = Pending(
                position: -database.lastInsertedRowID,
                redrives: letter.redrives + 1,
                history: letter.history
            )
            try prepared("DELETE FROM mq_dead WHERE number = ?").run(.integer(number))
            try bring(pending, key: queue.isKeyed ? letter.key : nil, group, queue)
            sent.append(id)
        }
        return sent
    }

    /// Makes a message that is not in the group's part of the log available to the group.
    func bring(_ pending: Pending, key: String?, _ group: GroupInfo, _ queue: QueueInfo) throws {
        if let key, try !enterLane(key, group) {
            let place: Int64
            if pending.position > 0 {
                place = HeldPlace.inLog(pending.position)
            } else {
                let last =
                    try prepared("SELECT max(place) FROM mq_held WHERE group_id = ? AND key = ?")
                    .first(.integer(group.id), .text(key)) { $0.optionalInteger(0) } ?? nil
                place = HeldPlace.redriven(next: try nextPosition(of: queue), last: last)
            }
            try hold(pending, key, place: place, group)
            return
        }
        try wait(pending, until: now, group)
        wake(group, of: queue)
    }

    /// Removes dead letters for good.
    ///
    /// - Returns: The ids that were removed.
    func discardDeadLetters(_ ids: [String], of name: String) throws -> [String] {
        let queue = try queue(name)
        let delete = try prepared("DELETE FROM mq_dead WHERE number = ? AND queue_id = ?")
        return try ids.filter { id in
            guard let number = Int64(id) else { return false }
            return try delete.run(.integer(number), .integer(queue.id)) == 1
        }
    }

    /// Cancels scheduled messages and forgets their ids.
    ///
    /// - Returns: The ids that were cancelled.
    func cancelScheduled(_ ids: [MessageID], of name: String) throws -> [MessageID] {
        let queue = try queue(name)
        // What is due is available, whether somebody has looked or not.
        let delete = try prepared(
            // Left to itself SQLite goes through all that is scheduled.
            "DELETE FROM mq_scheduled INDEXED BY mq_scheduled_id WHERE queue_id = ? AND id = ? "
                + "AND due > ? AND due < \(FileTime.reserved)"
        )
        let forget = try prepared(queue.sql.forget)
        return try ids.filter { id in
            let removed = try delete.run(.integer(queue.id), .text(id.rawValue), .integer(now))
            if removed > 0 { try forget.run(.text(id.rawValue)) }
            return removed > 0
        }
    }
}
#endif
