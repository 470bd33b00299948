/// A transfer around another one: whatever it does not define itself goes to the one inside.
public protocol TransferDecorator: QueueTransfer {
    /// The transfer inside.
    var base: any QueueTransfer { get }
}

// The contract of each member stands in `QueueTransfer`; here is only where it goes.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension TransferDecorator {
    public func limits() async throws(QueueError) -> TransferLimits { try await base.limits() }

    public func stored(
        in queue: String,
        state: StoredMessage.State,
        group: String?,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<StoredMessage> {
        try await base.stored(in: queue, state: state, group: group, after: after, limit: limit)
    }

    public func setIntake(isOpen: Bool, of queue: String) async throws(QueueError) {
        try await base.setIntake(isOpen: isOpen, of: queue)
    }

    public func reserve(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await base.reserve(ids, of: queue)
    }

    public func putBack(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await base.putBack(ids, of: queue)
    }

    public func removeReserved(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await base.removeReserved(ids, of: queue)
    }

    public func restore(_ messages: [StoredMessage], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        try await base.restore(messages, to: queue)
    }

    public func forgetRestored(of queue: String) async throws(QueueError) { try await base.forgetRestored(of: queue) }

    public func rememberedIDs(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<RememberedID> {
        try await base.rememberedIDs(of: queue, after: after, limit: limit)
    }

    public func remember(_ ids: [RememberedID], of queue: String) async throws(QueueError) {
        try await base.remember(ids, of: queue)
    }
}
