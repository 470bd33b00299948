import Messaging

extension MemoryQueue: QueueTransfer {
    /// This client.
    public var transfer: (any QueueTransfer)? { self }
}

// The contract of each member stands in `QueueTransfer`.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension MemoryQueue {
    public func stored(
        in queue: String,
        state: StoredMessage.State,
        group: String?,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<StoredMessage> {
        let runtime = try runtime(queue)
        try check(limit, queue: queue)
        let found = try runtime.runLive { engine, moment throws(QueueError) in
            guard let group else { return engine.stored(state, group: nil, at: moment) }
            guard let number = engine.group(group) else {
                throw QueueError(.notFound, "there is no group '\(group)'", queue: queue)
            }
            return engine.stored(state, group: number, at: moment)
        }
        guard let found else {
            throw QueueError(.invalidArgument, "the state '\(state.rawValue)' needs a group", queue: queue)
        }
        var start: StoredPlace?
        if let after {
            guard let place = StoredPlace(after) else {
                throw QueueError(.invalidArgument, "'after' is not from a page before", queue: queue)
            }
            start = place
        }
        let rest = found.compactMap { stored in StoredPlace(stored.id).map { (place: $0, stored: stored) } }
            .filter { rest in start.map { rest.place > $0 } ?? true }
            .sorted { $0.place < $1.place }
        let page = rest.prefix(limit)
        return Page(page.map(\.stored), next: rest.count > limit ? page.last?.place.text : nil)
    }

    public func setIntake(isOpen: Bool, of queue: String) async throws(QueueError) {
        try runtime(queue).runLive { engine, _ in engine.setIntake(isOpen: isOpen) }
    }

    public func reserve(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try runtime(queue).runLive { engine, moment in engine.transfer(.reserve, ids, at: moment) }
    }

    public func putBack(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try runtime(queue).runLive { engine, moment in engine.transfer(.putBack, ids, at: moment) }
    }

    public func removeReserved(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try runtime(queue).runLive { engine, moment in engine.transfer(.remove, ids, at: moment) }
    }

    public func restore(_ messages: [StoredMessage], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        try runtime(queue).runLive { engine, moment in engine.restore(messages, at: moment) }
    }

    public func forgetRestored(of queue: String) async throws(QueueError) {
        try runtime(queue).runLive { engine, _ in engine.forgetRestored() }
    }

    public func rememberedIDs(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<RememberedID> {
        let runtime = try runtime(queue)
        try check(limit, queue: queue)
        let page = runtime.run { engine, moment in engine.rememberedIDs(after: after, limit: limit, at: moment) }
        return try known(page, queue: queue)
    }

    public func remember(_ ids: [RememberedID], of queue: String) async throws(QueueError) {
        try runtime(queue).runLive { engine, moment in engine.remember(ids, at: moment) }
    }
}
