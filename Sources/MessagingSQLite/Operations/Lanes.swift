#if SQLite
import Messaging

/// In a keyed queue, one unfinished message of each key has the lane of the key, and the others wait behind it.
extension Transaction {
    /// Takes the lane of a key; `false` when an earlier message of the key has it.
    func enterLane(_ key: String, _ group: GroupInfo) throws -> Bool {
        try prepared("INSERT OR IGNORE INTO mq_lane (group_id, key) VALUES (?, ?)")
            .run(.integer(group.id), .text(key)) == 1
    }

    /// Puts a message behind the one that has the lane of its key.
    func hold(_ pending: Pending, _ key: String, place: Int64, _ group: GroupInfo) throws {
        try prepared("INSERT INTO mq_held (group_id, key, place, seq, redrives, history) VALUES (?, ?, ?, ?, ?, ?)")
            .run(
                .integer(group.id),
                .text(key),
                .integer(place),
                .integer(pending.position),
                .integer(pending.redrives),
                .optional(pending.history)
            )
    }

    /// Gives the lane of a finished message to the next one of its key.
    func leaveLane(of position: Int64, _ group: GroupInfo, _ queue: QueueInfo) throws {
        let sql = position < 0 ? "SELECT key FROM mq_redriven WHERE number = ?" : queue.sql.readKey
        guard let key = try prepared(sql).first(.integer(abs(position)), read: { $0.optionalText(0) }) ?? nil else {
            return
        }
        let next = try prepared(
            """
            SELECT seq, redrives, history, place FROM mq_held WHERE group_id = ? AND key = ? ORDER BY place LIMIT 1
            """
        ).first(.integer(group.id), .text(key)) { row in
            let pending = Pending(
                position: row.integer(0),
                attempt: 0,
                redrives: Int(clamping: row.integer(1)),
                history: row.optionalText(2)
            )
            return (pending, row.integer(3))
        }
        guard let (pending, place) = next else {
            try prepared("DELETE FROM mq_lane WHERE group_id = ? AND key = ?").run(.integer(group.id), .text(key))
            return
        }
        try prepared("DELETE FROM mq_held WHERE group_id = ? AND key = ? AND place = ?")
            .run(.integer(group.id), .text(key), .integer(place))
        try wait(pending, until: now, group)
        wake(group, of: queue)
    }
}
#endif
