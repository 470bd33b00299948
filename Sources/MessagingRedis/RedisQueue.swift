#if Redis
import Logging
import Messaging
import NIOConcurrencyHelpers

/// Queues on Redis Streams.
///
/// A queue is a stream of its name; a plain `XADD name * payload …` of any client is a message. One connection carries
/// commands, one hears of due times, and each consumer has one for its blocking reads; all reconnect by themselves.
/// Works with Redis 7.0 or newer, a single server or a primary with replicas.
public final class RedisQueue: MessageQueue {
    struct State {
        var definitions: [String: QueueDefinition] = [:]
        var keepers: [RedisKeys.Group: GroupKeeper] = [:]
        var consumers: [ObjectIdentifier: RedisConsumer] = [:]
        var capabilities: Capabilities?
        var isClosed = false
    }

    let configuration: RedisConfiguration
    let link: RedisLink
    /// What an application keeps beside its queues goes another way: its large replies must not hold up settlements.
    let applicationLink: RedisLink
    let subscriber: RedisSubscriber
    let logger: Logger
    let state = NIOLockedValueBox(State())

    /// Creates a client.
    ///
    /// It connects with the first call.
    ///
    /// - Parameters:
    ///   - configuration: How to reach the server.
    ///   - logger: Where reconnects, recovered messages and lost groups are reported.
    public init(_ configuration: RedisConfiguration, logger: Logger) {
        var logger = logger
        logger[metadataKey: LogKeys.endpoint] = .string(configuration.endpoint.description)
        self.configuration = configuration
        self.logger = logger
        self.link = RedisLink(configuration, .commands, logger: logger)
        self.applicationLink = RedisLink(configuration, .commands, logger: logger)
        self.subscriber = RedisSubscriber(configuration, logger: logger)
    }

    /// `redis`.
    public var system: String { "redis" }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func capabilities() async throws(QueueError) -> Capabilities {
        if let known = state.withLockedValue({ $0.capabilities }) { return known }
        let found = try await RedisProbe.capabilities(link, maxBodyBytes: configuration.maxBodyBytes)
        for finding in found.findings { logger.warning("\(finding)") }
        state.withLockedValue { $0.capabilities = found }
        return found
    }

    // MARK: - Topology

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func declare(_ definition: QueueDefinition) async throws(QueueError) {
        try definition.validate()
        if definition.ordering == .keyed {
            throw QueueError(
                .unsupported,
                "keyed order is not available on redis: lanes are not built yet",
                queue: definition.name
            )
        }
        try RedisProbe.check(try await capabilities(), queue: definition.name)
        try await declare(definition, again: false)
    }

    private func declare(_ definition: QueueDefinition, again: Bool) async throws(QueueError) {
        let reply = try await link.run(RedisDefinition.declareCall(definition, again: again), queue: definition.name)
        if let refusal = RedisDefinition.refusal(reply, of: definition) { throw refusal }
        // As the server has it: with the groups that others declared, and without those that were removed.
        _ = try await self.definition(of: definition.name)
    }

    /// For how long clients are kept from making a deleted queue again, at least.
    private static let tombstone = Duration.seconds(24 * 3600)

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func deleteQueue(_ queue: String) async throws(QueueError) -> Bool {
        try NameRules.validate(queue: queue)
        let keys = RedisKeys(queue: queue)
        state.withLockedValue { $0.definitions[queue] = nil }
        let call = ScriptCall(
            .remove,
            keys: [
                keys.log, keys.meta, keys.deadLetters, keys.due, keys.held, RedisKeys.registry, keys.reserved,
                keys.reservedIDs, keys.restored,
            ] + keys.ids,
            [String(Self.tombstone.milliseconds)]
        )
        return try await link.run(call, queue: queue).integers == [1]
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func definition(of queue: String) async throws(QueueError) -> QueueDefinition? {
        try NameRules.validate(queue: queue)
        let reply = try await link.command(["HGETALL", RedisKeys(queue: queue).meta], queue: queue)
        let definition = try RedisDefinition.read(reply, queue: queue)
        state.withLockedValue { state in
            if let definition { state.definitions[queue] = definition }
        }
        return definition
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func queues() async throws(QueueError) -> [String] {
        try await link.command(["SMEMBERS", RedisKeys.registry]).strings.sorted()
    }

    /// Creates a queue again that vanished under its users (FLUSHALL, a failover, a group that was destroyed), as this
    /// client knows it.
    ///
    /// Groups begin at their last known floor, so nothing is skipped.
    ///
    /// - Returns: Whether this client knew the queue.
    func recreate(_ queue: String) async throws(QueueError) -> Bool {
        guard let definition = state.withLockedValue({ $0.definitions[queue] }) else { return false }
        var recreated = definition
        // A queue that is gone has no messages that a new group should skip.
        for index in recreated.groups.indices { recreated.groups[index].start = .earliest }
        do throws(QueueError) {
            try await declare(recreated, again: true)
        } catch {
            if error.code == .topologyLost { state.withLockedValue { $0.definitions[queue] = nil } }
            throw error
        }
        logger.warning(
            "the queue or a group was missing on the server and was created again at its last known position",
            metadata: [LogKeys.queue: "\(queue)"]
        )
        return true
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
        try checkOpen()
        guard let definition = try await definition(of: queue) else {
            throw QueueError(.notFound, "there is no such queue; declare it first", queue: queue)
        }
        guard let settings = definition.groups.first(where: { $0.name == group }) else {
            let known = definition.groups.map(\.name).joined(separator: ", ")
            throw QueueError(
                .notFound,
                "there is no group '\(group)'; it has \(known.isEmpty ? "none" : known)",
                queue: queue
            )
        }
        let keeper = self.keeper(queue: queue, group: settings)
        let member = RedisConsumer(
            owner: self,
            keeper: keeper,
            group: settings,
            name: consumer,
            mode: options.mode
        )
        try await member.register()
        await keeper.join(consumer)
        let isClosed = state.withLockedValue { state in
            if !state.isClosed { state.consumers[ObjectIdentifier(member)] = member }
            return state.isClosed
        }
        if isClosed {
            await member.close()
            throw RedisLink.closedError
        }
        return member
    }

    private func keeper(queue: String, group: GroupDefinition) -> GroupKeeper {
        let keys = RedisKeys(queue: queue)
        return state.withLockedValue { state in
            if let keeper = state.keepers[keys.group(group.name)] { return keeper }
            let keeper = GroupKeeper(
                keys: keys,
                group: group,
                link: link,
                subscriber: subscriber,
                logger: logger
            ) { [weak self] in try? await self?.recreate(queue) }
            state.keepers[keys.group(group.name)] = keeper
            return keeper
        }
    }

    func forget(_ consumer: RedisConsumer) {
        state.withLockedValue { _ = $0.consumers.removeValue(forKey: ObjectIdentifier(consumer)) }
    }

    func checkOpen() throws(QueueError) {
        if state.withLockedValue({ $0.isClosed }) { throw RedisLink.closedError }
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func close() async {
        let (consumers, keepers) = state.withLockedValue { state in
            state.isClosed = true
            return (Array(state.consumers.values), Array(state.keepers.values))
        }
        await withDiscardingTaskGroup { group in
            for consumer in consumers { group.addTask { await consumer.close() } }
        }
        await Deadline.run(RedisConsumer.closeLimit) {
            for keeper in keepers { await keeper.stop() }
        }
        await subscriber.close()
        await applicationLink.closeAndWait()
        await link.closeAndWait()
    }
}
#endif
