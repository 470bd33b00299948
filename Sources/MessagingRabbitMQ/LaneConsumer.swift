#if RabbitMQ
import Logging
import Messaging
import Synchronization

/// A member of a group of a keyed queue, with a connection and a thread of its own.
final class LaneConsumer: MemberConsumer {
    private let context: LaneContext
    private let thread: ConnectionThread<LaneRole>
    private let publisher: Publisher
    private let helper: LaneHelper
    private let forget: @Sendable (LaneConsumer) -> Void
    private let numbers = Atomic<UInt64>(0)
    private let leaving = Mutex<Task<Void, Never>?>(nil)

    var queue: String { context.queue }
    var group: String { context.group }
    var name: String { context.name }
    var lease: Duration { context.lease }
    var heldCount: Int { context.heldCount }
    var waitingCount: Int { context.waitingCount }

    /// How long a call that asks once waits for lanes to come.
    private static let patience: Duration = .milliseconds(50)

    init(
        _ configuration: RabbitMQConfiguration,
        publisher: Publisher,
        administration: Administration,
        queue: String,
        group: GroupDefinition,
        lanes: Int,
        name: String,
        mode: ConsumerOptions.Mode,
        logger: Logger,
        forget: @escaping @Sendable (LaneConsumer) -> Void
    ) {
        var logger = logger
        logger[metadataKey: LogKeys.queue] = .string(queue)
        logger[metadataKey: LogKeys.group] = .string(group.name)
        logger[metadataKey: LogKeys.consumer] = .string(name)
        self.publisher = publisher
        self.forget = forget
        let context = LaneContext(
            queue: queue,
            group: group,
            name: name,
            isAtMostOnce: mode == .atMostOnce,
            longestHold: configuration.longestHold
        )
        let helper = LaneHelper(context, publisher, administration, logger: logger)
        (self.context, self.helper) = (context, helper)
        let finalLogger = logger
        let thread = ConnectionThread { LaneRole(context, configuration, helper, lanes: lanes, logger: finalLogger) }
        self.thread = thread
        helper.attach(thread)
    }

    // MARK: - Receiving

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        guard 1...1000 ~= max else {
            throw QueueError(.invalidArgument, "receive takes 1 to 1000 deliveries, not \(max)", queue: queue)
        }
        let clock = QueueClock.system
        let deadline = clock.now() + (wait > .zero ? wait : Self.patience)
        var failures = 0
        while true {
            if context.isClosed { throw context.closedError }
            if Task.isCancelled { throw cancelled }
            let failure: QueueError
            switch await ask(max: max, until: deadline, isOnce: wait <= .zero) {
            case .success(let deliveries): return deliveries
            case .failure(let error): failure = error
            }
            guard failure.isRetryable else { throw failure }
            failures += 1
            let pause = Swift.min(.milliseconds(50) * (1 << Swift.min(failures, 6)), .seconds(2))
            if clock.now() + pause >= deadline {
                throw QueueError(.unavailable, failure.message, queue: queue, underlying: failure.underlying)
            }
            do { try await clock.sleep(for: pause) } catch { throw cancelled }
        }
    }

    private func ask(max: Int, until deadline: Duration, isOnce: Bool) async -> Result<[Delivery], QueueError> {
        let number = numbers.add(1, ordering: .relaxed).newValue
        let (thread, closed) = (self.thread, context.closedError)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let waiter = LaneRole.Waiter(number: number, max: max, deadline: deadline, isOnce: isOnce) {
                    continuation.resume(returning: $0)
                }
                if !thread.submit({ $0.receive(waiter) }) { continuation.resume(returning: .failure(closed)) }
            }
        } onCancel: {
            thread.submit { $0.cancel(number) }
        }
    }

    private var cancelled: QueueError { QueueError(.cancelled, "receive was cancelled", queue: queue) }

    // MARK: - Settling

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        if context.isClosed { throw context.closedError }
        guard let begun = await onThread({ $0.begin(requests) }) else { throw context.closedError }
        if begun.moves.isEmpty { return begun.outcomes }
        let results: [PublishOutcome]
        do throws(QueueError) {
            results = try await publisher.publish(begun.moves.map(\.copy))
        } catch {
            results = begun.moves.map { _ in .refused(error) }
        }
        guard let outcomes = await onThread({ $0.conclude(begun, results) }) else { throw context.closedError }
        return outcomes
    }

    func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] {
        if context.isClosed { throw context.closedError }
        let handOvers = receipts.map(context.handOver)
        guard let renewed = await onThread({ $0.renew(handOvers) }) else { throw context.closedError }
        return renewed
    }

    /// Does something on the consumer's thread; `nil` when that has ended.
    private func onThread<Value: Sendable>(_ job: @escaping @Sendable (LaneRole) -> Value) async -> Value? {
        let thread = self.thread
        return await withCheckedContinuation { (continuation: CheckedContinuation<Value?, Never>) in
            let isTaken = thread.submit { continuation.resume(returning: job($0)) }
            if !isTaken { continuation.resume(returning: nil) }
        }
    }

    // MARK: - Closing

    func close() async {
        let task = leaving.withLock { leaving in
            if let leaving { return leaving }
            context.close()
            let task = Task { await self.end() }
            leaving = task
            return task
        }
        await task.value
    }

    private func end() async {
        let thread = self.thread
        let stale = await withCheckedContinuation { (continuation: CheckedContinuation<[String], Never>) in
            let isTaken = thread.submit { role in role.leave { continuation.resume(returning: $0) } }
            if !isTaken { continuation.resume(returning: []) }
        }
        await helper.remove(stale)
        helper.detach()
        forget(self)
    }
}
#endif
