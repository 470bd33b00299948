#if SQLite
import Messaging

extension SQLiteQueue {
    /// Lists dead letters, oldest first, without changing anything.
    ///
    /// - Parameters:
    ///   - queue: A declared queue.
    ///   - filter: Which ones.
    ///   - after: `next` of the page before; `nil` for the first page.
    ///   - limit: The largest number to return, 1 to 1000.
    /// - Returns: A page; one call looks at 10,000 dead letters at most, so it can be empty and still have a `next`.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `invalidArgument` for a limit out of range or an
    ///   `after` that no page returned; those of ``SQLiteStorage`` for a file that cannot be read.
    public func deadLetters(
        of queue: String,
        matching filter: DeadLetterFilter,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<DeadLetter> {
        try check(limit, queue)
        return try await inspect { inspection in
            try inspection.deadLetters(of: queue, matching: filter, after: after, limit: limit)
        }
    }

    /// Sends dead letters to their group again, at attempt 1 with their history, all in one transaction.
    ///
    /// - Parameters:
    ///   - ids: Ids of dead letters; those that are gone are passed over.
    ///   - queue: The queue.
    /// - Returns: The ids that were sent.
    /// - Throws: `QueueError`: `notFound` for an unknown queue; those of ``SQLiteStorage`` for a file that cannot be used.
    public func redrive(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await file().commits.perform { transaction in try transaction.redrive(ids, of: queue) }
    }

    /// Removes dead letters for good, all in one transaction.
    ///
    /// - Parameters:
    ///   - ids: Ids of dead letters; those that are gone are passed over.
    ///   - queue: The queue.
    /// - Returns: The ids that were removed.
    /// - Throws: `QueueError`: `notFound` for an unknown queue; those of ``SQLiteStorage`` for a file that cannot be used.
    public func discardDeadLetters(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await file().commits.perform { transaction in try transaction.discardDeadLetters(ids, of: queue) }
    }

    /// Lists published messages whose time has not come, earliest first.
    ///
    /// - Parameters:
    ///   - queue: A declared queue.
    ///   - after: `next` of the page before; `nil` for the first page.
    ///   - limit: The largest number to return, 1 to 1000.
    /// - Returns: A page.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `invalidArgument` for a limit out of range or an
    ///   `after` that no page returned; those of ``SQLiteStorage`` for a file that cannot be read.
    public func scheduled(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<ScheduledMessage> {
        try check(limit, queue)
        return try await inspect { inspection in try inspection.scheduled(of: queue, after: after, limit: limit) }
    }

    /// Cancels published messages whose time has not come, so that their ids may be published again.
    ///
    /// - Parameters:
    ///   - ids: The messages; those that are already available are passed over.
    ///   - queue: The queue.
    /// - Returns: The ids that were cancelled.
    /// - Throws: `QueueError`: `notFound` for an unknown queue; those of ``SQLiteStorage`` for a file that cannot be used.
    public func cancelScheduled(_ ids: [MessageID], of queue: String) async throws(QueueError) -> [MessageID] {
        try await file().commits.perform { transaction in try transaction.cancelScheduled(ids, of: queue) }
    }

    func check(_ limit: Int, _ queue: String) throws(QueueError) {
        guard (1...1000).contains(limit) else {
            throw QueueError(.invalidArgument, "the limit must be 1 to 1000, not \(limit)", queue: queue)
        }
    }
}
#endif
