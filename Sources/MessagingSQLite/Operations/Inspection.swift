#if SQLite
import GRDB
import Messaging

/// What can be told of the file without changing it.
struct Inspection {
    let database: Database
    /// The wall clock, in milliseconds since 1970.
    let now: Int64

    /// How many dead letters one call looks at, so that a filter that matches nothing ends in time.
    private static let scanned = 10_000

    func prepared(_ sql: String) throws -> Prepared { try Prepared(database, sql) }

    func existing(_ name: String) throws -> QueueInfo? { try Topology.read(name, prepared) }

    func queue(_ name: String) throws -> QueueInfo {
        guard let queue = try existing(name) else {
            throw QueueError(.notFound, "there is no such queue; declare it first", queue: name)
        }
        return queue
    }

    func queues() throws -> [String] {
        var names: [String] = []
        try prepared("SELECT name FROM mq_queue").each { names.append($0.text(0)) }
        return names.sorted()
    }

    // MARK: - Figures

    func statistics(of name: String) throws -> QueueStatistics {
        let queue = try queue(name)
        let (next, stored) =
            try prepared("SELECT next_seq, stored FROM mq_queue WHERE id = ?")
            .first(.integer(queue.id)) { ($0.integer(0), Int(clamping: $0.integer(1))) } ?? (1, 0)
        // What is due counts as ready, whether somebody has looked or not.
        let due = try count("SELECT count(*) FROM mq_scheduled WHERE queue_id = ? AND due <= ?", queue.id)
        let scheduled = try count("SELECT count(*) FROM mq_scheduled WHERE queue_id = ? AND due > ?", queue.id)
        var groups: [GroupStatistics] = []
        var redriven = 0
        for group in queue.groups {
            groups.append(try statistics(group, queue, next: next, due: due, scheduled: scheduled))
            redriven += try self.redriven(group)
        }
        return QueueStatistics(
            queue: name,
            groups: groups.sorted { $0.group < $1.group },
            scheduled: .exact(scheduled),
            stored: .exact(stored + due + scheduled + redriven),
            arrived: .exact(Int(clamping: next - 1) + due)
        )
    }

    private func statistics(
        _ group: GroupInfo,
        _ queue: QueueInfo,
        next: Int64,
        due: Int,
        scheduled: Int
    ) throws -> GroupStatistics {
        let cursor =
            try prepared("SELECT cursor FROM mq_group WHERE id = ?").first(.integer(group.id)) { $0.integer(0) } ?? 0
        let again = try count("SELECT count(*) FROM mq_waiting WHERE group_id = ? AND due <= ?", group.id)
        let later = try count("SELECT count(*) FROM mq_waiting WHERE group_id = ? AND due > ?", group.id)
        let held = try count("SELECT count(*) FROM mq_held WHERE group_id = ? AND ? IS NOT NULL", group.id)
        let inFlight = try count("SELECT count(*) FROM mq_inflight WHERE group_id = ? AND until > ?", group.id)
        let last = Int64(group.definition.maxAttempts)
        let (expired, exhausted) =
            try prepared(
                """
                SELECT coalesce(sum(attempt < ?3), 0), coalesce(sum(attempt >= ?3), 0) FROM mq_inflight
                WHERE group_id = ?1 AND until <= ?2
                """
            ).first(.integer(group.id), .integer(now), .integer(last)) {
                (Int(clamping: $0.integer(0)), Int(clamping: $0.integer(1)))
            } ?? (0, 0)
        let dead = try count("SELECT count(*) FROM mq_dead WHERE group_id = ? AND ? IS NOT NULL", group.id)
        let consumers =
            try prepared("SELECT count(*) FROM mq_consumer WHERE group_id = ? AND seen_at > ?")
            .first(.integer(group.id), .integer(now - Membership.presence)) { Int(clamping: $0.integer(0)) } ?? 0
        return GroupStatistics(
            group: group.name,
            ready: .exact(Int(clamping: next - 1 - cursor) + again + held + expired + due),
            inFlight: .exact(inFlight),
            delayed: .exact(later + scheduled),
            dead: .exact(dead + exhausted),
            consumers: .estimate(consumers),
            oldestAge: try oldest(group, queue, cursor: cursor).map { .milliseconds(max(0, now - $0)) }
        )
    }

    /// How many messages are kept for a group alone.
    private func redriven(_ group: GroupInfo) throws -> Int {
        try prepared(
            """
            SELECT (SELECT count(*) FROM mq_inflight WHERE group_id = ?1 AND seq < 0)
                + (SELECT count(*) FROM mq_waiting INDEXED BY mq_waiting_seq WHERE group_id = ?1 AND seq < 0)
                + (SELECT count(*) FROM mq_held INDEXED BY mq_held_seq WHERE group_id = ?1 AND seq < 0)
            """
        ).first(.integer(group.id)) { Int(clamping: $0.integer(0)) } ?? 0
    }

    /// When the oldest message that is ready or in flight was published.
    private func oldest(_ group: GroupInfo, _ queue: QueueInfo, cursor: Int64) throws -> Int64? {
        let unread = try prepared(queue.sql.publishedAt).first(.integer(cursor)) { $0.integer(0) }
        // What was read is older than what was not; the lowest place among it stands for it.
        let read =
            try prepared(
                """
                SELECT min(m.published_at) FROM mq_message_\(queue.id) m WHERE m.seq IN (
                    SELECT min(seq) FROM mq_inflight WHERE group_id = ?1 AND seq > 0
                        AND (until > ?2 OR attempt < ?3)
                    UNION ALL
                    SELECT min(seq) FROM mq_waiting WHERE group_id = ?1 AND seq > 0 AND due <= ?2
                    UNION ALL
                    SELECT min(seq) FROM mq_held WHERE group_id = ?1 AND seq > 0)
                """
            ).first(.integer(group.id), .integer(now), .integer(group.definition.maxAttempts)) { $0.optionalInteger(0) }
            ?? nil
        let redriven =
            try prepared(
                """
                SELECT min(r.published_at) FROM mq_redriven r WHERE r.number IN (
                    SELECT -seq FROM (SELECT seq FROM mq_inflight WHERE group_id = ?1 AND seq < 0
                        AND (until > ?2 OR attempt < ?3) LIMIT 100)
                    UNION ALL
                    SELECT -seq FROM (SELECT seq FROM mq_waiting WHERE group_id = ?1 AND seq < 0 AND due <= ?2 LIMIT 100))
                """
            ).first(.integer(group.id), .integer(now), .integer(group.definition.maxAttempts)) { $0.optionalInteger(0) }
            ?? nil
        return [unread, read, redriven].compactMap { $0 }.min()
    }

    private func count(_ sql: String, _ id: Int64) throws -> Int {
        try prepared(sql).first(.integer(id), .integer(now)) { Int(clamping: $0.integer(0)) } ?? 0
    }

    // MARK: - Listings

    func deadLetters(
        of name: String,
        matching filter: DeadLetterFilter,
        after: String?,
        limit: Int
    ) throws -> Page<DeadLetter> {
        let queue = try queue(name)
        let start = try after.map { try Self.number($0, name) } ?? 0
        let names = Dictionary(uniqueKeysWithValues: queue.groups.map { ($0.id, $0.name) })
        var found: [DeadLetter] = []
        var last: Int64 = start
        var seen = 0
        var hasMore = false
        // Bodies are large; what a filter on the group leaves out is not read.
        let group = filter.group.flatMap { queue.group($0)?.id }
        if filter.group != nil, group == nil { return Page([], next: nil) }
        try prepared(
            """
            SELECT \(MessageRow.columns), number, group_id, reason, error, attempts, failed_at, history FROM mq_dead
            WHERE queue_id = ?1 AND number > ?2 AND (?3 IS NULL OR group_id = ?3) ORDER BY number LIMIT ?4
            """
        ).each(
            .integer(queue.id),
            .integer(start),
            .optional(group),
            .integer(filter == DeadLetterFilter(group: filter.group) ? limit + 1 : Self.scanned)
        ) { row in
            guard found.count < limit else {
                hasMore = true
                return
            }
            seen += 1
            let width = MessageRow.width
            last = row.integer(width)
            let stored = MessageRow(row)
            let letter = DeadLetter(
                id: String(last),
                message: stored.message,
                queue: name,
                group: names[row.integer(width + 1)],
                reason: DeadLetterReason(rawValue: row.text(width + 2)),
                error: row.optionalText(width + 3),
                attempts: Int(clamping: row.integer(width + 4)),
                failedAt: UnixTime.date(row.integer(width + 5)),
                publishedAt: UnixTime.date(stored.publishedAt),
                history: History.decode(row.optionalText(width + 6))
            )
            if filter.matches(letter) { found.append(letter) }
        }
        return Page(found, next: hasMore || seen == Self.scanned ? String(last) : nil)
    }

    func scheduled(of name: String, after: String?, limit: Int) throws -> Page<ScheduledMessage> {
        let queue = try queue(name)
        // What is due is available, whether somebody has looked or not.
        var start: (due: Int64, number: Int64) = (now, .max)
        if let after {
            let parts = after.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, let due = Int64(parts[0]) else { throw Self.unknownPage(name) }
            let number = try Self.number(String(parts[1]), name)
            if due > now { start = (due, number) }
        }
        var found: [ScheduledMessage] = []
        var next: String?
        var last = ""
        try prepared(
            """
            SELECT \(MessageRow.columns), number FROM mq_scheduled
            WHERE queue_id = ?1 AND (due, number) > (?2, ?3) AND due < \(FileTime.reserved)
            ORDER BY due, number LIMIT ?4
            """
        ).each(
            .integer(queue.id),
            .integer(start.due),
            .integer(start.number),
            .integer(limit + 1)
        ) { row in
            guard found.count < limit else {
                next = last
                return
            }
            let due = row.integer(0)
            last = "\(due):\(row.integer(MessageRow.width))"
            found.append(ScheduledMessage(message: MessageRow(row).message, due: UnixTime.date(due)))
        }
        return Page(found, next: next)
    }

    static func number(_ text: String, _ queue: String) throws -> Int64 {
        guard let number = Int64(text), number >= 0 else { throw unknownPage(queue) }
        return number
    }

    static func unknownPage(_ queue: String) -> QueueError {
        QueueError(.invalidArgument, "'after' is not from a page before", queue: queue)
    }
}
#endif
