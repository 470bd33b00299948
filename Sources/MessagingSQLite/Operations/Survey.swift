#if SQLite
import Messaging

/// What a queue holds, listed without changing anything.
extension Inspection {
    func stored(
        in name: String,
        state: StoredMessage.State,
        group groupName: String?,
        after: String?,
        limit: Int
    ) throws -> Page<StoredMessage> {
        let queue = try queue(name)
        var group: GroupInfo?
        if let groupName {
            guard let found = queue.group(groupName) else {
                throw QueueError(.notFound, "there is no group '\(groupName)'", queue: name)
            }
            group = found
        }
        var start: StoredPlace?
        if let after {
            guard let place = StoredPlace(after) else { throw Self.unknownPage(name) }
            start = place
        }
        let found: [StoredMessage]
        switch state {
        case .ready, .inFlight, .waiting:
            guard let group else {
                throw QueueError(.invalidArgument, "the state '\(state.rawValue)' needs a group", queue: name)
            }
            found = try ofGroup(group, queue, state, after: start?.number ?? .min, limit + 1)
        case .scheduled:
            found = try scheduled(queue, areReserved: false, after: start?.number ?? 0, limit + 1)
        case .dead: found = try dead(queue, areReserved: false, after: start?.number ?? 0, limit + 1)
        case .reserved: found = try reserved(queue, after: start, limit + 1)
        }
        return Page(Array(found.prefix(limit)), next: found.count > limit ? found[limit - 1].id : nil)
    }

    /// Goes through groups, schedules and dead letters, in this order.
    private func reserved(_ queue: QueueInfo, after start: StoredPlace?, _ limit: Int) throws -> [StoredMessage] {
        var found: [StoredMessage] = []
        let order = StoredPlace.Kind.allCases
        let first = start.flatMap { order.firstIndex(of: $0.kind) } ?? 0
        for kind in order[first...] where found.count < limit {
            let last = start.flatMap { $0.kind == kind ? $0 : nil }
            let rest = limit - found.count
            switch kind {
            case .group:
                for group in queue.groups where found.count < limit && group.id >= last?.group ?? 0 {
                    let number = group.id == last?.group ? last?.number : nil
                    let after = number ?? .min
                    found += try ofGroup(group, queue, .reserved, after: after, limit - found.count)
                }
            case .scheduled: found += try scheduled(queue, areReserved: true, after: last?.number ?? 0, rest)
            case .dead: found += try dead(queue, areReserved: true, after: last?.number ?? 0, rest)
            }
        }
        return found
    }

    private func ofGroup(
        _ group: GroupInfo,
        _ queue: QueueInfo,
        _ state: StoredMessage.State,
        after: Int64,
        _ limit: Int
    ) throws -> [StoredMessage] {
        let waiting = "SELECT seq, attempt, redrives, history, due FROM mq_waiting INDEXED BY mq_waiting_seq"
        let inFlight = "SELECT seq, attempt, redrives, history, NULL FROM mq_inflight"
        let mine = "WHERE group_id = ?1 AND seq > ?2"
        let page = "ORDER BY seq LIMIT ?4"
        let parts: [String] =
            switch state {
            case .waiting: ["\(waiting) \(mine) AND due > ?3 AND due < \(FileTime.reserved) \(page)"]
            case .reserved: ["\(waiting) \(mine) AND due >= \(FileTime.reserved) AND ?3 IS NOT NULL \(page)"]
            case .inFlight: ["\(inFlight) \(mine) AND until > ?3 \(page)"]
            case .ready, .scheduled, .dead:
                [
                    "\(waiting) \(mine) AND due <= ?3 \(page)",
                    "\(inFlight) \(mine) AND until <= ?3 \(page)",
                    "SELECT seq, 0, redrives, history, NULL FROM mq_held INDEXED BY mq_held_seq \(mine) AND ?3 IS NOT NULL \(page)",
                    """
                    SELECT seq, 0, 0, NULL, NULL FROM mq_message_\(queue.id) WHERE ?3 IS NOT NULL
                    AND seq > max(?2, (SELECT cursor FROM mq_group WHERE id = ?1)) \(page)
                    """,
                ]
            }
        var found: [(pending: Pending, due: Int64?)] = []
        for part in parts {
            try prepared(part).each(.integer(group.id), .integer(after), .integer(now), .integer(limit)) { row in
                let pending = Pending(
                    position: row.integer(0),
                    attempt: Int(clamping: row.integer(1)),
                    redrives: Int(clamping: row.integer(2)),
                    history: row.optionalText(3)
                )
                found.append((pending, row.optionalInteger(4)))
            }
        }
        return try found.sorted { $0.pending.position < $1.pending.position }.prefix(limit).compactMap { pending, due in
            guard let row = try message(at: pending.position, of: queue) else { return nil }
            let isLater = state == .waiting || state == .reserved
            return StoredMessage(
                id: StoredPlace(.group, group: group.id, pending.position).text,
                state: isLater ? .waiting : state,
                group: group.name,
                message: row.message,
                due: isLater ? due.map { UnixTime.date($0 % FileTime.reserved) } : nil,
                attempts: pending.attempt,
                redrives: pending.redrives,
                history: History.decode(pending.history),
                publishedAt: UnixTime.date(row.publishedAt)
            )
        }
    }

    private func message(at position: Int64, of queue: QueueInfo) throws -> MessageRow? {
        if position < 0 {
            return try prepared("SELECT \(MessageRow.columns) FROM mq_redriven WHERE number = ?")
                .first(.integer(-position)) { MessageRow($0) }
        }
        return try prepared(queue.sql.readOne).first(.integer(position)) { MessageRow($0) }
    }

    private func scheduled(
        _ queue: QueueInfo,
        areReserved: Bool,
        after: Int64,
        _ limit: Int
    ) throws -> [StoredMessage] {
        // What is due and not yet in the log counts as ready for every group, and is listed here: nobody has it.
        let condition = areReserved ? "due >= \(FileTime.reserved)" : "due < \(FileTime.reserved)"
        var found: [StoredMessage] = []
        try prepared(
            """
            SELECT \(MessageRow.columns), number FROM mq_scheduled
            WHERE queue_id = ? AND number > ? AND \(condition) ORDER BY number LIMIT ?
            """
        ).each(.integer(queue.id), .integer(after), .integer(limit)) { row in
            let stored = MessageRow(row)
            found.append(
                StoredMessage(
                    id: StoredPlace(.scheduled, row.integer(MessageRow.width)).text,
                    state: .scheduled,
                    group: nil,
                    message: stored.message,
                    due: UnixTime.date(row.integer(0) % FileTime.reserved),
                    publishedAt: UnixTime.date(stored.publishedAt)
                )
            )
        }
        return found
    }

    private func dead(_ queue: QueueInfo, areReserved: Bool, after: Int64, _ limit: Int) throws -> [StoredMessage] {
        let names = Dictionary(uniqueKeysWithValues: queue.groups.map { ($0.id, $0.name) })
        var found: [StoredMessage] = []
        try prepared(
            """
            SELECT \(MessageRow.columns), number, group_id, reason, error, attempts, redrives, failed_at, history
            FROM mq_dead WHERE queue_id = ? AND number > ? ORDER BY number LIMIT ?
            """
        ).each(.integer(areReserved ? -queue.id : queue.id), .integer(after), .integer(limit)) { row in
            let (stored, width) = (MessageRow(row), MessageRow.width)
            found.append(
                StoredMessage(
                    id: StoredPlace(.dead, row.integer(width)).text,
                    state: .dead,
                    group: names[row.integer(width + 1)],
                    message: stored.message,
                    attempts: Int(clamping: row.integer(width + 4)),
                    redrives: Int(clamping: row.integer(width + 5)),
                    history: History.decode(row.optionalText(width + 7)),
                    publishedAt: UnixTime.date(stored.publishedAt),
                    death: StoredMessage.Death(
                        reason: DeadLetterReason(rawValue: row.text(width + 2)),
                        error: row.optionalText(width + 3),
                        failedAt: UnixTime.date(row.integer(width + 6))
                    )
                )
            )
        }
        return found
    }

    func rememberedIDs(of name: String, after: String?, limit: Int) throws -> Page<RememberedID> {
        let queue = try queue(name)
        var found: [RememberedID] = []
        try prepared(
            """
            SELECT id, published_at FROM mq_seen_\(queue.id) WHERE id > ?1 AND published_at + ?2 > ?3 ORDER BY id LIMIT ?4
            """
        ).each(.text(after ?? ""), .integer(queue.dedupeWindow), .integer(now), .integer(limit + 1)) { row in
            let until = Saturating.sum(row.integer(1), queue.dedupeWindow)
            found.append(RememberedID(id: MessageID(row.text(0)), until: UnixTime.date(until)))
        }
        return Page(Array(found.prefix(limit)), next: found.count > limit ? found[limit - 1].id.rawValue : nil)
    }
}
#endif
