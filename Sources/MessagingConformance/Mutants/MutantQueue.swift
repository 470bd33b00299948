import Messaging
import Synchronization

/// A client with any of its operations replaced; what is not replaced goes to the client inside.
struct MutantQueue: QueueDecorator {
    let base: any MessageQueue
    let notes = ClientNotes()

    var onCapabilities: @Sendable (Capabilities) -> Capabilities = { $0 }
    var onDeclare: (@Sendable (any MessageQueue, QueueDefinition) async throws(QueueError) -> Void)?
    var onDefinition: @Sendable (QueueDefinition) -> QueueDefinition = { $0 }
    var onQueues: @Sendable ([String]) -> [String] = { $0 }
    var onPublish: (@Sendable (any MessageQueue, [Message], String) async throws(QueueError) -> [PublishOutcome])?
    var onConsume: (@Sendable (any MessageQueue, Opening) async throws(QueueError) -> any QueueConsumer)?
    var onStatistics: (@Sendable (any MessageQueue, String) async throws(QueueError) -> QueueStatistics)?
    var onDeadLetters: (@Sendable (any MessageQueue, LetterQuery) async throws(QueueError) -> Page<DeadLetter>)?
    var onRedrive: (@Sendable (any MessageQueue, [String], String) async throws(QueueError) -> [String])?
    var onDiscard: (@Sendable (any MessageQueue, [String], String) async throws(QueueError) -> [String])?
    var onScheduled: @Sendable ([ScheduledMessage]) -> [ScheduledMessage] = { $0 }
    var onCancel: (@Sendable (any MessageQueue, [MessageID], String) async throws(QueueError) -> [MessageID])?
    var onReceive: (@Sendable (MutantConsumer, Int, Duration) async throws(QueueError) -> [Delivery])?
    var onSettle: (@Sendable (MutantConsumer, [SettleRequest]) async throws(QueueError) -> [SettleOutcome])?
    var onRenew: (@Sendable (MutantConsumer, [Receipt]) async throws(QueueError) -> [Bool])?
    var onLeave: (@Sendable (MutantConsumer) async -> Void)?

    /// What a consumer is opened with.
    struct Opening: Sendable {
        let queue: String
        let group: String
        let consumer: String
        let options: ConsumerOptions
    }

    /// Which page of dead letters is wanted.
    struct LetterQuery: Sendable {
        let queue: String
        let filter: DeadLetterFilter
        let after: String?
        let limit: Int
    }

    init(base: any MessageQueue) { self.base = base }

    func capabilities() async throws(QueueError) -> Capabilities { onCapabilities(try await base.capabilities()) }

    func declare(_ definition: QueueDefinition) async throws(QueueError) {
        if let onDeclare { try await onDeclare(base, definition) } else { try await base.declare(definition) }
    }

    func definition(of queue: String) async throws(QueueError) -> QueueDefinition? {
        try await base.definition(of: queue).map(onDefinition)
    }

    func queues() async throws(QueueError) -> [String] { onQueues(try await base.queues()) }

    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        if let onPublish { return try await onPublish(base, messages, queue) }
        return try await base.publish(messages, to: queue)
    }

    func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        let opening = Opening(queue: queue, group: group, consumer: consumer, options: options)
        let inner =
            if let onConsume { try await onConsume(base, opening) } else { try await base.open(opening) }
        let outer = MutantConsumer(base: inner, client: self)
        notes.add(outer)
        return outer
    }

    func statistics(of queue: String) async throws(QueueError) -> QueueStatistics {
        if let onStatistics { return try await onStatistics(base, queue) }
        return try await base.statistics(of: queue)
    }

    func deadLetters(
        of queue: String,
        matching filter: DeadLetterFilter,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<DeadLetter> {
        let query = LetterQuery(queue: queue, filter: filter, after: after, limit: limit)
        if let onDeadLetters { return try await onDeadLetters(base, query) }
        return try await base.letters(query)
    }

    func redrive(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        if let onRedrive { return try await onRedrive(base, ids, queue) }
        return try await base.redrive(ids, of: queue)
    }

    func discardDeadLetters(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        if let onDiscard { return try await onDiscard(base, ids, queue) }
        return try await base.discardDeadLetters(ids, of: queue)
    }

    func scheduled(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<ScheduledMessage> {
        let page = try await base.scheduled(of: queue, after: after, limit: limit)
        return Page(onScheduled(page.elements), next: page.next)
    }

    func cancelScheduled(_ ids: [MessageID], of queue: String) async throws(QueueError) -> [MessageID] {
        if let onCancel { return try await onCancel(base, ids, queue) }
        return try await base.cancelScheduled(ids, of: queue)
    }
}

/// A consumer with the replaced operations of its client, which remembers what it has received.
struct MutantConsumer: ConsumerDecorator {
    let base: any QueueConsumer
    let client: MutantQueue
    let notes = ConsumerNotes()

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        let deliveries =
            if let onReceive = client.onReceive {
                try await onReceive(self, max, wait)
            } else {
                try await base.receive(max: max, wait: wait)
            }
        notes.add(deliveries)
        return deliveries
    }

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        if let onSettle = client.onSettle { return try await onSettle(self, requests) }
        return try await base.settle(requests)
    }

    func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] {
        if let onRenew = client.onRenew { return try await onRenew(self, receipts) }
        return try await base.renew(receipts)
    }

    func close() async {
        if let onLeave = client.onLeave { await onLeave(self) } else { await base.close() }
    }
}

/// What a client remembers: its consumers, which it also keeps alive.
final class ClientNotes: Sendable {
    private let made = Mutex<[MutantConsumer]>([])

    var consumers: [MutantConsumer] { made.withLock { $0 } }

    func add(_ consumer: MutantConsumer) { made.withLock { $0.append(consumer) } }
}

/// What a consumer remembers: every delivery it received, in order.
final class ConsumerNotes: Sendable {
    private let received = Mutex<[Delivery]>([])

    var deliveries: [Delivery] { received.withLock { $0 } }

    func add(_ deliveries: [Delivery]) { received.withLock { $0 += deliveries } }

    /// Returns what was delivered with a receipt.
    func delivery(_ receipt: Receipt) -> Delivery? { received.withLock { $0.last { $0.receipt == receipt } } }
}
