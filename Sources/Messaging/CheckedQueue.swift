import Synchronization

/// A client that checks whatever does not depend on its broker, so that the backend inside need not; for backends.
///
/// It refuses names, settings, messages and sizes that break the rules, and what the backend's ``Capabilities`` do not
/// claim. After `close()` every call throws `closed`, and so do those of the consumers that were opened here: they
/// leave their groups with the client. A `receive` that waits inside when its consumer is closed must end by itself.
public final class CheckedQueue: QueueDecorator {
    /// What is behind the client; it is closed with it.
    public let base: any MessageQueue
    private let state = Mutex(State())

    private struct State {
        var isClosed = false
        var capabilities: Capabilities?
        var last = 0
        var consumers: [Int: Member] = [:]
    }

    /// Does not keep a consumer that nobody has any more.
    private struct Member { weak var consumer: CheckedConsumer? }

    /// Creates a client.
    ///
    /// - Parameter base: What is behind it.
    public init(_ base: any MessageQueue) { self.base = base }

    private func checkOpen() throws(QueueError) {
        if state.withLock({ $0.isClosed }) { throw QueueError(.closed, "the \(system) client was closed") }
    }
}

// The contract of each member stands in `MessageQueue`; here is only what is checked.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension CheckedQueue {
    /// Asks the backend once.
    public func capabilities() async throws(QueueError) -> Capabilities {
        try checkOpen()
        if let known = state.withLock({ $0.capabilities }) { return known }
        let capabilities = try await base.capabilities()
        state.withLock { $0.capabilities = capabilities }
        return capabilities
    }

    public func declare(_ definition: QueueDefinition) async throws(QueueError) {
        try checkOpen()
        try definition.validate()
        let (capabilities, name) = (try await capabilities(), definition.name)
        if definition.ordering == .keyed { try capabilities.require(.keyedOrder, queue: name) }
        if definition.maxReady != nil { try capabilities.require(.boundedQueue, queue: name) }
        if definition.retention > .zero { try capabilities.require(.replay, queue: name) }
        if !capabilities[.fanOut].isAvailable {
            let existing = try await base.definition(of: name)?.groups ?? []
            let groups = Set((existing + definition.groups).map(\.name))
            if groups.count > 1 { try capabilities.require(.fanOut, queue: name) }
        }
        try await base.declare(definition)
    }

    public func definition(of queue: String) async throws(QueueError) -> QueueDefinition? {
        try checkOpen()
        return try await base.definition(of: queue)
    }

    public func queues() async throws(QueueError) -> [String] {
        try checkOpen()
        return try await base.queues()
    }

    public func deleteQueue(_ queue: String) async throws(QueueError) -> Bool {
        try await capabilities().require(.deletion, queue: queue)
        return try await base.deleteQueue(queue)
    }

    public func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        try checkOpen()
        let capabilities = try await capabilities()
        let problems = messages.map { message in
            let problem = MessageRules.problem(message, maxBodyBytes: capabilities.maxBodyBytes, queue: queue)
            return problem ?? (message.due == nil ? nil : capabilities.refusal(of: .delay, queue: queue))
        }
        // Also without a message: the queue may be missing.
        let sound = zip(messages, problems).filter { $1 == nil }.map(\.0)
        var outcomes = try await base.publish(sound, to: queue)[...]
        return problems.map { problem in
            if let problem { return .refused(problem) }
            return outcomes.popFirst() ?? .refused(QueueError(.brokerError, "there is no outcome", queue: queue))
        }
    }

    public func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        try checkOpen()
        try NameRules.validate(consumer: consumer, queue: queue)
        let capabilities = try await capabilities()
        if options.mode == .atMostOnce { try capabilities.require(.atMostOnce, queue: queue) }
        let inner = try await base.consume(queue, group: group, consumer: consumer, options: options)
        let made = CheckedConsumer(inner, capabilities)
        let isOpen = state.withLock { state in
            guard !state.isClosed else { return false }
            state.consumers = state.consumers.filter { $0.value.consumer != nil }
            state.last += 1
            state.consumers[state.last] = Member(consumer: made)
            return true
        }
        if isOpen { return made }
        // The client was closed while the consumer was being opened.
        await made.close()
        throw QueueError(.closed, "the \(system) client was closed", queue: queue)
    }

    public func statistics(of queue: String) async throws(QueueError) -> QueueStatistics {
        try checkOpen()
        return try await base.statistics(of: queue)
    }

    public func deadLetters(
        of queue: String,
        matching filter: DeadLetterFilter,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<DeadLetter> {
        try await capabilities().require(.deadLetters, queue: queue)
        return try await base.deadLetters(of: queue, matching: filter, after: after, limit: limit)
    }

    public func redrive(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await capabilities().require(.deadLetters, queue: queue)
        return try await base.redrive(ids, of: queue)
    }

    public func discardDeadLetters(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await capabilities().require(.deadLetters, queue: queue)
        return try await base.discardDeadLetters(ids, of: queue)
    }

    public func scheduled(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<ScheduledMessage> {
        try await capabilities().require(.scheduleList, queue: queue)
        return try await base.scheduled(of: queue, after: after, limit: limit)
    }

    public func cancelScheduled(_ ids: [MessageID], of queue: String) async throws(QueueError) -> [MessageID] {
        try await capabilities().require(.scheduleList, queue: queue)
        return try await base.cancelScheduled(ids, of: queue)
    }

    public func close() async {
        let consumers: [CheckedConsumer]? = state.withLock { state in
            if state.isClosed { return nil }
            state.isClosed = true
            defer { state.consumers = [:] }
            return state.consumers.values.compactMap(\.consumer)
        }
        guard let consumers else { return }
        for consumer in consumers { await consumer.close() }
        await base.close()
    }
}

/// A consumer of a checked client.
private final class CheckedConsumer: ConsumerDecorator {
    let base: any QueueConsumer
    private let capabilities: Capabilities
    private let isClosed = Mutex(false)

    init(_ base: any QueueConsumer, _ capabilities: Capabilities) {
        self.base = base
        self.capabilities = capabilities
    }

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        try checkOpen()
        guard 1...1000 ~= max else {
            throw QueueError(.invalidArgument, "max must be 1 to 1000, not \(max)", queue: queue)
        }
        return try await base.receive(max: max, wait: wait)
    }

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        try checkOpen()
        let refusals = requests.map { request in
            switch request.settlement {
            case .reject: capabilities.refusal(of: .deadLetters, queue: queue)
            case .retry(let delay, _) where delay > .zero: capabilities.refusal(of: .delay, queue: queue)
            default: QueueError?.none
            }
        }
        let sound = zip(requests, refusals).filter { $1 == nil }.map(\.0)
        var outcomes = sound.isEmpty ? [] : try await base.settle(sound)[...]
        return refusals.map { refusal in
            if let refusal { return .failed(refusal) }
            return outcomes.popFirst() ?? .failed(QueueError(.brokerError, "there is no outcome", queue: queue))
        }
    }

    func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] {
        try checkOpen()
        try capabilities.require(.renewal, queue: queue)
        return try await base.renew(receipts)
    }

    func close() async {
        let wasClosed = isClosed.withLock { isClosed in
            defer { isClosed = true }
            return isClosed
        }
        if !wasClosed { await base.close() }
    }

    private func checkOpen() throws(QueueError) {
        if isClosed.withLock({ $0 }) { throw QueueError(.closed, "the consumer was closed", queue: queue) }
    }
}
