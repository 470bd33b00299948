import Messaging

/// A client whose calls fail as those of a network backend would.
final class InProcessClient: QueueDecorator {
    let base: any MessageQueue
    private let faults: InProcessFaults
    private let isRemote: Bool

    init(base: any MessageQueue, faults: InProcessFaults, isRemote: Bool) {
        self.base = base
        self.faults = faults
        self.isRemote = isRemote
    }

    /// Carries out what reaches the broker, and loses the answers that do not come back.
    ///
    /// What is not carried out for certain is unavailable, where `isOpen` says that nothing can have happened.
    fileprivate func call<Value>(
        isWrite: Bool = false,
        isOpen: Bool = true,
        _ body: () async throws(QueueError) -> Value
    ) async throws(QueueError) -> Value {
        let passage = faults.pass(isWrite: isWrite, isRemote: isRemote)
        guard let failure = passage.failure else { return try await body() }
        if passage.isDone { _ = try await body() }
        guard !isOpen, failure.code == .indeterminate else { throw failure }
        throw QueueError(.unavailable, failure.message)
    }

    func declare(_ definition: QueueDefinition) async throws(QueueError) {
        try await call(isWrite: true) { () throws(QueueError) in try await base.declare(definition) }
    }

    func definition(of queue: String) async throws(QueueError) -> QueueDefinition? {
        try await call(isOpen: false) { () throws(QueueError) in try await base.definition(of: queue) }
    }

    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        let failure: QueueError
        do throws(QueueError) {
            return try await call(isWrite: true) { () throws(QueueError) in
                try await base.publish(messages, to: queue)
            }
        } catch {
            failure = error
        }
        guard failure.code == .indeterminate else { throw failure }
        return messages.map { _ in .indeterminate(failure) }
    }

    func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        let made = try await call(isOpen: false) { () throws(QueueError) in
            try await base.consume(queue, group: group, consumer: consumer, options: options)
        }
        return InProcessConsumer(base: made, client: self)
    }

    func statistics(of queue: String) async throws(QueueError) -> QueueStatistics {
        try await call(isOpen: false) { () throws(QueueError) in try await base.statistics(of: queue) }
    }

    func deadLetters(
        of queue: String,
        matching filter: DeadLetterFilter,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<DeadLetter> {
        try await call(isOpen: false) { () throws(QueueError) in
            try await base.deadLetters(of: queue, matching: filter, after: after, limit: limit)
        }
    }

    func redrive(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await call(isWrite: true) { () throws(QueueError) in try await base.redrive(ids, of: queue) }
    }

    func close() async {
        if isRemote { faults.closed() }
        await base.close()
    }
}

/// A consumer of an ``InProcessClient``.
private struct InProcessConsumer: ConsumerDecorator {
    let base: any QueueConsumer
    let client: InProcessClient

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        try await client.call(isOpen: false) { () throws(QueueError) in try await base.receive(max: max, wait: wait) }
    }

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        // A rejection or retry writes; acknowledging makes room.
        let isWrite = requests.contains { request in
            switch request.settlement {
            case .retry, .reject: true
            case .acknowledge, .discard, .release: false
            }
        }
        let failure: QueueError
        do throws(QueueError) {
            return try await client.call(isWrite: isWrite) { () throws(QueueError) in try await base.settle(requests) }
        } catch {
            failure = error
        }
        guard failure.code == .indeterminate else { throw failure }
        return requests.map { _ in .failed(failure) }
    }

    func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] {
        try await client.call(isOpen: false) { () throws(QueueError) in try await base.renew(receipts) }
    }
}
