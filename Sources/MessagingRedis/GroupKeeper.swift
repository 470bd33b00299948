#if Redis
import Logging
import Messaging
import NIOConcurrencyHelpers

/// Keeps one group going for all its consumers in this process: promotes what is due, takes over what dead consumers
/// held, clears their registrations, trims.
///
/// It sleeps until the next moment something can be due, and is woken when an earlier one is announced; it never polls.
final class GroupKeeper: Sendable {
    private struct State {
        var consumers: [String: Int] = [:]
        var task: Task<Void, Never>?
        var sleeper: Task<Void, any Error>?
        /// When to tick next, by this process's clock.
        var next: Duration = .zero
        /// This process's clock minus the server's.
        var offset: Duration?
    }

    private static let limit = 200
    private let keys: RedisKeys
    private let group: GroupDefinition
    private let link: RedisLink
    private let subscriber: RedisSubscriber
    private let logger: Logger
    private let recreate: @Sendable () async -> Bool?
    private let clock = QueueClock.system
    private let state = NIOLockedValueBox(State())

    init(
        keys: RedisKeys,
        group: GroupDefinition,
        link: RedisLink,
        subscriber: RedisSubscriber,
        logger: Logger,
        recreate: @escaping @Sendable () async -> Bool?
    ) {
        self.keys = keys
        self.group = group
        self.link = link
        self.subscriber = subscriber
        var logger = logger
        logger[metadataKey: LogKeys.queue] = .string(keys.queue)
        logger[metadataKey: LogKeys.group] = .string(group.name)
        self.logger = logger
        self.recreate = recreate
    }

    var queueKeys: RedisKeys { keys }

    // MARK: - Members

    /// A consumer opened; the first one starts the work.
    func join(_ consumer: String) async {
        let isFirst = state.withLockedValue { state in
            state.consumers[consumer, default: 0] += 1
            return state.task == nil
        }
        guard isFirst else { return }
        await subscriber.subscribe(keys.wake, self) { [weak self] due in
            if let due { self?.announced(dueAt: due) } else { self?.wake(at: .zero) }
        }
        state.withLockedValue { state in
            if state.task == nil, !state.consumers.isEmpty { state.task = Task { await self.run() } }
        }
    }

    /// A consumer closed; the last one ends the work.
    func leave(_ consumer: String) async {
        // One step with the decision, so that a consumer that joins meanwhile starts the work anew.
        let task = state.withLockedValue { state -> Task<Void, Never>? in
            state.consumers[consumer, default: 1] -= 1
            if state.consumers[consumer] == 0 { state.consumers[consumer] = nil }
            guard state.consumers.isEmpty else { return nil }
            defer { state.task = nil }
            return state.task
        }
        task?.cancel()
        await task?.value
    }

    /// Ends the work for good.
    func stop() async {
        let task = state.withLockedValue { state in
            defer { state.task = nil }
            return state.task
        }
        task?.cancel()
        await task?.value
    }

    // MARK: - Waking

    /// A message becomes due after this time.
    func due(after delay: Duration) { wake(at: clock.now() + delay) }

    private func announced(dueAt milliseconds: Int64) {
        let local = state.withLockedValue { state in state.offset.map { .milliseconds(milliseconds) + $0 } }
        wake(at: local ?? .zero)
    }

    /// Moves the next tick forward.
    private func wake(at moment: Duration) {
        let sleeper: Task<Void, any Error>? = state.withLockedValue { state in
            guard moment < state.next else { return nil }
            state.next = moment
            return state.sleeper
        }
        sleeper?.cancel()
    }

    // MARK: - The loop

    private func run() async {
        var failures = 0
        while !Task.isCancelled {
            do throws(QueueError) {
                let next = try await tick()
                failures = 0
                // What was announced during the tick is kept, also when it is due already.
                state.withLockedValue { $0.next = min($0.next, next) }
            } catch {
                failures += 1
                await recover(from: error, failures)
                state.withLockedValue { $0.next = clock.now() + Backoff.delay(failures) }
            }
            await sleep()
        }
    }

    private func sleep() async {
        while !Task.isCancelled {
            let task: Task<Void, any Error>? = state.withLockedValue { state in
                let next = state.next
                if next <= clock.now() { return nil }
                let task = Task { try await clock.sleep(until: next) }
                state.sleeper = task
                return task
            }
            guard let task else { return }
            await withTaskCancellationHandler {
                _ = await task.result
            } onCancel: {
                task.cancel()
            }
        }
    }

    /// One tick; returns when the next one is needed.
    private func tick() async throws(QueueError) -> Duration {
        let own = keys.group(group.name)
        let consumers = state.withLockedValue { Array($0.consumers.keys) }
        let stale = max(group.lease.milliseconds * 4, link.configuration.forgetsConsumersAfter.milliseconds)
        let call = ScriptCall(
            .tick,
            keys: [
                keys.log, keys.meta, keys.deadLetters, own.retry, own.due, own.held, keys.due, keys.held, own.seen,
            ] + keys.ids,
            [group.name, String(Self.limit), String(stale)] + consumers
        )
        // Announcements that come from here on must not be lost.
        state.withLockedValue { $0.next = .seconds(1 << 40) }
        let reply = try await link.run(call, queue: keys.queue)
        let local = clock.now()
        let answer = reply.integers
        guard answer.count == 8 else {
            throw QueueError(.undecodable, "the tick script answered with another shape", queue: keys.queue)
        }
        let offset = local - .milliseconds(answer[0])
        state.withLockedValue { $0.offset = offset }
        report(recovered: answer[4], buried: answer[5], lost: answer[6])
        if answer[7] > 0 { return local }
        var next = local + .milliseconds(answer[2])
        // One millisecond on top: the server compares whole milliseconds.
        if answer[1] >= 0 { next = min(next, .milliseconds(answer[1] + 1) + offset) }
        return next
    }

    private func report(recovered: Int64, buried: Int64, lost: Int64) {
        if recovered > 0 {
            logger.notice(
                "leases ran out; their messages are delivered again",
                metadata: [LogKeys.count: "\(recovered)"]
            )
        }
        if buried > 0 {
            logger.notice(
                "messages that ended their consumers too often went to the dead letters",
                metadata: [LogKeys.count: "\(buried)"]
            )
        }
        if lost > 0 {
            logger.error(
                "entries were deleted from the stream by another program while they were pending: their messages are lost",
                metadata: [LogKeys.count: "\(lost)"]
            )
        }
    }

    private func recover(from error: QueueError, _ failures: Int) async {
        if error.code == .topologyLost || error.code == .notFound, await recreate() == true { return }
        logger.log(
            level: failures == 1 ? .warning : .debug,
            "the group cannot be kept at the moment",
            metadata: [LogKeys.error: "\(error)"]
        )
    }
}
#endif
