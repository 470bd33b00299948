#if Kafka
import Logging
import Messaging
import Synchronization

/// Queues on Apache Kafka, through librdkafka.
///
/// A queue is a topic; a plain record of any producer is a message. The consumers of one group in one client are one
/// member of the Kafka group, so a client may have more of them than the topic has partitions. Retries, delays and dead
/// letters have topics of their own, whose names begin with `_mq.`.
public final class KafkaQueue: MessageQueue {
    struct State {
        var members: [String: Membership] = [:]
        var books: [String: DeadLetterBook] = [:]
        var reservations: [String: ReservationBook] = [:]
        /// Members that only move on what waits, where nobody consumes while something is reserved.
        var attendants: [String: Task<GroupMember, any Error>] = [:]
        var restored = RestoredIDs()
        var consumers: [ObjectIdentifier: WeakConsumer] = [:]
        var capabilities: Capabilities?
        var nextConsumer: UInt32 = 0
        var isClosed = false
    }

    /// A member of a group, or the joining of one, with how many consumers it has.
    struct Membership {
        let joining: Task<GroupMember, any Error>
        var consumers = 0
    }

    struct WeakConsumer {
        weak var consumer: KafkaConsumer?
    }

    let configuration: KafkaConfiguration
    let broker: KafkaBroker
    let registry: KafkaRegistry
    let logger: Logger
    let state = Mutex(State())

    /// Creates a client.
    ///
    /// It connects with the first call.
    ///
    /// - Parameters:
    ///   - configuration: How to reach the brokers.
    ///   - logger: Where librdkafka's log goes, and commits and moves that failed are reported.
    public init(_ configuration: KafkaConfiguration, logger: Logger) {
        var logger = logger
        logger[metadataKey: LogKeys.endpoint] = .string(configuration.description)
        self.configuration = configuration
        self.logger = logger
        broker = KafkaBroker(configuration, log: KafkaLog(logger: logger))
        registry = KafkaRegistry(broker)
    }

    deinit {
        // One that was dropped without close: its members hold nothing, as their consumers hold this object.
        let members = state.withLock { $0.members.values.map(\.joining) + Array($0.attendants.values) }
        broker.close()
        guard !members.isEmpty else { return }
        Task { for member in members { await (try? member.value)?.stop() } }
    }

    /// `kafka`.
    public var system: String { "kafka" }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func capabilities() async throws(QueueError) -> Capabilities {
        try checkOpen()
        if let known = state.withLock({ $0.capabilities }) { return known }
        let metadata = try await broker.ask("asking for the brokers") { (client, timeout) throws(KafkaFailure) in
            try client.metadata(KafkaNames.registry, within: timeout)
        }
        let found = KafkaProbe.judge(brokers: metadata.brokers, configuration: configuration)
        for finding in found.findings { logger.info("\(finding)") }
        state.withLock { $0.capabilities = found }
        return found
    }

    // MARK: - Topology

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func definition(of queue: String) async throws(QueueError) -> QueueDefinition? {
        try NameRules.validate(queue: queue)
        try checkOpen()
        return try await registry.current()[queue]?.definition
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func queues() async throws(QueueError) -> [String] {
        try checkOpen()
        return try await registry.current().keys.sorted()
    }

    /// The settings of a queue that must exist.
    func entry(of queue: String) async throws(QueueError) -> KafkaRegistry.Entry {
        try NameRules.validate(queue: queue)
        try checkOpen()
        guard let entry = try await registry.current()[queue] else { throw Self.missing(queue) }
        return entry
    }

    static func missing(_ queue: String) -> QueueError {
        QueueError(.notFound, "there is no such queue; declare it first", queue: queue)
    }

    func checkOpen() throws(QueueError) {
        if state.withLock({ $0.isClosed }) { throw Self.closed }
    }

    static let closed = QueueError(.closed, "the client was closed", isRetryable: false)

    // MARK: - Consuming

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        try NameRules.validate(queue: queue)
        try NameRules.validate(group: group, queue: queue)
        try NameRules.validate(consumer: consumer, queue: queue)
        let entry = try await entry(of: queue)
        guard let definition = entry.definition.groups.first(where: { $0.name == group }) else {
            let known = entry.definition.groups.map(\.name).joined(separator: ", ")
            throw QueueError(
                .notFound,
                "there is no group '\(group)'; it has \(known.isEmpty ? "none" : known)",
                queue: queue
            )
        }
        let key = Self.memberKey(entry, group)
        let (joining, number) = try enter(key, entry, definition)
        let failure: QueueError
        do {
            let member = try await joining.value
            member.add(number, name: consumer)
            let opened = KafkaConsumer(
                owner: self,
                member: member,
                number: number,
                name: consumer,
                group: definition,
                key: key,
                mode: options.mode
            )
            // Members that were killed while they joined hold a group up for a session each time it counts on them.
            try await member.joined(within: configuration.timeout + configuration.sessionTimeout * 3)
            let isClosed = state.withLock { state in
                if !state.isClosed { state.consumers[ObjectIdentifier(opened)] = WeakConsumer(consumer: opened) }
                return state.isClosed
            }
            if !isClosed { return opened }
            await opened.close()
            failure = Self.closed
        } catch {
            await leave(key, number)
            failure = error as? QueueError ?? Self.closed
        }
        throw failure
    }

    /// Takes a place in the member of a group, making the member when there is none.
    private func enter(
        _ key: String,
        _ entry: KafkaRegistry.Entry,
        _ group: GroupDefinition
    ) throws(QueueError) -> (Task<GroupMember, any Error>, UInt32) {
        let answer: (Task<GroupMember, any Error>, UInt32)? = state.withLock { state in
            if state.isClosed { return nil }
            state.nextConsumer &+= 1
            if let known = state.members[key] {
                state.members[key]?.consumers += 1
                return (known.joining, state.nextConsumer)
            }
            let (broker, registry, configuration, logger) = (broker, registry, configuration, logger)
            let joining = Task {
                let log = KafkaLog(logger: logger)
                return try await GroupMember.join(entry, group, .everything, broker, registry, configuration, log)
            }
            state.members[key] = Membership(joining: joining, consumers: 1)
            return (joining, state.nextConsumer)
        }
        guard let answer else { throw Self.closed }
        return answer
    }

    /// Gives up a place; the last one takes the member out of the group.
    func leave(_ key: String, _ number: UInt32) async {
        let (joining, isLast) = state.withLock { state -> (Task<GroupMember, any Error>?, Bool) in
            guard var membership = state.members[key] else { return (nil, false) }
            membership.consumers -= 1
            state.members[key] = membership.consumers > 0 ? membership : nil
            return (membership.joining, membership.consumers == 0)
        }
        guard let member = try? await joining?.value else { return }
        member.remove(number, isLast: isLast)
        if isLast { await member.stop() }
    }

    func forget(_ consumer: KafkaConsumer) {
        state.withLock { _ = $0.consumers.removeValue(forKey: ObjectIdentifier(consumer)) }
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func close() async {
        let (consumers, attendants) = state.withLock { state in
            state.isClosed = true
            defer { state.attendants = [:] }
            return (state.consumers.values.compactMap(\.consumer), Array(state.attendants.values))
        }
        await withDiscardingTaskGroup { group in
            for consumer in consumers { group.addTask { await consumer.close() } }
            for attendant in attendants { group.addTask { await (try? attendant.value)?.stop() } }
        }
        broker.close()
    }

    // MARK: - Scheduled messages

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func scheduled(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<ScheduledMessage> {
        try checkOpen()
        throw KafkaProbe.unsupported(.scheduleList, queue)
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func cancelScheduled(_ ids: [MessageID], of queue: String) async throws(QueueError) -> [MessageID] {
        try checkOpen()
        throw KafkaProbe.unsupported(.scheduleList, queue)
    }
}
#endif
