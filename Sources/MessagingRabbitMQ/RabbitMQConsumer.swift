#if RabbitMQ
import Logging
import Messaging
import Synchronization

/// A member of a group on RabbitMQ that knows how much it holds.
protocol MemberConsumer: AnyObject, QueueConsumer {
    /// How many deliveries are in somebody's hands.
    var heldCount: Int { get }
    /// How many messages of its lanes it has whose turn has not come.
    var waitingCount: Int { get }
}

/// A member of a group on RabbitMQ, with a connection and a thread of its own.
final class RabbitMQConsumer: MemberConsumer {
    private let context: ConsumerContext
    private let thread: ConnectionThread<ConsumerRole>
    private let publisher: Publisher
    private let mover: Mover
    private let forget: @Sendable (RabbitMQConsumer) -> Void
    private let numbers = Atomic<UInt64>(0)
    /// How many calls of `receive` wait.
    private let asking = Atomic<Int>(0)
    private let leaving = Mutex<Task<Void, Never>?>(nil)

    var queue: String { context.queue }
    var group: String { context.group }
    var name: String { context.name }
    var lease: Duration { context.lease }
    var heldCount: Int { context.heldCount }
    var waitingCount: Int { 0 }

    /// How long closing may take when the broker does not answer.
    private static let closeLimit: Duration = .seconds(5)
    /// So many acknowledgements are worth waking the thread for.
    private static let manyAcknowledgements = 16

    init(
        _ configuration: RabbitMQConfiguration,
        publisher: Publisher,
        queue: String,
        group: GroupDefinition,
        name: String,
        mode: ConsumerOptions.Mode,
        logger: Logger,
        forget: @escaping @Sendable (RabbitMQConsumer) -> Void
    ) {
        var logger = logger
        logger[metadataKey: LogKeys.queue] = .string(queue)
        logger[metadataKey: LogKeys.group] = .string(group.name)
        logger[metadataKey: LogKeys.consumer] = .string(name)
        self.publisher = publisher
        self.forget = forget
        let mover = Mover(publisher, logger: logger)
        let context = ConsumerContext(
            queue: queue,
            group: group,
            name: name,
            isAtMostOnce: mode == .atMostOnce,
            longestHold: configuration.longestHold,
            move: { mover.move($0, $1, isUnwanted: $2) }
        )
        self.context = context
        self.mover = mover
        let finalLogger = logger
        let thread = ConnectionThread { ConsumerRole(context, configuration, logger: finalLogger) }
        self.thread = thread
        mover.attach(context, thread)
    }

    // MARK: - Receiving

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        guard 1...1000 ~= max else {
            throw QueueError(.invalidArgument, "receive takes 1 to 1000 deliveries, not \(max)", queue: queue)
        }
        let clock = QueueClock.system
        let deadline = clock.now() + Swift.max(wait, .zero)
        var failures = 0
        while true {
            if context.isClosed { throw context.closedError }
            if Task.isCancelled { throw cancelled }
            let failure: QueueError
            switch await ask(max: max, until: wait > .zero ? deadline : nil) {
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

    private func ask(max: Int, until deadline: Duration?) async -> Result<[Delivery], QueueError> {
        let number = numbers.add(1, ordering: .relaxed).newValue
        asking.add(1, ordering: .relaxed)
        defer { asking.subtract(1, ordering: .relaxed) }
        let (thread, closed) = (self.thread, context.closedError)
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let waiter = ConsumerRole.Waiter(number: number, max: max, deadline: deadline) {
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
        let begun = context.begin(requests, now: UnixTime.milliseconds())
        var outcomes = begun.outcomes
        if let error = await acknowledge(begun.finished.map(\.tag), begun) {
            for ended in begun.finished { outcomes[ended.index] = unproven(error) }
        }
        if begun.moves.isEmpty { return outcomes }
        let results: [PublishOutcome]
        do throws(QueueError) {
            results = try await publisher.publish(begun.moves.map(\.copy))
        } catch {
            results = begun.moves.map { _ in .refused(error) }
        }
        var finished: [(index: Int, tag: UInt64)] = []
        for (move, result) in zip(begun.moves, results) {
            let isCopied = result.isConfirmed
            if context.concluded(move.receipt, isCopied: isCopied) {
                finished.append((move.index, move.receipt.low))
                outcomes[move.index] = .settled
            } else if isCopied {
                outcomes[move.index] = .failed(
                    QueueError(
                        .indeterminate,
                        "the connection broke between the copy and the acknowledgement; the message comes twice",
                        queue: queue,
                        isRetryable: false
                    )
                )
            } else if let error = result.error {
                outcomes[move.index] = .failed(error.about(queue))
            }
        }
        if let error = await acknowledge(finished.map(\.tag), begun), error.code == .topologyLost {
            for ended in finished { outcomes[ended.index] = .leaseLost }
        }
        return outcomes
    }

    /// Acknowledges deliveries, and waits until that is certain when nothing else would tell that their queue is gone.
    ///
    /// - Returns: Why it is not certain.
    private func acknowledge(_ tags: [UInt64], _ begun: ConsumerContext.Begun) async -> QueueError? {
        if tags.isEmpty { return nil }
        guard begun.needsProof else {
            acknowledge(tags, begun.epoch)
            return nil
        }
        let (thread, closed) = (self.thread, context.closedError)
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Void, QueueError>, Never>) in
            let isTaken = thread.submit { role in
                role.acknowledge(tags, epoch: begun.epoch) { continuation.resume(returning: $0) }
            }
            if !isTaken { continuation.resume(returning: .failure(closed)) }
        }
        guard case .failure(let error) = result else { return nil }
        return error
    }

    private func unproven(_ error: QueueError) -> SettleOutcome {
        if error.code == .topologyLost { return .leaseLost }
        return .failed(
            QueueError(
                .indeterminate,
                "the connection broke before the broker was known to have the acknowledgement (\(error.message)); the "
                    + "message may come again",
                queue: queue,
                isRetryable: false,
                underlying: error
            )
        )
    }

    private func acknowledge(_ tags: [UInt64], _ epoch: UInt32) {
        if tags.isEmpty { return }
        if tags.count >= Self.manyAcknowledgements, asking.load(ordering: .relaxed) > 0 {
            // No further call follows that would wake the thread, and the broker may wait for these to send more.
            thread.submit { $0.acknowledge(tags, epoch: epoch) }
        } else {
            thread.submitLater { $0.acknowledge(tags, epoch: epoch) }
        }
    }

    func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] {
        if context.isClosed { throw context.closedError }
        return context.renew(receipts, at: QueueClock.system.now())
    }

    // MARK: - Closing

    func close() async {
        let task = leaving.withLock { leaving in
            if let leaving { return leaving }
            _ = context.close()
            let task = Task { await self.end() }
            leaving = task
            return task
        }
        await task.value
    }

    private func end() async {
        let thread = self.thread
        let left = await withCheckedContinuation {
            (continuation: CheckedContinuation<[(UInt64, WireMessage)], Never>) in
            let isTaken = thread.submit { role in role.stopIntake { continuation.resume(returning: $0) } }
            if !isTaken { continuation.resume(returning: []) }
        }
        if !left.isEmpty {
            // Nobody has seen them, so they go back uncounted; what cannot go back so goes back with the channel.
            let copies = left.map { Copies.release($0.1, attempt: $0.1.attempt, queue: queue, group: group) }
            if let results = try? await publisher.publish(copies) {
                acknowledge(zip(left, results).filter { $1.isConfirmed }.map(\.0.0), context.epoch)
            }
        }
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            if !thread.submit({ $0.leave { continuation.resume() } }) { continuation.resume() }
        }
        context.end()
        mover.detach()
        forget(self)
    }
}

/// Writes copies for messages that nobody gets, in tasks of its own, until it has or the connection is gone.
private final class Mover: Sendable {
    private struct Ends {
        var context: ConsumerContext
        var thread: ConnectionThread<ConsumerRole>
    }

    private let publisher: Publisher
    private let logger: Logger
    private let ends = Mutex<Ends?>(nil)

    init(_ publisher: Publisher, logger: Logger) {
        self.publisher = publisher
        self.logger = logger
    }

    func attach(_ context: ConsumerContext, _ thread: ConnectionThread<ConsumerRole>) {
        ends.withLock { $0 = Ends(context: context, thread: thread) }
    }

    /// Lets go of the consumer that it belongs to.
    func detach() { ends.withLock { $0 = nil } }

    func move(_ messages: [(UInt64, OutgoingMessage)], _ epoch: UInt32, isUnwanted: Bool) {
        guard let ends = ends.withLock({ $0 }) else { return }
        Task {
            var open = messages
            var failures = 0
            while ends.context.epoch == epoch, !ends.context.isClosed {
                if let outcomes = try? await publisher.publish(open.map(\.1)) {
                    let done = zip(open, outcomes).filter { $1.isConfirmed }.map(\.0.0)
                    ends.thread.submit { role in
                        if isUnwanted {
                            role.acknowledgeGivenBack(done, epoch: epoch)
                        } else {
                            role.acknowledge(done, epoch: epoch)
                        }
                    }
                    open = zip(open, outcomes).filter { !$1.isConfirmed }.map(\.0)
                }
                if open.isEmpty { return }
                failures += 1
                if failures == 1 {
                    logger.warning(
                        "messages could not be moved; trying again",
                        metadata: [LogKeys.count: "\(open.count)"]
                    )
                }
                try? await Task.sleep(for: min(.milliseconds(100) * (1 << min(failures, 6)), .seconds(5)))
            }
        }
    }
}
#endif
