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
    struct State {
        var definitions: [String: QueueDefinition] = [:]
        /// How many lanes the keyed ones of them have.
        var lanes: [String: Int] = [:]
        var consumers: [ObjectIdentifier: any MemberConsumer] = [:]
        var capabilities: Capabilities?
        var frameMax = 131072
        var hasLevels = false
        var restored = RestoredIDs()
        var readAhead: ReadAhead?
        var isClosed = false
    }

    let configuration: RabbitMQConfiguration
    let publisher: Publisher
    let administration: Administration
    let transfers: TransferSession
    let management: ManagementClient?
    let logger: Logger
    let state = Mutex(State())

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
        transfers = TransferSession(configuration, logger: logger)
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

    // MARK: - Publishing

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        _ = try await known(queue)
        let lanes = lanes(of: queue)
        let limit = try await capabilities().maxBodyBytes
        let frameMax = state.withLock { $0.frameMax }
        let now = UnixTime.milliseconds()
        var outcomes = messages.map { message in
            MessageRules.problem(message, maxBodyBytes: limit, queue: queue).map { PublishOutcome.refused($0) }
        }
        let sound = outcomes.indices.filter { outcomes[$0] == nil }
        if !sound.isEmpty {
            let outbox = Outbox(count: sound.count) { position in
                let copy = Copies.publication(messages[sound[position]], queue: queue, lanes: lanes, now: now)
                if let problem = WireFormat.problem(copy.properties, frameMax: frameMax, queue: queue) {
                    return .failure(problem)
                }
                return .success(copy)
            }
            let results: [PublishOutcome]
            do throws(QueueError) {
                results = try await publisher.publish(outbox)
            } catch {
                throw await explained(error, queue)
            }
            for (index, result) in zip(sound, results) { outcomes[index] = result }
            try await explain(&outcomes, queue)
        }
        return outcomes.map { $0 ?? .refused(QueueError(.brokerError, "RabbitMQ sent no outcome", queue: queue)) }
    }

    /// Says of messages that no queue took whether it is because somebody has deleted it.
    private func explain(_ outcomes: inout [PublishOutcome?], _ queue: String) async throws(QueueError) {
        func isLost(_ outcome: PublishOutcome?) -> Bool { outcome?.error?.code == .topologyLost }
        guard let error = outcomes.first(where: isLost)??.error else { return }
        let reason = await explained(error, queue)
        guard [.notFound, .queueClosed].contains(reason.code) else { return }
        if reason.code == .notFound, outcomes.allSatisfy(isLost) { throw reason }
        for index in outcomes.indices where isLost(outcomes[index]) { outcomes[index] = .refused(reason) }
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
        let member = makeMember(queue, settings, consumer, options.mode)
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

    private func makeMember(
        _ queue: String,
        _ group: GroupDefinition,
        _ name: String,
        _ mode: ConsumerOptions.Mode
    ) -> any MemberConsumer {
        let forget: @Sendable (any MemberConsumer) -> Void = { [weak self] member in
            self?.state.withLock { _ = $0.consumers.removeValue(forKey: ObjectIdentifier(member)) }
        }
        let lanes = lanes(of: queue)
        if lanes == 0 {
            return RabbitMQConsumer(
                configuration,
                publisher: publisher,
                queue: queue,
                group: group,
                name: name,
                mode: mode,
                logger: logger,
                forget: forget
            )
        }
        return LaneConsumer(
            configuration,
            publisher: publisher,
            administration: administration,
            queue: queue,
            group: group,
            lanes: lanes,
            name: name,
            mode: mode,
            logger: logger,
            forget: forget
        )
    }

    /// How many lanes a queue has that this client knows; 0 for one that is not keyed.
    func lanes(of queue: String) -> Int { state.withLock { $0.lanes[queue] ?? 0 } }

    /// How many messages the consumers of this client hold: in somebody's hands, and those whose turn has not come.
    func held(_ queue: String, _ group: String) -> (inHands: Int, waiting: Int) {
        state.withLock { Array($0.consumers.values) }
            .filter { $0.queue == queue && $0.group == group }
            .reduce((0, 0)) { ($0.0 + $1.heldCount, $0.1 + $1.waitingCount) }
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
        await transfers.close()
        await administration.close()
    }
}
#endif
