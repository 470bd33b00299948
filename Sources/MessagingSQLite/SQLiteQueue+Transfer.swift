#if SQLite
import Messaging

extension SQLiteQueue: QueueTransfer {
    /// This client.
    public var transfer: (any QueueTransfer)? { self }
}

// The contract of each member stands in `QueueTransfer`.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension SQLiteQueue {
    public func stored(
        in queue: String,
        state: StoredMessage.State,
        group: String?,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<StoredMessage> {
        try check(limit, queue)
        return try await inspect { inspection in
            try inspection.stored(in: queue, state: state, group: group, after: after, limit: limit)
        }
    }

    public func setIntake(isOpen: Bool, of queue: String) async throws(QueueError) {
        try await file().commits.perform { transaction in try transaction.setIntake(isOpen: isOpen, of: queue) }
    }

    public func reserve(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await file().commits.perform { transaction in try transaction.transfer(.reserve, ids, of: queue) }
    }

    public func putBack(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await file().commits.perform { transaction in try transaction.transfer(.putBack, ids, of: queue) }
    }

    public func removeReserved(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await file().commits.perform { transaction in try transaction.transfer(.remove, ids, of: queue) }
    }

    public func restore(_ messages: [StoredMessage], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        let limit = configuration.maxBodyBytes
        return try await file().commits.perform { transaction in
            try transaction.restore(messages, to: queue, maxBodyBytes: limit)
        }
    }

    public func forgetRestored(of queue: String) async throws(QueueError) {
        try await file().commits.perform { transaction in try transaction.forgetRestored(of: queue) }
    }

    public func rememberedIDs(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<RememberedID> {
        try check(limit, queue)
        return try await inspect { inspection in
            try inspection.rememberedIDs(of: queue, after: after, limit: limit)
        }
    }

    public func remember(_ ids: [RememberedID], of queue: String) async throws(QueueError) {
        try await file().commits.perform { transaction in try transaction.remember(ids, of: queue) }
    }
}
#endif
