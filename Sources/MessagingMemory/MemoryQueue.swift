import Messaging
import Synchronization

/// The in-process backend: the whole contract without a server.
///
/// What it holds ends with the process. It serves tests, programs that need no durability, and as the reference model of the contract.
public final class MemoryQueue: MessageQueue {
    /// The consumers that this client has opened; they may be gone already.
    private struct Consumers: Sendable {
        var isClosed = false
        var open: [UInt32: Member] = [:]
    }

    private struct Member: Sendable {
        weak var consumer: MemoryConsumer?
    }

    private let broker: MemoryBroker
    private let consumers = Mutex(Consumers())

    /// The backend's name, `memory`.
    public var system: String { "memory" }

    /// Creates an empty broker with its first client.
    ///
    /// - Parameters:
    ///   - clock: What leases, delays and windows are measured by; the machine's clocks by default.
    ///   - maxBodyBytes: The largest body that `publish` takes, in bytes; 64 MiB by default.
    public convenience init(clock: QueueClock = .system, maxBodyBytes: Int = 64 << 20) {
        self.init(broker: MemoryBroker(clock: clock, maxBodyBytes: maxBodyBytes))
    }

    private init(broker: MemoryBroker) { self.broker = broker }

    /// Opens a further client of the same broker, as another process would; closing one leaves the others open.
    ///
    /// - Returns: The client; also when this one has been closed.
    public func makeClient() -> MemoryQueue { MemoryQueue(broker: broker) }

    /// Tells what this backend can do: everything but outliving the process.
    ///
    /// - Returns: The features, limits, version and durability.
    /// - Throws: `QueueError` with the code `closed` after `close()`.
    public func capabilities() async throws(QueueError) -> Capabilities {
        try checkOpen()
        var support = Dictionary(
            uniqueKeysWithValues: Capabilities.Feature.allCases.map { ($0, Capabilities.Support.native) }
        )
        support[.persistence] = .unavailable("the messages are in the memory of this process")
        return Capabilities(
            system: system,
            version: "in-process",
            durability: .memory,
            maxBodyBytes: broker.maxBodyBytes,
            support: support
        )
    }

    /// Creates a queue with its groups, or adds missing groups to it; doing so again changes nothing.
    ///
    /// - Parameter definition: The settings. Groups that exist and are not named stay.
    /// - Throws: `QueueError`: `topologyConflict` when the queue or a group exists with other settings, naming both and
    ///   changing nothing; `invalidName` and `invalidArgument` as `QueueDefinition.validate()`; `closed`.
    public func declare(_ definition: QueueDefinition) async throws(QueueError) {
        try checkOpen()
        try definition.validate()
        try broker.declare(definition)
    }

    /// Returns the settings of a queue.
    ///
    /// - Parameter queue: The queue's name.
    /// - Returns: What `declare` created, with all groups; `nil` when there is no such queue.
    /// - Throws: `QueueError` with the code `closed` after `close()`.
    public func definition(of queue: String) async throws(QueueError) -> QueueDefinition? {
        try checkOpen()
        return broker.existing(queue)?.run { engine, _ in engine.definition }
    }

    /// Lists the queues that were declared.
    ///
    /// - Returns: Their names, sorted.
    /// - Throws: `QueueError` with the code `closed` after `close()`.
    public func queues() async throws(QueueError) -> [String] {
        try checkOpen()
        return broker.names
    }

    /// Deletes a queue with all it has; its consumers hear `topologyLost`.
    ///
    /// - Parameter queue: The queue's name.
    /// - Returns: Whether there was such a queue.
    /// - Throws: `QueueError` with the code `closed` after `close()`.
    public func deleteQueue(_ queue: String) async throws(QueueError) -> Bool {
        try checkOpen()
        return broker.delete(queue)
    }

    /// Publishes messages.
    ///
    /// - Parameters:
    ///   - messages: The messages, in order. One that is refused never fails the others.
    ///   - queue: A declared queue.
    /// - Returns: One outcome per message, in the same order. Refusals are `invalidArgument` for an id that does not
    ///   have 1 to 512 bytes, a header that begins with `mq-` or a date that is no number, `tooLarge`, `idConflict` and
    ///   `queueFull`.
    /// - Throws: `QueueError`: `notFound` for a queue that was not declared, `closed` after `close()`.
    public func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        try runtime(queue).runLive { engine, moment in engine.publish(messages, at: moment) }
    }

    /// Opens a consumer of one group, which fetches nothing before `receive` asks for it.
    ///
    /// - Parameters:
    ///   - queue: A declared queue.
    ///   - group: A declared group of it.
    ///   - consumer: The consumer's name.
    ///   - options: How deliveries are handed over.
    /// - Returns: The consumer; close it when done. One that is dropped leaves the group as if it had been closed.
    /// - Throws: `QueueError`: `notFound` for an unknown queue or group, `invalidName`, `closed` after `close()`.
    public func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        let runtime = try runtime(queue)
        try NameRules.validate(consumer: consumer, queue: queue)
        let number = broker.makeConsumerNumber()
        let member = try runtime.runLive { engine, _ throws(QueueError) in
            guard let index = engine.group(group) else {
                throw QueueError(.notFound, "there is no group '\(group)'; declare it first", queue: queue)
            }
            engine.join(index, number, name: consumer, mode: options.mode)
            return MemoryConsumer(
                runtime,
                group: group,
                groupNumber: index,
                name: consumer,
                number: number,
                lease: engine.groups[index].definition.lease
            )
        }
        let isClosed = consumers.withLock { consumers in
            consumers.open = consumers.open.filter { $0.value.consumer != nil }
            consumers.open[number] = Member(consumer: member)
            return consumers.isClosed
        }
        // The client may have been closed while the consumer was being opened.
        guard !isClosed else { throw closed }
        return member
    }

    /// Returns the figures of a queue, all exact.
    ///
    /// - Parameter queue: A declared queue.
    /// - Returns: The figures. In a keyed queue, what waits behind its key counts as ready.
    /// - Throws: `QueueError`: `notFound` for an unknown queue, `closed` after `close()`.
    public func statistics(of queue: String) async throws(QueueError) -> QueueStatistics {
        try runtime(queue).run { engine, moment in engine.statistics(now: moment.now) }
    }

    /// Closes this client and its consumers; later calls throw `closed`, closing twice is fine.
    public func close() async {
        let open = consumers.withLock { consumers in
            consumers.isClosed = true
            defer { consumers.open = [:] }
            return consumers.open.values.compactMap(\.consumer)
        }
        for consumer in open { consumer.leave() }
    }

    /// Returns a queue, if this client is open.
    func runtime(_ queue: String) throws(QueueError) -> QueueRuntime {
        try checkOpen()
        guard let runtime = broker.existing(queue) else {
            throw QueueError(.notFound, "there is no such queue; declare it first", queue: queue)
        }
        return runtime
    }

    private func checkOpen() throws(QueueError) {
        guard !consumers.withLock({ $0.isClosed }) else { throw closed }
    }

    private var closed: QueueError { QueueError(.closed, "the memory queue was closed") }
}
