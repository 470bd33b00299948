#if RabbitMQ
import Logging
import Messaging
import Synchronization

/// Queues on RabbitMQ.
///
/// A queue is an exchange, each of its groups a quorum queue; a plain publish of any AMQP client to the group's queue is
/// a message. One connection publishes, one administers, and each consumer has one; all reconnect by themselves. Works
/// with RabbitMQ 3.10 or newer, without plugins.
public final class RabbitMQQueue: MessageQueue {
    private struct State {
        var definitions: [String: QueueDefinition] = [:]
        var consumers: [ObjectIdentifier: RabbitMQConsumer] = [:]
        var capabilities: Capabilities?
        var frameMax = 131072
        var hasLevels = false
        var isClosed = false
    }

    let configuration: RabbitMQConfiguration
    let publisher: Publisher
    let administration: Administration
    let management: ManagementClient?
    let logger: Logger
    private let state = Mutex(State())

    static let closedError = QueueError(.closed, "the queue client was closed", isRetryable: false)

    /// Creates a client.
    ///
    /// It connects with the first call.
    ///
    /// - Parameters:
    ///   - configuration: How to reach the server.
    ///   - logger: Where reconnects, alarms and moved messages are reported.
    public init(_ configuration: RabbitMQConfiguration, logger: Logger) {
        var logger = logger
        logger[metadataKey: LogKeys.endpoint] = .string(configuration.endpoint)
        self.configuration = configuration
        self.logger = logger
        publisher = Publisher(configuration, logger: logger)
        administration = Administration(configuration, logger: logger)
        management = ManagementClient(configuration)
    }

    /// `rabbitmq`.
    public var system: String { "rabbitmq" }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func capabilities() async throws(QueueError) -> Capabilities {
        try checkOpen()
        if let known = state.withLock({ $0.capabilities }) { return known }
        let limit = configuration.maxBodyBytes
        let (found, frameMax) = try await administration.run(nil) { (channel) throws(QueueError) in
            let found = RabbitProbe.capabilities(
                product: channel.server?.product ?? "unknown",
                version: channel.server?.version ?? "unknown",
                maxBodyBytes: limit
            )
            return (found, channel.server?.frameMax ?? 4096)
        }
        for finding in found.findings { logger.warning("\(finding)") }
        state.withLock { state in
            state.capabilities = found
            state.frameMax = frameMax
        }
        return found
    }

    // MARK: - Topology

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func declare(_ definition: QueueDefinition) async throws(QueueError) {
        try definition.validate()
        try checkOpen()
        if let known = state.withLock({ $0.definitions[definition.name] }),
            let conflict = DeclarePlan.conflict(known, definition)
        {
            throw conflict
        }
        if let refusal = DeclarePlan.unsupported(definition) { throw refusal }
        if let problem = RabbitProbe.problem(try await capabilities().version) {
            throw QueueError(.unsupported, problem, queue: definition.name)
        }
        try await makeLevels()
        let merged = try await administration.run(definition.name) { (channel) throws(QueueError) in
            try channel.calls(Topology.registry)
            let walk = Walk(channel: channel, queue: RabbitNames.registry)
            let records = try Self.records(walk, of: definition.name)
            let existing = records.current?.definition
            if let existing, let conflict = DeclarePlan.conflict(existing, definition) {
                try walk.end()
                throw conflict
            }
            try channel.calls(Topology.exchange(definition.name))
            var ready: [String: Int] = [:]
            for group in existing?.groups ?? [] {
                ready[group.name] = try channel.calls(Topology.group(definition.name, group))[1].messages
            }
            if let refusal = DeclarePlan.missedHistory(existing, definition, ready: ready) {
                try walk.end()
                throw refusal
            }
            let merged = DeclarePlan.merged(existing, definition)
            for group in merged.groups where ready[group.name] == nil {
                try channel.calls(Topology.group(definition.name, group))
            }
            if merged.groups.count != existing?.groups.count {
                let record = QueueRecord(merged, revision: (records.current?.revision ?? 0) + 1)
                guard try channel.publish([record.message()]).count == 1 else {
                    throw QueueError(.unavailable, "the broker did not take the record of the queue")
                }
                try walk.remove(records.tags)
            }
            try walk.end()
            return merged
        }
        state.withLock { $0.definitions[definition.name] = merged }
    }

    /// The records of one queue; several when a change was cut off before the old one was removed.
    private static func records(
        _ walk: Walk,
        of queue: String
    ) throws(QueueError) -> (current: QueueRecord?, tags: [UInt64]) {
        var found: (current: QueueRecord?, tags: [UInt64]) = (nil, [])
        try walk.forEach { (message) throws(QueueError) in
            let record: QueueRecord
            do throws(QueueError) {
                record = try QueueRecord.read(message.body)
            } catch {
                // What is wrong with others is no concern of this one.
                guard error.queue == queue else { return }
                throw error
            }
            guard record.queue == queue else { return }
            found.tags.append(message.tag)
            if record.revision >= found.current?.revision ?? 0 { found.current = record }
        }
        return found
    }

    /// Makes the levels of delays, which all queues of the broker share.
    private func makeLevels() async throws(QueueError) {
        if state.withLock({ $0.hasLevels }) { return }
        let isThere: Bool
        do throws(QueueError) {
            isThere = try await administration.run(nil) { (channel) throws(QueueError) in
                try channel.call(.queueExists(DelayPlan.top))
                return true
            }
        } catch  where error.code == .topologyLost {
            isThere = false
        }
        if !isThere {
            for part in DelayPlan.topology().split(by: 16) {
                try await administration.run(nil) { (channel) throws(QueueError) in _ = try channel.calls(part) }
            }
        }
        state.withLock { $0.hasLevels = true }
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func definition(of queue: String) async throws(QueueError) -> QueueDefinition? {
        try NameRules.validate(queue: queue)
        try checkOpen()
        let definition = try await administration.run(queue) { (channel) throws(QueueError) in
            try channel.calls(Topology.registry)
            let walk = Walk(channel: channel, queue: RabbitNames.registry)
            let records = try Self.records(walk, of: queue)
            try walk.end()
            return records.current?.definition
        }
        if let definition { state.withLock { $0.definitions[queue] = definition } }
        return definition
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func queues() async throws(QueueError) -> [String] {
        try checkOpen()
        return try await administration.run(nil) { (channel) throws(QueueError) in
            try channel.calls(Topology.registry)
            let walk = Walk(channel: channel, queue: RabbitNames.registry)
            var names = Set<String>()
            try walk.forEach { (message) throws(QueueError) in
                if let record = try? QueueRecord.read(message.body) { names.insert(record.queue) }
            }
            try walk.end()
            return names.sorted()
        }
    }

    /// The settings of a queue, asked for only when this client does not know them.
    func known(_ queue: String, group: String? = nil) async throws(QueueError) -> QueueDefinition {
        try NameRules.validate(queue: queue)
        try checkOpen()
        if let known = state.withLock({ $0.definitions[queue] }),
            group == nil || known.groups.contains(where: { $0.name == group })
        {
            return known
        }
        guard let definition = try await definition(of: queue) else {
            throw QueueError(.notFound, "there is no such queue; declare it first", queue: queue)
        }
        return definition
    }

    // MARK: - Publishing

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        _ = try await known(queue)
        let limit = try await capabilities().maxBodyBytes
        let frameMax = state.withLock { $0.frameMax }
        let now = UnixTime.milliseconds()
        var outcomes = [PublishOutcome?](repeating: nil, count: messages.count)
        var copies: [OutgoingMessage] = []
        var sent: [Int] = []
        copies.reserveCapacity(messages.count)
        sent.reserveCapacity(messages.count)
        for (index, message) in messages.enumerated() {
            if let problem = MessageRules.problem(message, maxBodyBytes: limit, queue: queue) {
                outcomes[index] = .refused(problem)
                continue
            }
            let copy = Copies.publication(message, queue: queue, now: now)
            if let problem = WireFormat.problem(copy.properties, frameMax: frameMax, queue: queue) {
                outcomes[index] = .refused(problem)
                continue
            }
            copies.append(copy)
            sent.append(index)
        }
        if !copies.isEmpty {
            let results: [PublishOutcome]
            do throws(QueueError) {
                results = try await publisher.publish(copies)
            } catch {
                throw error.about(queue)
            }
            for (index, result) in zip(sent, results) { outcomes[index] = result }
        }
        return outcomes.map { $0 ?? .refused(QueueError(.brokerError, "RabbitMQ sent no outcome", queue: queue)) }
    }

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
        let definition = try await known(queue, group: group)
        guard let settings = definition.groups.first(where: { $0.name == group }) else {
            let names = definition.groups.map(\.name).joined(separator: ", ")
            throw QueueError(
                .notFound,
                "there is no group '\(group)'; it has \(names.isEmpty ? "none" : names)",
                queue: queue
            )
        }
        let member = RabbitMQConsumer(
            configuration,
            publisher: publisher,
            queue: queue,
            group: settings,
            name: consumer,
            mode: options.mode,
            logger: logger
        ) { [weak self] member in
            self?.state.withLock { _ = $0.consumers.removeValue(forKey: ObjectIdentifier(member)) }
        }
        let isClosed = state.withLock { state in
            if !state.isClosed { state.consumers[ObjectIdentifier(member)] = member }
            return state.isClosed
        }
        if isClosed {
            await member.close()
            throw Self.closedError
        }
        return member
    }

    /// How many deliveries the consumers of this client hold.
    func held(_ queue: String, _ group: String) -> Int {
        state.withLock { Array($0.consumers.values) }
            .filter { $0.queue == queue && $0.group == group }.reduce(0) { $0 + $1.heldCount }
    }

    func checkOpen() throws(QueueError) {
        if state.withLock({ $0.isClosed }) { throw Self.closedError }
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func close() async {
        let consumers = state.withLock { state in
            state.isClosed = true
            return Array(state.consumers.values)
        }
        await withDiscardingTaskGroup { group in
            for consumer in consumers { group.addTask { await consumer.close() } }
        }
        publisher.close()
        await administration.close()
    }
}

extension Array {
    /// Cuts the array into parts of a size.
    func split(by size: Int) -> [[Element]] {
        stride(from: 0, to: count, by: size).map { Array(self[$0..<Swift.min($0 + size, count)]) }
    }
}
#endif
