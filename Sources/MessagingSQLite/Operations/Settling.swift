#if SQLite
import Messaging

extension Transaction {
    /// Ends deliveries; those that belong to somebody else by now are left alone.
    func settle(_ requests: [SettleRequest], by member: Member) throws -> [SettleOutcome] {
        let (queue, group) = try group(member.group, of: member.queue)
        var outcomes: [SettleOutcome] = []
        outcomes.reserveCapacity(requests.count)
        for request in requests[try acknowledgeRun(requests, group, queue, &outcomes)...] {
            let isHeld =
                switch request.settlement {
                case .acknowledge, .discard: try acknowledge(request.receipt, group, queue)
                case .release: try release(request.receipt, group, queue)
                case .retry(let delay, let error):
                    try retry(request.receipt, after: delay, error, by: member.name, group, queue)
                case .reject(let reason, let error):
                    try reject(request.receipt, reason, error, by: member.name, group, queue)
                }
            outcomes.append(isHeld ? .settled : .leaseLost)
        }
        return outcomes
    }

    /// Ends the acknowledged messages at the begin of the requests together, when they are neighbours of one hand-over
    /// that nobody else needs: two statements for all of them.
    ///
    /// - Returns: How many of the requests are done.
    private func acknowledgeRun(
        _ requests: [SettleRequest],
        _ group: GroupInfo,
        _ queue: QueueInfo,
        _ outcomes: inout [SettleOutcome]
    ) throws -> Int {
        guard let first = requests.first?.receipt, first.position > 0, queue.groups.count == 1, !queue.isKeyed,
            queue.retention == 0
        else { return 0 }
        var count = 0
        for request in requests {
            guard case .acknowledge = request.settlement, request.receipt.owner == first.owner,
                request.receipt.position == first.position + Int64(count)
            else { break }
            count += 1
        }
        guard count > 1 else { return 0 }
        let last = first.position + Int64(count) - 1
        let held = try prepared(
            "SELECT count(*) FROM mq_inflight WHERE group_id = ? AND seq BETWEEN ? AND ? AND fence = ?"
        ).first(.integer(group.id), .integer(first.position), .integer(last), .integer(first.owner)) { $0.integer(0) }
        // Where some are lost, each is asked for by itself.
        guard held == Int64(count) else { return 0 }
        try prepared("DELETE FROM mq_inflight WHERE group_id = ? AND seq BETWEEN ? AND ?")
            .run(.integer(group.id), .integer(first.position), .integer(last))
        let removed = try prepared(queue.sql.deleteRun).run(.integer(first.position), .integer(last))
        noteStored(-removed, queue)
        outcomes += Array(repeating: .settled, count: count)
        return count
    }

    private func acknowledge(_ receipt: Receipt, _ group: GroupInfo, _ queue: QueueInfo) throws -> Bool {
        let held = try prepared("DELETE FROM mq_inflight WHERE group_id = ? AND seq = ? AND fence = ?")
            .run(.integer(group.id), .integer(receipt.position), .integer(receipt.owner))
        guard held == 1 else { return false }
        try finish(receipt.position, group, queue)
        return true
    }

    private func release(_ receipt: Receipt, _ group: GroupInfo, _ queue: QueueInfo) throws -> Bool {
        guard var pending = try takeOut(receipt, group) else { return false }
        pending.attempt -= 1
        try wait(pending, until: now, group)
        wake(group, of: queue)
        return true
    }

    private func retry(
        _ receipt: Receipt,
        after delay: Duration,
        _ error: String?,
        by consumer: String,
        _ group: GroupInfo,
        _ queue: QueueInfo
    ) throws -> Bool {
        guard var pending = try takeOut(receipt, group) else { return false }
        note(error, by: consumer, &pending)
        if pending.attempt >= group.definition.maxAttempts {
            try bury(pending, .attemptsExhausted, error, group, queue)
        } else {
            try wait(pending, until: delay > .zero ? after(delay.milliseconds) : now, group)
            wake(group, of: queue)
        }
        return true
    }

    private func reject(
        _ receipt: Receipt,
        _ reason: DeadLetterReason,
        _ error: String?,
        by consumer: String,
        _ group: GroupInfo,
        _ queue: QueueInfo
    ) throws -> Bool {
        guard var pending = try takeOut(receipt, group) else { return false }
        note(error, by: consumer, &pending)
        try bury(pending, reason, error, group, queue)
        return true
    }

    /// Starts leases anew.
    func renew(_ receipts: [Receipt], by member: Member) throws -> [Bool] {
        let (_, group) = try group(member.group, of: member.queue)
        try noteSeen(member, group)
        let until = after(group.lease)
        let update = try prepared("UPDATE mq_inflight SET until = ? WHERE group_id = ? AND seq = ? AND fence = ?")
        return try receipts.map { receipt in
            try update.run(
                .integer(until),
                .integer(group.id),
                .integer(receipt.position),
                .integer(receipt.owner)
            ) == 1
        }
    }

    /// Makes deliveries available to others at once; only when they are counted do they count as an attempt.
    func giveBack(_ receipts: [Receipt], isCounted: Bool, by member: Member) throws {
        let (queue, group) = try group(member.group, of: member.queue)
        for receipt in receipts {
            guard var pending = try takeOut(receipt, group) else { continue }
            if isCounted {
                try takeBack(pending, from: member.name, "the consumer was closed", group, queue)
            } else {
                pending.attempt -= 1
                try wait(pending, until: now, group)
                wake(group, of: queue)
            }
        }
    }

    // MARK: - Moves

    /// Takes a delivery out of those in flight, if it still belongs to who has the receipt.
    private func takeOut(_ receipt: Receipt, _ group: GroupInfo) throws -> Pending? {
        let pending = try prepared(
            "SELECT attempt, redrives, history FROM mq_inflight WHERE group_id = ? AND seq = ? AND fence = ?"
        ).first(.integer(group.id), .integer(receipt.position), .integer(receipt.owner)) { row in
            Pending(
                position: receipt.position,
                attempt: Int(clamping: row.integer(0)),
                redrives: Int(clamping: row.integer(1)),
                history: row.optionalText(2)
            )
        }
        guard let pending else { return nil }
        try prepared("DELETE FROM mq_inflight WHERE group_id = ? AND seq = ?")
            .run(.integer(group.id), .integer(receipt.position))
        return pending
    }

    /// Makes a delivery that was not settled available again, or buries it after its last attempt.
    func takeBack(
        _ pending: Pending,
        from consumer: String,
        _ error: String,
        _ group: GroupInfo,
        _ queue: QueueInfo
    ) throws {
        var pending = pending
        note(error, by: consumer, &pending)
        if pending.attempt >= group.definition.maxAttempts {
            try bury(pending, .attemptsExhausted, error, group, queue)
        } else {
            try wait(pending, until: now, group)
            wake(group, of: queue)
        }
    }

    private func note(_ error: String?, by consumer: String, _ pending: inout Pending) {
        let failure = Failure(
            attempt: pending.attempt,
            at: now,
            consumer: consumer,
            error: Failure.shortened(error ?? "")
        )
        pending.history = History.adding(failure, to: pending.history)
    }

    /// Makes a message available at a time.
    func wait(_ pending: Pending, until due: Int64, _ group: GroupInfo) throws {
        try prepared(
            "INSERT INTO mq_waiting (group_id, due, seq, attempt, redrives, history) VALUES (?, ?, ?, ?, ?, ?)"
        ).run(
            .integer(group.id),
            .integer(due),
            .integer(pending.position),
            .integer(pending.attempt),
            .integer(pending.redrives),
            .optional(pending.history)
        )
    }

    /// Moves a message that is out of all tables of the group to the dead letters.
    func bury(
        _ pending: Pending,
        _ reason: DeadLetterReason,
        _ error: String?,
        _ group: GroupInfo,
        _ queue: QueueInfo
    ) throws {
        let isRedriven = pending.position < 0
        let sql = isRedriven ? QueueSQL.bury(from: "mq_redriven", where: "number") : queue.sql.bury
        try prepared(sql).run(
            .integer(queue.id),
            .integer(group.id),
            .text(reason.rawValue),
            .optional(error.map(Failure.shortened)),
            .integer(pending.attempt),
            .integer(pending.redrives),
            .integer(now),
            .optional(pending.history),
            .integer(isRedriven ? -pending.position : pending.position)
        )
        try finish(pending.position, group, queue)
    }

    /// Lets a group forget a message, lets the next one of its key go on, and removes the message when no other group
    /// needs it.
    func finish(_ position: Int64, _ group: GroupInfo, _ queue: QueueInfo) throws {
        if queue.isKeyed { try leaveLane(of: position, group, queue) }
        if position < 0 {
            try prepared("DELETE FROM mq_redriven WHERE number = ?").run(.integer(-position))
            return
        }
        // With a retention, upkeep removes it.
        guard queue.retention == 0 else { return }
        if queue.groups.count > 1, try isNeeded(position, besides: group, queue) { return }
        let removed = try prepared(queue.sql.delete).run(.integer(position))
        noteStored(-removed, queue)
    }

    private func isNeeded(_ position: Int64, besides group: GroupInfo, _ queue: QueueInfo) throws -> Bool {
        try prepared(
            """
            SELECT EXISTS (SELECT 1 FROM mq_group g WHERE g.queue_id = ?1 AND g.id <> ?2 AND (g.cursor < ?3
                OR EXISTS (SELECT 1 FROM mq_inflight i WHERE i.group_id = g.id AND i.seq = ?3)
                OR EXISTS (SELECT 1 FROM mq_waiting w INDEXED BY mq_waiting_seq WHERE w.group_id = g.id AND w.seq = ?3)
                OR EXISTS (SELECT 1 FROM mq_held h INDEXED BY mq_held_seq WHERE h.group_id = g.id AND h.seq = ?3)))
            """
        ).first(.integer(queue.id), .integer(group.id), .integer(position)) { $0.integer(0) != 0 } ?? true
    }

    func message(at position: Int64, of queue: QueueInfo) throws -> MessageRow? {
        if position < 0 {
            return try prepared("SELECT \(MessageRow.columns) FROM mq_redriven WHERE number = ?")
                .first(.integer(-position)) { MessageRow($0) }
        }
        return try prepared(queue.sql.readOne).first(.integer(position)) { MessageRow($0) }
    }
}

extension Receipt {
    /// The message's place in the log, or below zero that of a redriven one.
    var position: Int64 { Int64(bitPattern: low) }
    /// The number of the hand-over.
    var owner: Int64 { Int64(bitPattern: high) }
}
#endif
