/// A queue around another one: whatever it does not define itself goes to the queue inside.
///
/// For metrics, for tests that let a broker misbehave, for what an application wants to add to every backend.
public protocol QueueDecorator: MessageQueue {
    /// The queue inside.
    var base: any MessageQueue { get }
}

// The contract of each member stands in `MessageQueue`; here is only where it goes.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension QueueDecorator {
    public var system: String { base.system }

    public func capabilities() async throws(QueueError) -> Capabilities { try await base.capabilities() }

    public func declare(_ definition: QueueDefinition) async throws(QueueError) { try await base.declare(definition) }

    public func definition(of queue: String) async throws(QueueError) -> QueueDefinition? {
        try await base.definition(of: queue)
    }

    public func queues() async throws(QueueError) -> [String] { try await base.queues() }

    public func deleteQueue(_ queue: String) async throws(QueueError) -> Bool { try await base.deleteQueue(queue) }

    public func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        try await base.publish(messages, to: queue)
    }

    public func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        try await base.consume(queue, group: group, consumer: consumer, options: options)
    }

    public func statistics(of queue: String) async throws(QueueError) -> QueueStatistics {
        try await base.statistics(of: queue)
    }

    public func deadLetters(
        of queue: String,
        matching filter: DeadLetterFilter,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<DeadLetter> {
        try await base.deadLetters(of: queue, matching: filter, after: after, limit: limit)
    }

    public func redrive(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await base.redrive(ids, of: queue)
    }

    public func discardDeadLetters(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await base.discardDeadLetters(ids, of: queue)
    }

    public func scheduled(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<ScheduledMessage> {
        try await base.scheduled(of: queue, after: after, limit: limit)
    }

    public func cancelScheduled(_ ids: [MessageID], of queue: String) async throws(QueueError) -> [MessageID] {
        try await base.cancelScheduled(ids, of: queue)
    }

    public func close() async { await base.close() }
}

/// A consumer around another one: whatever it does not define itself goes to the consumer inside.
public protocol ConsumerDecorator: QueueConsumer {
    /// The consumer inside.
    var base: any QueueConsumer { get }
}

// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension ConsumerDecorator {
    public var queue: String { base.queue }
    public var group: String { base.group }
    public var name: String { base.name }
    public var lease: Duration { base.lease }

    public func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        try await base.receive(max: max, wait: wait)
    }

    public func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        try await base.settle(requests)
    }

    public func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] { try await base.renew(receipts) }

    public func close() async { await base.close() }
}
