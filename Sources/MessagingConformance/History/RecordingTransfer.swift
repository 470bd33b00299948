import Messaging

/// Tells the history of queues whose messages come from elsewhere or go there: only a part of their life is in it.
struct RecordingTransfer: TransferDecorator {
    let base: any QueueTransfer
    let history: History

    func reserve(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        history.noteForeign(queue)
        return try await base.reserve(ids, of: queue)
    }

    func restore(_ messages: [StoredMessage], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        history.noteForeign(queue)
        return try await base.restore(messages, to: queue)
    }

    func remember(_ ids: [RememberedID], of queue: String) async throws(QueueError) {
        history.noteForeign(queue)
        try await base.remember(ids, of: queue)
    }
}
