import Messaging

extension MemoryQueue {
    /// Lists dead letters, oldest first, without changing anything.
    ///
    /// - Parameters:
    ///   - queue: A declared queue.
    ///   - filter: Which ones.
    ///   - after: `next` of the page before; `nil` for the first page.
    ///   - limit: The largest number to return, 1 to 1000.
    /// - Returns: A page; one call looks at 10,000 dead letters at most, so it can be empty and still have a `next`.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `invalidArgument` for a limit out of range or an
    ///   `after` that no page returned, `closed` after `close()`.
    public func deadLetters(
        of queue: String,
        matching filter: DeadLetterFilter,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<DeadLetter> {
        let runtime = try runtime(queue)
        try check(limit, queue: queue)
        let page = runtime.run { engine, _ in engine.deadLetters(matching: filter, after: after, limit: limit) }
        return try known(page, queue: queue)
    }

    /// Sends dead letters to their group again, at attempt 1 with their history.
    ///
    /// - Parameters:
    ///   - ids: Ids of dead letters; those that are gone are passed over.
    ///   - queue: The queue.
    /// - Returns: The ids that were sent.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `closed` after `close()`.
    public func redrive(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try runtime(queue).runLive { engine, moment in engine.redrive(ids, now: moment.now) }
    }

    /// Removes dead letters for good.
    ///
    /// - Parameters:
    ///   - ids: Ids of dead letters; those that are gone are passed over.
    ///   - queue: The queue.
    /// - Returns: The ids that were removed.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `closed` after `close()`.
    public func discardDeadLetters(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try runtime(queue).runLive { engine, _ in engine.discardDeadLetters(ids) }
    }

    /// Lists published messages whose time has not come, earliest first.
    ///
    /// - Parameters:
    ///   - queue: A declared queue.
    ///   - after: `next` of the page before; `nil` for the first page.
    ///   - limit: The largest number to return, 1 to 1000.
    /// - Returns: A page.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `invalidArgument` for a limit out of range or an
    ///   `after` that no page returned, `closed` after `close()`.
    public func scheduled(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<ScheduledMessage> {
        let runtime = try runtime(queue)
        try check(limit, queue: queue)
        let page = runtime.run { engine, _ in engine.scheduled(after: after, limit: limit) }
        return try known(page, queue: queue)
    }

    /// Cancels published messages whose time has not come, so that their ids may be published again.
    ///
    /// - Parameters:
    ///   - ids: The messages; those that are already available are passed over.
    ///   - queue: The queue.
    /// - Returns: The ids that were cancelled.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `closed` after `close()`.
    public func cancelScheduled(_ ids: [MessageID], of queue: String) async throws(QueueError) -> [MessageID] {
        try runtime(queue).runLive { engine, _ in engine.cancelScheduled(ids) }
    }

    private func check(_ limit: Int, queue: String) throws(QueueError) {
        guard (1...1000).contains(limit) else {
            throw QueueError(.invalidArgument, "the limit must be 1 to 1000, not \(limit)", queue: queue)
        }
    }

    private func known<Element>(_ page: Page<Element>?, queue: String) throws(QueueError) -> Page<Element> {
        guard let page else { throw QueueError(.invalidArgument, "'after' is not from a page before", queue: queue) }
        return page
    }
}
