import Messaging

/// A backend that keeps everything in this process; in one of yours, each member asks a server.
///
/// A queue has one group and no dead letters: what fails is retried for ever, whatever `maxAttempts` says.
/// `CheckedQueue` refuses what the capabilities do not claim and what breaks the rules, and closes the clients.
actor ExampleQueue: MessageQueue {
    /// A message; while it is held it has the receipt of its delivery and the end of its lease.
    private struct Item {
        let message: Message
        var attempt = 1
        var history: [Failure] = []
        var held: (receipt: Receipt, until: Duration)?
    }

    nonisolated let system = "example"
    nonisolated let changes = ChangeSignal()
    private var definitions: [String: QueueDefinition] = [:]
    private var items: [String: [Item]] = [:]
    /// What each open consumer holds.
    private var ledgers: [UInt32: SettlementLedger] = [:]
    private var last: UInt32 = 0

    func capabilities() async throws(QueueError) -> Capabilities {
        let support: [Capabilities.Feature: Capabilities.Support] = [.fencedSettle: .native]
        return Capabilities(system: system, version: "1", durability: .memory, maxBodyBytes: 1 << 20, support: support)
    }

    func declare(_ wanted: QueueDefinition) async throws(QueueError) {
        definitions[wanted.name] = try definitions[wanted.name]?.adding(wanted) ?? wanted
    }

    func definition(of queue: String) async throws(QueueError) -> QueueDefinition? { definitions[queue] }
    func queues() async throws(QueueError) -> [String] { definitions.keys.sorted() }

    private func declared(_ queue: String) throws(QueueError) -> QueueDefinition {
        if let definition = definitions[queue] { return definition }
        throw QueueError(.notFound, "there is no such queue; declare it first", queue: queue)
    }

    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        _ = try declared(queue)
        items[queue, default: []] += messages.map { Item(message: $0) }
        changes.raise()
        return messages.map { _ in .accepted }
    }

    func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        guard let found = try declared(queue).groups.first(where: { $0.name == group }) else {
            throw QueueError(.notFound, "there is no group '\(group)'; declare it first", queue: queue)
        }
        last += 1
        ledgers[last] = SettlementLedger()
        return ExampleConsumer(broker: self, queue: queue, group: group, name: consumer, lease: found.lease, id: last)
    }

    func statistics(of queue: String) async throws(QueueError) -> QueueStatistics {
        let groups = try declared(queue).groups
        giveBack(queue) { $1 <= QueueClock.system.now() }
        let all = items[queue, default: []]
        let held = all.count { $0.held != nil }
        let figures = groups.map {
            GroupStatistics(group: $0.name, ready: .exact(all.count - held), inFlight: .exact(held))
        }
        return QueueStatistics(queue: queue, groups: figures, scheduled: .exact(0), stored: .exact(all.count))
    }

    /// The broker lives on when a client is closed.
    func close() async {}

    /// Makes deliveries ready again that ended without a settlement; that was an attempt.
    private func giveBack(_ queue: String, where hasEnded: (Receipt, Duration) -> Bool) {
        for (index, item) in items[queue, default: []].enumerated() {
            guard let held = item.held, hasEnded(held.receipt, held.until) else { continue }
            items[queue]?[index].held = nil
            items[queue]?[index].attempt += 1
        }
    }

    /// Takes what is ready, and says when more may become ready by itself.
    fileprivate func take(_ max: Int, for consumer: ExampleConsumer) throws(QueueError) -> ([Delivery], Duration?) {
        let (queue, now) = (consumer.queue, QueueClock.system.now())
        guard ledgers[consumer.id] != nil else { throw QueueError(.closed, "the consumer was closed", queue: queue) }
        if Task.isCancelled { throw QueueError(.cancelled, "receive was cancelled", queue: queue) }
        giveBack(queue) { $1 <= now }
        let ready = items[queue, default: []].enumerated().filter { $0.element.held == nil }.prefix(max)
        let taken = ready.map { index, item in
            last += 1
            let receipt = Receipt(high: 0, low: UInt64(last), fence: 0, source: consumer.id)
            items[queue]?[index].held = (receipt, now + consumer.lease)
            ledgers[consumer.id]?.handOver(receipt)
            return consumer.delivery(of: item.message, item.attempt, receipt, history: item.history)
        }
        return (taken, items[queue]?.compactMap { $0.held?.until }.min())
    }

    fileprivate func settle(_ requests: [SettleRequest], by consumer: ExampleConsumer) -> [SettleOutcome] {
        defer { changes.raise() }
        return requests.map { request in
            ledgers[consumer.id]?.settle(request.receipt) { end(request, consumer) } ?? .leaseLost
        }
    }

    private func end(_ request: SettleRequest, _ consumer: ExampleConsumer) -> SettleOutcome {
        let index = items[consumer.queue, default: []].firstIndex { $0.held?.receipt == request.receipt }
        guard let index, var item = items[consumer.queue]?.remove(at: index) else { return .leaseLost }
        switch request.settlement {
        case .acknowledge, .discard, .reject: return .settled
        case .release: break
        case .retry(_, let error):
            item.history = Failure.history(item.history, adding: item.attempt, by: consumer.name, error: error)
            item.attempt += 1
        }
        item.held = nil
        items[consumer.queue]?.insert(item, at: index)
        return .settled
    }

    fileprivate func leave(_ consumer: ExampleConsumer) {
        ledgers[consumer.id] = nil
        giveBack(consumer.queue) { receipt, _ in receipt.source == consumer.id }
        changes.raise()
    }
}

/// One member of the group.
private struct ExampleConsumer: QueueConsumer {
    let broker: ExampleQueue
    let queue: String
    let group: String
    let name: String
    let lease: Duration
    let id: UInt32

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        try await broker.changes.look(for: wait) { () throws(QueueError) in try await broker.take(max, for: self) }
    }

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        await broker.settle(requests, by: self)
    }

    func close() async { await broker.leave(self) }
}
