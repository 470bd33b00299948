#if SQLite
import Messaging

/// Who takes deliveries.
struct Member: Sendable {
    let queue: String
    let group: String
    let name: String
    let token: UInt32
    let mode: ConsumerOptions.Mode
}

/// What a look at a group has brought.
struct Taken: Sendable {
    var deliveries: [Delivery] = []
    /// Whether there is more for somebody else.
    var hasMore = false
    /// When something becomes available by time alone, in milliseconds since 1970.
    var next: Int64?
}

/// A message of a group that is out of the log or was taken back, as its delivery needs it.
struct Pending {
    let position: Int64
    /// How often it was delivered before.
    var attempt = 0
    var redrives = 0
    var history: String?
}

extension Transaction {
    /// Hands deliveries of a group to a member.
    func take(_ max: Int, for member: Member) throws -> Taken {
        let (queue, group) = try group(member.group, of: member.queue)
        try noteSeen(member, group)
        let nextScheduled = try promote(queue)
        let nextExpiry = try expire(group, of: queue)
        var taken = Taken()
        var round = try TakeRound(queue, group, member, self)
        let nextWaiting = try round.takeWaiting(max)
        try round.takeUnread(max)
        taken.deliveries = round.deliveries
        taken.next = [nextScheduled, nextWaiting, nextExpiry].compactMap { $0 }.min()
        // What one transaction does not get done by time alone is there for the next one too.
        taken.hasMore = try round.finish() || (taken.next ?? .max) <= now
        return taken
    }

    /// Moves scheduled messages whose time has come into the log.
    ///
    /// - Returns: When the next one is due.
    func promote(_ queue: QueueInfo) throws -> Int64? {
        let first = try prepared("SELECT min(due) FROM mq_scheduled WHERE queue_id = ?")
            .first(.integer(queue.id)) { $0.optionalInteger(0) }
        guard let due = first ?? nil, due < FileTime.reserved else { return nil }
        guard due <= now else { return due }
        var numbers: [Int64] = []
        try prepared(
            "SELECT number FROM mq_scheduled WHERE queue_id = ? AND due <= ? ORDER BY due, number LIMIT \(Self.moved)"
        ).each(.integer(queue.id), .integer(now)) { numbers.append($0.integer(0)) }
        let start = try nextPosition(of: queue)
        var next = start
        let insert = try prepared(queue.sql.promote)
        let delete = try prepared("DELETE FROM mq_scheduled WHERE number = ?")
        for number in numbers {
            try insert.run(.integer(number), .integer(next))
            try delete.run(.integer(number))
            next += 1
        }
        try setNextPosition(next, of: queue)
        noteStored(Int(next - start), queue)
        wake(queue)
        let later =
            try prepared("SELECT min(due) FROM mq_scheduled WHERE queue_id = ?")
            .first(.integer(queue.id)) { $0.optionalInteger(0) } ?? nil
        return later.flatMap { $0 < FileTime.reserved ? $0 : nil }
    }

    /// Takes back deliveries of a group whose leases have run out.
    ///
    /// - Returns: A time before which no lease runs out; `nil` when there are none.
    func expire(_ group: GroupInfo, of queue: QueueInfo) throws -> Int64? {
        if let known = writer.nextExpiry[group.id], known > now { return known }
        var late: [(Pending, owner: Int64)] = []
        try prepared(
            """
            SELECT seq, attempt, redrives, history, owner FROM mq_inflight WHERE group_id = ? AND until <= ?
            ORDER BY until, seq LIMIT \(Self.moved)
            """
        ).each(.integer(group.id), .integer(now)) { row in
            let pending = Pending(
                position: row.integer(0),
                attempt: Int(clamping: row.integer(1)),
                redrives: Int(clamping: row.integer(2)),
                history: row.optionalText(3)
            )
            late.append((pending, row.integer(4)))
        }
        for (pending, owner) in late {
            try prepared("DELETE FROM mq_inflight WHERE group_id = ? AND seq = ?")
                .run(.integer(group.id), .integer(pending.position))
            try takeBack(pending, from: try name(of: owner), "the lease ran out", group, queue)
        }
        let soonest =
            try prepared("SELECT min(until) FROM mq_inflight WHERE group_id = ?")
            .first(.integer(group.id)) { $0.optionalInteger(0) } ?? nil
        // Whatever is taken from now on, by any process, lasts a lease from now.
        writer.nextExpiry[group.id] = min(soonest ?? .max, Saturating.sum(now, group.lease))
        return writer.nextExpiry[group.id]
    }

    /// The name of a consumer, also of one that is gone.
    private func name(of token: Int64) throws -> String {
        try prepared("SELECT name FROM mq_consumer WHERE token = ?").first(.integer(token)) { $0.text(0) } ?? "unknown"
    }

    /// How many messages one transaction moves at most; more of them are moved by the next.
    private static let moved = 500
}

/// The hand-over of messages to one member.
private struct TakeRound {
    private let queue: QueueInfo
    private let group: GroupInfo
    private let member: Member
    private let transaction: Transaction
    private let fence: Int64
    private let start: Int64
    private var cursor: Int64
    private let end: Int64
    private var hasMoreWaiting = false
    private var bytes = 0
    private(set) var deliveries: [Delivery] = []

    /// How many messages behind a busy key one look passes over.
    private static let passed = 1000
    /// After how many bytes of bodies one look ends, however many deliveries were asked for.
    private static let mostBytes = 64 << 20

    init(_ queue: QueueInfo, _ group: GroupInfo, _ member: Member, _ transaction: Transaction) throws {
        self.queue = queue
        self.group = group
        self.member = member
        self.transaction = transaction
        let row = try transaction.prepared(
            """
            SELECT g.cursor, g.fence, q.next_seq FROM mq_group g JOIN mq_queue q ON q.id = g.queue_id WHERE g.id = ?
            """
        ).first(.integer(group.id)) { ($0.integer(0), $0.integer(1), $0.integer(2)) }
        guard let (cursor, fence, next) = row else {
            throw QueueError(.topologyLost, "the group '\(group.name)' is gone", queue: queue.name)
        }
        start = cursor
        self.cursor = cursor
        self.fence = fence + 1
        end = next - 1
    }

    /// Takes what was taken back, redriven, or retried and is due.
    ///
    /// - Returns: When the next one is due.
    mutating func takeWaiting(_ max: Int) throws -> Int64? {
        var found: [(Pending, due: Int64)] = []
        var next: Int64?
        try transaction.prepared(
            """
            SELECT seq, attempt, redrives, history, due FROM mq_waiting WHERE group_id = ? ORDER BY due, seq LIMIT ?
            """
        ).each(.integer(group.id), .integer(max + 1)) { row in
            let due = row.integer(4)
            guard due <= transaction.now else {
                if next == nil, due < FileTime.reserved { next = due }
                return
            }
            let pending = Pending(
                position: row.integer(0),
                attempt: Int(clamping: row.integer(1)),
                redrives: Int(clamping: row.integer(2)),
                history: row.optionalText(3)
            )
            found.append((pending, due))
        }
        hasMoreWaiting = found.count > max
        for (pending, due) in found.prefix(max) {
            guard bytes < Self.mostBytes else {
                hasMoreWaiting = true
                break
            }
            try transaction.prepared("DELETE FROM mq_waiting WHERE group_id = ? AND due = ? AND seq = ?")
                .run(.integer(group.id), .integer(due), .integer(pending.position))
            guard let stored = try transaction.message(at: pending.position, of: queue) else { continue }
            try hand(stored, pending)
        }
        return next
    }

    /// Takes what nobody of the group has had yet.
    mutating func takeUnread(_ max: Int) throws {
        var passed = 0
        while deliveries.count < max, cursor < end, passed < Self.passed, bytes < Self.mostBytes {
            var rows: [(MessageRow, Int64)] = []
            var read = bytes
            try transaction.prepared(queue.sql.read).eachWhile(
                .integer(cursor),
                .integer(max - deliveries.count)
            ) { row in
                let stored = MessageRow(row)
                rows.append((stored, row.integer(MessageRow.width)))
                read += stored.message.body.count
                return read < Self.mostBytes
            }
            guard let last = rows.last?.1 else {
                cursor = end
                return
            }
            cursor = last
            for (stored, position) in rows {
                if try isHeldBack(stored, position) {
                    passed += 1
                } else {
                    try hand(stored, Pending(position: position))
                }
            }
        }
    }

    /// In a keyed queue, holds a message back while another one of its key is unfinished.
    private func isHeldBack(_ stored: MessageRow, _ position: Int64) throws -> Bool {
        guard queue.isKeyed, let key = stored.message.key else { return false }
        let isFree = try transaction.enterLane(key, group)
        if !isFree { try transaction.hold(Pending(position: position), key, place: HeldPlace.inLog(position), group) }
        return !isFree
    }

    private mutating func hand(_ stored: MessageRow, _ pending: Pending) throws {
        var pending = pending
        pending.attempt += 1
        bytes += stored.message.body.count
        if let problem = stored.problem {
            try transaction.bury(pending, .undecodable, problem, group, queue)
            return
        }
        switch member.mode {
        case .atLeastOnce:
            try transaction.prepared(
                """
                INSERT INTO mq_inflight (group_id, seq, fence, until, attempt, redrives, owner, history)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """
            ).run(
                .integer(group.id),
                .integer(pending.position),
                .integer(fence),
                .integer(transaction.after(group.lease)),
                .integer(pending.attempt),
                .integer(pending.redrives),
                .integer(Int64(member.token)),
                .optional(pending.history)
            )
        case .atMostOnce:
            try transaction.finish(pending.position, group, queue)
        }
        deliveries.append(
            Delivery(
                message: stored.message,
                queue: queue.name,
                group: group.name,
                attempt: pending.attempt,
                receipt: Receipt(
                    high: UInt64(bitPattern: fence),
                    low: UInt64(bitPattern: pending.position),
                    fence: UInt32(truncatingIfNeeded: pending.attempt),
                    source: member.token
                ),
                publishedAt: UnixTime.date(stored.publishedAt),
                redrives: pending.redrives,
                history: History.decode(pending.history)
            )
        )
    }

    /// Writes down how far the group has read.
    ///
    /// - Returns: Whether there is more for somebody else.
    func finish() throws -> Bool {
        if !deliveries.isEmpty || cursor != start {
            try transaction.prepared("UPDATE mq_group SET cursor = ?, fence = ? WHERE id = ?")
                .run(.integer(cursor), .integer(fence), .integer(group.id))
        }
        return hasMoreWaiting || cursor < end
    }
}
#endif
