#if RabbitMQ
import Messaging
import Synchronization

extension RabbitMQQueue: QueueTransfer {
    /// This client.
    public var transfer: (any QueueTransfer)? { self }
}

// The contract of each member stands in `QueueTransfer`.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension RabbitMQQueue {
    /// What of a listing was seen and not asked for yet.
    struct ReadAhead: Sendable {
        var queue: String
        var state: StoredMessage.State
        var group: String?
        /// Where the next page begins.
        var cursor: String
        var rows: StoredRows
    }

    public func limits() async throws(QueueError) -> TransferLimits {
        TransferPlan.limits(version: try await capabilities().version)
    }

    private func routes(_ queue: String, group: String? = nil) async throws(QueueError) -> TransferRoutes {
        let groups = try await known(queue, group: group).groups.map(\.name)
        return TransferRoutes(queue, groups: groups, lanes: lanes(of: queue))
    }

    // MARK: - Looking

    public func stored(
        in queue: String,
        state: StoredMessage.State,
        group: String?,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<StoredMessage> {
        try checkOpen()
        if let reason = try await limits().unlisted[state] {
            throw QueueError(
                .unsupported,
                "what is \(state.rawValue) cannot be listed on rabbitmq: \(reason)",
                queue: queue
            )
        }
        guard 1...1000 ~= limit else {
            throw QueueError(.invalidArgument, "a page has 1 to 1000 elements, not \(limit)", queue: queue)
        }
        let start = after.map { DeadLetterPlan.Position($0) }
        if case .some(.none) = start {
            throw QueueError(.invalidArgument, "'after' is not from a page before", queue: queue)
        }
        let routes = try await routes(queue, group: state == .waiting ? group : nil)
        var wanted: String?
        if state == .waiting {
            guard let group else {
                throw QueueError(.invalidArgument, "the state '\(state.rawValue)' needs a group", queue: queue)
            }
            guard routes.groups.contains(group) else {
                throw QueueError(.notFound, "there is no group '\(group)'", queue: queue)
            }
            wanted = group
        }
        if let page = readAhead(queue, state, wanted, after, limit) { return page }
        var rows = StoredRows(after: start ?? nil)
        switch state {
        case .reserved: for stored in try await transfers.reserved(of: queue) { rows.add(stored) }
        case .dead: rows = try await dead(rows, routes)
        default: rows = try await later(rows, routes, state, wanted)
        }
        let page = rows.page(limit) ?? Page([], next: nil)
        // What is reserved changes with each call, and costs no walk.
        if state != .reserved { keep(rows, queue, state, wanted, page.next) }
        return page
    }

    /// A page of what the last walk has seen, if it goes on where that ended.
    private func readAhead(
        _ queue: String,
        _ state: StoredMessage.State,
        _ group: String?,
        _ after: String?,
        _ limit: Int
    ) -> Page<StoredMessage>? {
        guard let after else { return nil }
        return self.state.withLock { client in
            guard var ahead = client.readAhead, ahead.queue == queue, ahead.state == state, ahead.group == group,
                ahead.cursor == after, let page = ahead.rows.page(limit)
            else { return nil }
            client.readAhead = nil
            if let next = page.next {
                ahead.cursor = next
                client.readAhead = ahead
            }
            return page
        }
    }

    private func keep(
        _ rows: StoredRows,
        _ queue: String,
        _ state: StoredMessage.State,
        _ group: String?,
        _ cursor: String?
    ) {
        self.state.withLock { client in
            client.readAhead = cursor.map {
                ReadAhead(queue: queue, state: state, group: group, cursor: $0, rows: rows)
            }
        }
    }

    private func dead(_ rows: StoredRows, _ routes: TransferRoutes) async throws(QueueError) -> StoredRows {
        let queue = routes.queue
        return try await inspect(queue) { (channel) throws(QueueError) in
            var rows = rows
            for group in routes.groups {
                let walk = Walk(channel: channel, queue: RabbitNames.dead(queue, group))
                try walk.forEach { (message) throws(QueueError) in
                    rows.add(TransferPlan.dead(message, queue: queue, group: group))
                }
                try walk.end()
            }
            return rows
        }
    }

    /// The most that AMQP lets a subscription hold.
    private static let mostHeld = 65535

    /// Looks through the delay levels, from the top down as the messages go.
    ///
    /// Those of other queues are shown as well; what becomes due in a level meanwhile goes on when the look at it ends.
    private func later(
        _ rows: StoredRows,
        _ routes: TransferRoutes,
        _ state: StoredMessage.State,
        _ group: String?
    ) async throws(QueueError) -> StoredRows {
        try await inspect(routes.queue) { (channel) throws(QueueError) in
            var rows = rows
            let now = UnixTime.milliseconds()
            for level in (0..<DelayPlan.levels).reversed() {
                var seen = 0
                var hasLooked = false
                while seen < Self.mostHeld {
                    let source = DelayPlan.name(level)
                    let size = min(try channel.ready(in: source), Self.mostHeld - seen)
                    if size == 0 { break }
                    hasLooked = true
                    let tag = "look-\(MessageID.make())"
                    seen += try channel.take(from: source, tag: tag, count: size) { (message) throws(QueueError) in
                        let stored = TransferPlan.later(message, level: level, routes, now: now)
                        if let stored, stored.state == state, stored.group == group { rows.add(stored) }
                    }
                }
                if hasLooked { try channel.reset() }
            }
            return rows
        }
    }

    // MARK: - Taking out

    public func reserve(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        let routes = try await routes(queue)
        let canLook = try await limits().unlisted[.scheduled] == nil
        return try await transfers.reserve(
            ids,
            routes,
            levels: canLook ? (0..<DelayPlan.levels).reversed() : []
        )
    }

    public func putBack(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        _ = try await known(queue)
        return try await transfers.putBack(ids, of: queue)
    }

    public func removeReserved(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        _ = try await known(queue)
        return try await transfers.remove(ids, of: queue)
    }

    // MARK: - Writing in

    public func restore(_ messages: [StoredMessage], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        var routes = try await routes(queue)
        // Another client may have added one.
        let missing = Set(messages.compactMap(\.group)).subtracting(routes.groups)
        if !missing.isEmpty {
            let groups = try await definition(of: queue)?.groups.map(\.name) ?? []
            routes = TransferRoutes(queue, groups: groups, lanes: lanes(of: queue))
        }
        let groups = Set(routes.groups)
        let limit = try await capabilities().maxBodyBytes
        let (frameMax, restored) = state.withLock { ($0.frameMax, $0.restored) }
        let now = UnixTime.milliseconds()
        var outcomes = [PublishOutcome?](repeating: nil, count: messages.count)
        var copies: [(index: Int, copy: OutgoingMessage)] = []
        var meant: Set<String> = []
        for (index, stored) in messages.enumerated() {
            if let problem = TransferPlan.problem(stored, maxBodyBytes: limit, queue: queue, groups: groups) {
                outcomes[index] = .refused(problem)
                continue
            }
            if restored.isKnown(stored.id, of: queue) || !meant.insert(stored.id).inserted {
                outcomes[index] = .duplicate
                continue
            }
            let isDoubtful = restored.isDoubtful(stored.id, of: queue)
            let copy = TransferPlan.copy(stored, mayBeDouble: isDoubtful, routes, now: now)
            if let problem = WireFormat.problem(copy.properties, frameMax: frameMax, queue: queue) {
                outcomes[index] = .refused(problem)
            } else {
                copies.append((index, copy))
            }
        }
        var isFirst = true
        for part in copies.split(by: 1000) {
            let results: [PublishOutcome]
            do throws(QueueError) {
                results = try await publisher.publish(part.map(\.copy))
            } catch {
                let error = await explained(error, queue)
                if isFirst { throw error }
                results = Array(repeating: .refused(error), count: part.count)
            }
            isFirst = false
            state.withLock { client in
                for ((index, _), outcome) in zip(part, results) {
                    client.restored.note(outcome, of: messages[index].id, queue)
                }
            }
            for ((index, _), outcome) in zip(part, results) { outcomes[index] = outcome }
        }
        return outcomes.map { $0 ?? .refused(QueueError(.brokerError, "RabbitMQ sent no outcome", queue: queue)) }
    }

    public func forgetRestored(of queue: String) async throws(QueueError) {
        _ = try await known(queue)
        state.withLock { $0.restored.forget(queue) }
    }

    // MARK: - Closing and remembering

    public func setIntake(isOpen: Bool, of queue: String) async throws(QueueError) {
        try NameRules.validate(queue: queue)
        try checkOpen()
        _ = try await known(queue)
        try await administration.run(queue) { (channel) throws(QueueError) in
            try channel.calls(Topology.registry)
            let walk = Walk(channel: channel, queue: RabbitNames.registry)
            let records = try Self.records(walk, of: queue)
            guard var record = records.current else {
                try walk.end()
                throw Self.missing(queue)
            }
            // The note comes first when it closes and last when it opens: who is refused in between finds it.
            let steps = Topology.intake(
                queue,
                groups: record.groups.map(\.name),
                lanes: record.lanes ?? 0,
                isOpen: isOpen
            )
            if isOpen { try channel.calls(steps) }
            if record.isOpen != isOpen {
                record.closed = isOpen ? nil : true
                record.revision += 1
                guard try channel.publish([record.message()]).count == 1 else {
                    throw QueueError(.unavailable, "the broker did not take the record of the queue", queue: queue)
                }
                try walk.remove(records.tags)
            }
            if !isOpen { try channel.calls(steps) }
            try walk.end()
        }
    }

    public func rememberedIDs(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<RememberedID> {
        try checkOpen()
        throw noIDs(queue)
    }

    public func remember(_ ids: [RememberedID], of queue: String) async throws(QueueError) {
        try checkOpen()
        throw noIDs(queue)
    }

    private func noIDs(_ queue: String) -> QueueError {
        QueueError(
            .unsupported,
            "deduplication is not available on rabbitmq: \(RabbitProbe.noDeduplication)",
            queue: queue
        )
    }
}
#endif
