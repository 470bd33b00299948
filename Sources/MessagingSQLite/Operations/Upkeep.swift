#if SQLite
import GRDB
import Logging
import Messaging

/// What keeps a file small: messages beyond their retention, ids beyond their window, consumers that are gone, and pages
/// that nobody uses.
///
/// Each run does a bounded part of it, in a transaction of its own.
struct Upkeep: Sendable {
    let logger: Logger

    /// How many rows of a table one run looks at, when little has been published.
    private static let rows = 2000
    /// How many at most.
    private static let mostRows = 100_000
    /// How many pages are given back to the file system at once; each may have to be moved.
    private static let pages = 4000
    /// How many while others use the file.
    private static let pagesWhileBusy = 128

    /// Does a part of what is to be done.
    ///
    /// - Returns: Whether nothing is left for now.
    func run(_ database: Database, _ memory: WriterMemory, now: Int64, isBusy: Bool) throws -> Bool {
        try database.beginTransaction(.immediate)
        let transaction = Transaction(database, writer: memory, now: now)
        var names: [String] = []
        try transaction.prepared("SELECT name FROM mq_queue").each { names.append($0.text(0)) }
        // Ids go as fast as they come, with time to catch up.
        let rows = min(max(Self.rows, 4 * memory.published), Self.mostRows)
        memory.published = 0
        for name in names {
            guard let queue = try transaction.existing(name) else { continue }
            if queue.retention > 0 { try trim(queue, rows, transaction) }
            if queue.dedupeWindow > 0 { try sweep(queue, rows, transaction) }
        }
        try transaction.prepared(
            """
            DELETE FROM mq_processed WHERE (scope, id) IN (
                SELECT scope, id FROM mq_processed INDEXED BY mq_processed_until WHERE until <= ? LIMIT ?)
            """
        ).run(.integer(now), .integer(rows))
        try transaction.prepared("DELETE FROM mq_consumer WHERE seen_at < ?").run(.integer(now - Membership.memory))
        try transaction.flush()
        try database.commit()
        return try shrink(database, isBusy)
    }

    func report(_ error: any Error) {
        logger.debug("upkeep of the file was put off", metadata: [LogKeys.error: "\(error)"])
    }

    /// Removes messages that every group has finished and that are older than the retention.
    ///
    /// What is old and unfinished is passed over; the next run goes on behind it.
    private func trim(_ queue: QueueInfo, _ rows: Int, _ transaction: Transaction) throws {
        let cursors = try transaction.prepared("SELECT min(cursor) FROM mq_group WHERE queue_id = ?")
            .first(.integer(queue.id)) { $0.optionalInteger(0) }
        guard let read = cursors ?? nil else { return }
        let pending =
            try transaction.prepared(
                """
                SELECT min(place) FROM (
                    SELECT (SELECT min(seq) FROM mq_inflight WHERE group_id = g.id AND seq > 0) AS place
                        FROM mq_group g WHERE queue_id = ?1
                    UNION ALL
                    SELECT (SELECT min(seq) FROM mq_waiting INDEXED BY mq_waiting_seq
                        WHERE group_id = g.id AND seq > 0) FROM mq_group g WHERE queue_id = ?1
                    UNION ALL
                    SELECT (SELECT min(seq) FROM mq_held INDEXED BY mq_held_seq
                        WHERE group_id = g.id AND seq > 0) FROM mq_group g WHERE queue_id = ?1)
                """
            ).first(.integer(queue.id)) { $0.optionalInteger(0) } ?? nil
        let start = transaction.writer.trimmed[queue.id] ?? 0
        let horizon = transaction.now - queue.retention
        let part = """
            SELECT seq, published_at FROM mq_message_\(queue.id) WHERE seq > ?1 AND seq <= ?2 ORDER BY seq
                LIMIT \(rows)
            """
        let seen = try transaction.prepared("SELECT count(*), max(seq), max(published_at) FROM (\(part))")
            .first(.integer(start), .integer(read)) { ($0.integer(0), $0.integer(1), $0.integer(2)) }
        let removed = try transaction.prepared(
            """
            DELETE FROM mq_message_\(queue.id) WHERE seq IN (SELECT seq FROM (\(part)) m
                WHERE published_at <= ?3 AND (seq < ?4 OR NOT EXISTS (SELECT 1 FROM mq_group g WHERE g.queue_id = ?5 AND (
                    EXISTS (SELECT 1 FROM mq_inflight i WHERE i.group_id = g.id AND i.seq = m.seq)
                    OR EXISTS (SELECT 1 FROM mq_waiting w INDEXED BY mq_waiting_seq
                        WHERE w.group_id = g.id AND w.seq = m.seq)
                    OR EXISTS (SELECT 1 FROM mq_held h INDEXED BY mq_held_seq
                        WHERE h.group_id = g.id AND h.seq = m.seq)))))
            """
        ).run(
            .integer(start),
            .integer(read),
            .integer(horizon),
            .integer(pending ?? .max),
            .integer(queue.id)
        )
        transaction.noteStored(-removed, queue)
        // From the begin again once something is young enough to stay.
        let isOld = seen.map { $0.0 == Int64(rows) && $0.2 <= horizon } ?? false
        transaction.writer.trimmed[queue.id] = isOld ? seen?.1 : nil
    }

    /// Forgets ids whose window has passed, a part of the table at a time.
    ///
    /// A pass over the table begins when the first id that the last pass left can have gone out of its window.
    private func sweep(_ queue: QueueInfo, _ rows: Int, _ transaction: Transaction) throws {
        let state = try transaction.prepared("SELECT swept, sweep_at FROM mq_queue WHERE id = ?")
            .first(.integer(queue.id)) { ($0.text(0), $0.integer(1)) }
        guard let (swept, at) = state else { return }
        // `sweep_at` is when the next pass begins; while one is under way it is the earliest id seen by it, negative.
        guard at <= transaction.now else { return }
        var earliest = at < 0 ? -at : Int64.max
        var last = ""
        var count = 0
        let horizon = transaction.now - queue.dedupeWindow
        var old: [String] = []
        try transaction.prepared(
            "SELECT id, published_at FROM mq_seen_\(queue.id) WHERE id > ? ORDER BY id LIMIT \(rows)"
        ).each(.text(swept)) { row in
            count += 1
            last = row.text(0)
            let published = row.integer(1)
            if published <= horizon { old.append(last) } else { earliest = min(earliest, published) }
        }
        let delete = try transaction.prepared(queue.sql.forget)
        for id in old { try delete.run(.text(id)) }
        let isDone = count < rows
        let next = isDone ? min(earliest, transaction.now) + queue.dedupeWindow : -min(earliest, transaction.now)
        try transaction.prepared("UPDATE mq_queue SET swept = ?, sweep_at = ? WHERE id = ?")
            .run(.text(isDone ? "" : last), .integer(next), .integer(queue.id))
    }

    /// Gives unused pages back to the file system: when they are most of the file while others use it, because pages
    /// have to be moved for that, and down to a quarter of it otherwise.
    ///
    /// - Returns: Whether no more than that are left.
    private func shrink(_ database: Database, _ isBusy: Bool) throws -> Bool {
        let pages = try Int.fetchOne(database, sql: "PRAGMA page_count") ?? 0
        let free = try Int.fetchOne(database, sql: "PRAGMA freelist_count") ?? 0
        func isEnough(_ free: Int, of pages: Int) -> Bool { free <= 256 || free * 4 <= pages * (isBusy ? 3 : 1) }
        if isEnough(free, of: pages) { return true }
        let step = isBusy ? Self.pagesWhileBusy : Self.pages
        try database.execute(sql: "PRAGMA incremental_vacuum(\(step))")
        let isDone = isEnough(free - step, of: pages - step)
        // The file itself gets shorter when the log is written back to it.
        if isDone { _ = try Row.fetchOne(database, sql: "PRAGMA wal_checkpoint(PASSIVE)") }
        return isDone
    }
}
#endif
