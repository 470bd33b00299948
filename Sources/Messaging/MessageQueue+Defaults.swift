// What a backend leaves out is refused. The contract of each member stands in `MessageQueue` and `QueueConsumer`; a
// backend that claims the feature in its `Capabilities` implements the member itself.

// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension MessageQueue {
    public func deleteQueue(_ queue: String) async throws(QueueError) -> Bool { throw refusal(of: .deletion, queue) }

    public func deadLetters(
        of queue: String,
        matching filter: DeadLetterFilter,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<DeadLetter> {
        throw refusal(of: .deadLetters, queue)
    }

    public func redrive(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        throw refusal(of: .deadLetters, queue)
    }

    public func discardDeadLetters(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        throw refusal(of: .deadLetters, queue)
    }

    public func scheduled(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<ScheduledMessage> {
        throw refusal(of: .scheduleList, queue)
    }

    public func cancelScheduled(_ ids: [MessageID], of queue: String) async throws(QueueError) -> [MessageID] {
        throw refusal(of: .scheduleList, queue)
    }

    private func refusal(of feature: Capabilities.Feature, _ queue: String) -> QueueError {
        QueueError(.unsupported, "\(feature) is not available: the \(system) backend does not have it", queue: queue)
    }
}

// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension QueueConsumer {
    public func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] {
        throw QueueError(.unsupported, "leases of this backend cannot be renewed", queue: queue)
    }
}
