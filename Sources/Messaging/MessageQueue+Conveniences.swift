extension MessageQueue {
    /// Publishes one message and returns after the broker's confirmation.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - queue: A declared queue.
    /// - Returns: Whether it was added, or was there before.
    /// - Throws: `QueueError`: why it was refused, or `indeterminate`.
    @discardableResult
    public func publish(_ message: Message, to queue: String) async throws(QueueError) -> PublishOutcome {
        let outcomes = try await publish([message], to: queue)
        guard let outcome = outcomes.first else {
            throw QueueError(.brokerError, "the \(system) backend returned no outcome", queue: queue)
        }
        if let error = outcome.error { throw error }
        return outcome
    }

    /// Opens a consumer with the default options.
    ///
    /// - Parameters:
    ///   - queue: A declared queue.
    ///   - group: A declared group of it.
    ///   - consumer: The consumer's name.
    /// - Returns: The consumer; close it when done.
    /// - Throws: As ``consume(_:group:consumer:options:)``.
    public func consume(
        _ queue: String,
        group: String,
        consumer: String
    ) async throws(QueueError) -> any QueueConsumer {
        try await consume(queue, group: group, consumer: consumer, options: ConsumerOptions())
    }

    /// Opens a consumer for the time of a closure, and closes it however the closure ends.
    ///
    /// - Parameters:
    ///   - queue: A declared queue.
    ///   - group: A declared group of it.
    ///   - consumer: The consumer's name.
    ///   - options: How deliveries are handed over.
    ///   - body: What to do with the consumer.
    /// - Returns: What the closure returns.
    /// - Throws: What the closure throws, or `QueueError` when the consumer cannot be opened.
    public func withConsumer<Result: Sendable>(
        of queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions = ConsumerOptions(),
        _ body: (any QueueConsumer) async throws -> Result
    ) async throws -> Result {
        let member = try await consume(queue, group: group, consumer: consumer, options: options)
        do {
            let result = try await body(member)
            await member.close()
            return result
        } catch {
            await member.close()
            throw error
        }
    }

    /// Sends all dead letters that match to their groups again.
    ///
    /// Messages that die again meanwhile are not sent twice.
    ///
    /// - Parameters:
    ///   - queue: A declared queue.
    ///   - filter: Which ones.
    ///   - perSecond: The largest number per second; `nil` means as fast as the broker takes them.
    ///   - clock: What paces a limited rate.
    ///   - progress: Called with the number sent so far after each page.
    /// - Returns: How many were sent.
    /// - Throws: `QueueError` as ``redrive(_:of:)``, `invalidArgument` for a rate below 1, `cancelled`.
    public func redriveAll(
        of queue: String,
        matching filter: DeadLetterFilter = .all,
        perSecond: Int? = nil,
        clock: QueueClock = .system,
        progress: (Int) -> Void = { _ in }
    ) async throws(QueueError) -> Int {
        if let perSecond, perSecond < 1 {
            throw QueueError(.invalidArgument, "the rate must be at least 1 per second", queue: queue)
        }
        var sent = 0
        // The ids are read before anything is sent, so that what dies again lies behind the last page.
        var pages = try await deadLetterIDs(of: queue, matching: filter)[...]
        let start = clock.now()
        while let first = pages.first {
            let page = first.prefix(perSecond.map { Swift.min($0, first.count) } ?? first.count)
            pages[pages.startIndex].removeFirst(page.count)
            if pages[pages.startIndex].isEmpty { pages.removeFirst() }
            sent += try await redrive(Array(page), of: queue).count
            progress(sent)
            if let perSecond, !pages.isEmpty {
                do {
                    try await clock.sleep(until: start + .seconds(1) * sent / perSecond)
                } catch {
                    throw QueueError(.cancelled, "redrive was cancelled after \(sent) messages", queue: queue)
                }
            }
        }
        return sent
    }

    /// Removes all dead letters that match for good.
    ///
    /// - Parameters:
    ///   - queue: A declared queue.
    ///   - filter: Which ones.
    /// - Returns: How many were removed.
    /// - Throws: `QueueError` as ``discardDeadLetters(_:of:)``.
    public func discardAllDeadLetters(
        of queue: String,
        matching filter: DeadLetterFilter = .all
    ) async throws(QueueError) -> Int {
        var removed = 0
        for page in try await deadLetterIDs(of: queue, matching: filter) {
            removed += try await discardDeadLetters(page, of: queue).count
        }
        return removed
    }

    /// Reads the ids of all dead letters that match, in pages.
    private func deadLetterIDs(
        of queue: String,
        matching filter: DeadLetterFilter
    ) async throws(QueueError) -> [[String]] {
        var pages: [[String]] = []
        var cursor: String?
        repeat {
            let page = try await deadLetters(of: queue, matching: filter, after: cursor, limit: 100)
            if !page.elements.isEmpty { pages.append(page.elements.map(\.id)) }
            cursor = page.next
        } while cursor != nil
        return pages
    }
}
