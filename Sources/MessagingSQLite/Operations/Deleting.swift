#if SQLite
import GRDB
import Messaging

extension Transaction {
    /// Deletes a queue with all it has.
    ///
    /// - Returns: Whether there was one.
    func deleteQueue(_ name: String) throws -> Bool {
        guard let queue = try existing(name) else { return false }
        for table in ["mq_queue", "mq_group"] { try noteUsedNumbers(of: table) }
        for group in queue.groups {
            try prepared(
                """
                DELETE FROM mq_redriven WHERE number IN (
                    SELECT -seq FROM mq_inflight WHERE group_id = ?1 AND seq < 0
                    UNION ALL SELECT -seq FROM mq_waiting WHERE group_id = ?1 AND seq < 0
                    UNION ALL SELECT -seq FROM mq_held WHERE group_id = ?1 AND seq < 0)
                """
            ).run(.integer(group.id))
            for table in ["mq_inflight", "mq_waiting", "mq_held", "mq_lane", "mq_consumer"] {
                try prepared("DELETE FROM \(table) WHERE group_id = ?").run(.integer(group.id))
            }
            writer.nextExpiry[group.id] = nil
        }
        for table in ["mq_group", "mq_scheduled", "mq_dead"] {
            try prepared("DELETE FROM \(table) WHERE queue_id = ?").run(.integer(queue.id))
        }
        try database.execute(sql: "DROP TRIGGER IF EXISTS mq_publish_\(queue.id)")
        try database.execute(sql: "DROP TABLE mq_message_\(queue.id)")
        try database.execute(sql: "DROP TABLE mq_seen_\(queue.id)")
        try prepared("DELETE FROM mq_queue WHERE id = ?").run(.integer(queue.id))
        forgetStored(queue)
        writer.trimmed[queue.id] = nil
        // Who waits looks again, and is told.
        wake(queue)
        try noteTopologyChange()
        return true
    }

    /// Returns a number that no row of a table has or had: processes know queues and groups by their numbers.
    func unusedNumber(in table: String) throws -> Int64 {
        let last =
            try prepared("SELECT coalesce((SELECT value FROM mq_meta WHERE name = ?), 0)")
            .first(.text("last_\(table)")) { $0.integer(0) } ?? 0
        let present = try prepared("SELECT coalesce(max(id), 0) FROM \(table)").first { $0.integer(0) } ?? 0
        return max(last, present) + 1
    }

    private func noteUsedNumbers(of table: String) throws {
        let next = try unusedNumber(in: table)
        try prepared("INSERT OR REPLACE INTO mq_meta (name, value) VALUES (?, ?)")
            .run(.text("last_\(table)"), .integer(next - 1))
    }
}
#endif
