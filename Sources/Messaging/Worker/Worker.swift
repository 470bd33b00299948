import Logging
import ServiceLifecycle
import Synchronization

/// Runs a handler over the deliveries of one group: bounded concurrency, retries by policy, leases renewed while the
/// handler runs, settlements in batches, and a drain on shutdown.
///
/// A handler that returns acknowledges its message. One that throws has it tried again or rejected, as the retry policy
/// and the error say. A handler may see a message more than once (after a crash or a lost lease) and must be
/// idempotent; ``ProcessedStore`` helps.
public final class Worker: Service {
    /// Handles one delivery.
    public typealias Handler = @Sendable (Delivery) async throws -> Void

    /// What a worker is doing, for health checks.
    public struct Status: Sendable, Hashable {
        /// How long ago the broker last answered a `receive`; `nil` before the first answer.
        public var sinceLastPoll: Duration?
        /// How many deliveries are leased.
        public var inFlight: Int
        /// Why the broker cannot be reached at the moment; `nil` when it can.
        public var problem: String?
        /// How long until the last of the retries is due that this worker has asked for, negative when it was due before;
        /// `nil` when it has asked for none.
        public var untilLastRetry: Duration?
    }

    private let source: any MessageQueue
    private let queueName: String
    private let group: String
    private let consumerName: String
    private let configuration: WorkerConfiguration
    private let clock: QueueClock
    private let logger: Logger
    private let instruments: WorkerInstruments
    private let handler: Handler
    private let onProgress: @Sendable () -> Void
    private let state: Mutex<WorkerState>
    private let intake = Mutex<Task<[Delivery], any Error>?>(nil)

    /// Creates a worker; `run()` starts it.
    ///
    /// - Parameters:
    ///   - queue: The backend.
    ///   - name: The queue to consume; declared before `run()`.
    ///   - group: The group to join.
    ///   - consumer: The consumer's name, unique among those of the group that run at the same time.
    ///   - configuration: Concurrency, retry policy and deadlines.
    ///   - clock: The time for pauses and renewals.
    ///   - logger: Where the worker reports reconnects, lost leases and dead letters.
    ///   - onProgress: Called after each batch of settlements and each empty `receive`; must return quickly.
    ///   - handler: Handles one delivery.
    public init(
        queue: any MessageQueue,
        from name: String,
        group: String,
        consumer: String,
        configuration: WorkerConfiguration = WorkerConfiguration(),
        clock: QueueClock = .system,
        logger: Logger,
        onProgress: @escaping @Sendable () -> Void = {},
        handler: @escaping Handler
    ) {
        self.source = queue
        self.queueName = name
        self.group = group
        self.consumerName = consumer
        self.configuration = configuration
        self.clock = clock
        var logger = logger
        logger[metadataKey: LogKeys.queue] = .string(name)
        logger[metadataKey: LogKeys.group] = .string(group)
        logger[metadataKey: LogKeys.consumer] = .string(consumer)
        self.logger = logger
        self.instruments = WorkerInstruments(system: queue.system, queue: name, group: group)
        self.handler = handler
        self.onProgress = onProgress
        self.state = Mutex(WorkerState(concurrency: configuration.concurrency))
    }

    /// What the worker is doing.
    public var status: Status {
        state.withLock { state in
            Status(
                sinceLastPoll: state.lastPoll.map { clock.now() - $0 },
                inFlight: state.heldCount,
                problem: state.problem,
                untilLastRetry: state.lastRetryDue.map { $0 - clock.now() }
            )
        }
    }

    /// Stops intake and lets running handlers end within the drain deadline; `run()` then returns.
    public func stop() {
        perform(state.withLock { $0.stop() })
        intake.withLock { $0?.cancel() }
    }

    /// Consumes until graceful shutdown, ``stop()`` or cancellation, then drains and leaves the group.
    ///
    /// - Throws: `QueueError` when the queue or group does not exist, the credentials are refused, or the backend cannot
    ///   do what the configuration asks. A broker that is unavailable is no error: the worker tries until it is back.
    public func run() async throws {
        try await withTaskCancellationHandler {
            try await withGracefulShutdownHandler {
                try await consume()
            } onGracefulShutdown: {
                self.stop()
            }
        } onCancel: {
            self.stop()
        }
    }

    // MARK: - Intake

    private func consume() async throws {
        guard let consumer = try await open() else { return }
        do {
            try await work(consumer)
            await consumer.close()
        } catch {
            await consumer.close()
            throw error
        }
    }

    /// Opens the consumer, trying until the broker is there.
    ///
    /// Returns `nil` when stopped before.
    private func open() async throws -> (any QueueConsumer)? {
        let options = ConsumerOptions(mode: configuration.mode)
        var failures = 0
        while !isStopping {
            let failure: QueueError
            do {
                return try await source.consume(queueName, group: group, consumer: consumerName, options: options)
            } catch {
                failure = error
            }
            guard failure.isRetryable else { throw failure }
            failures += 1
            await pause(after: failure, failures: failures)
        }
        return nil
    }

    private func work(_ consumer: any QueueConsumer) async throws {
        let renewer = Task { await self.renewLeases(consumer) }
        defer { renewer.cancel() }
        let handlers = HandlerGroup()
        do {
            try await takeIn(consumer, handlers)
        } catch {
            await drain(consumer, handlers)
            throw error
        }
        await drain(consumer, handlers)
    }

    private func takeIn(_ consumer: any QueueConsumer, _ handlers: HandlerGroup) async throws {
        var failures = 0
        while true {
            let free = await freeSlots()
            if free == 0 { return }
            do {
                let deliveries = try await receive(consumer, max: free)
                failures = 0
                let now = clock.now()
                state.withLock { state in
                    state.polled(at: now)
                    state.take(deliveries.lazy.map(\.receipt), at: now)
                }
                if deliveries.isEmpty { onProgress() }
                for delivery in deliveries {
                    handlers.start { await self.handle(delivery, consumer, handlers) }
                }
            } catch let error as QueueError {
                if error.code == .cancelled || error.code == .closed, isStopping { return }
                guard error.isRetryable else { throw error }
                failures += 1
                await pause(after: error, failures: failures)
            } catch is CancellationError {
                if isStopping { return }
            }
        }
    }

    private func freeSlots() async -> Int {
        await withCheckedContinuation { continuation in
            if let free = state.withLock({ $0.waitForSlot(continuation) }) { continuation.resume(returning: free) }
        }
    }

    /// Receives in a task of its own, so that `stop()` can end the wait without cancelling the handlers.
    private func receive(_ consumer: any QueueConsumer, max: Int) async throws -> [Delivery] {
        let wait = configuration.receiveWait
        let task = Task { try await consumer.receive(max: max, wait: wait) as [Delivery] }
        intake.withLock { $0 = task }
        if isStopping { task.cancel() }
        defer { intake.withLock { $0 = nil } }
        return try await task.value
    }

    private var isStopping: Bool { state.withLock { $0.isStopping } }

    /// Waits before the next attempt to reach the broker: 50 ms doubled each time, up to the configured pause.
    private func pause(after error: QueueError, failures: Int) async {
        state.withLock { $0.failed(error.message) }
        let backoff = RetryPolicy.Backoff.exponential(
            base: .milliseconds(50),
            cap: configuration.maxReconnectPause,
            jitter: 0.5
        )
        let delay = RetryPolicy(maxAttempts: 1, backoff: backoff)
            .delay(beforeRetry: failures, random: .random(in: 0...1))
        logger.log(
            level: failures == 1 ? .warning : .debug,
            "the broker is unavailable; trying again",
            metadata: [LogKeys.error: "\(error)", LogKeys.delay: "\(delay)"]
        )
        let task = Task<[Delivery], any Error> {
            try await self.clock.sleep(for: delay)
            return []
        }
        intake.withLock { $0 = task }
        if isStopping { task.cancel() }
        _ = await task.result
        intake.withLock { $0 = nil }
    }

    // MARK: - Handling and settling

    private func handle(_ delivery: Delivery, _ consumer: any QueueConsumer, _ handlers: HandlerGroup) async {
        let settlement: Settlement
        do {
            try await instruments.process(delivery) { try await self.handler(delivery) }
            settlement = .acknowledge
        } catch {
            if isStopping, Task.isCancelled {
                // Cut off by the drain deadline: not the message's fault.
                settlement = .release
            } else {
                settlement = configuration.retryPolicy.settlement(
                    after: error,
                    attempt: delivery.attempt,
                    random: .random(in: 0...1)
                )
            }
            report(settlement, of: delivery)
        }
        guard configuration.mode == .atLeastOnce else {
            perform(state.withLock { $0.ended(CollectionOfOne(delivery.receipt)) })
            return onProgress()
        }
        let request = SettleRequest(delivery.receipt, settlement)
        let now = clock.now()
        if state.withLock({ $0.add(request, at: now) }) { await flush(consumer, handlers) }
    }

    private func report(_ settlement: Settlement, of delivery: Delivery) {
        instruments.count(settlement)
        let metadata: Logger.Metadata = [
            LogKeys.messageID: "\(delivery.message.id)", LogKeys.attempt: "\(delivery.attempt)",
        ]
        switch settlement {
        case .retry(let delay, let error):
            logger.debug(
                "a handler failed; its message will be tried again",
                metadata: metadata.merging([LogKeys.error: "\(error ?? "")", LogKeys.delay: "\(delay)"]) { $1 }
            )
        case .reject(let reason, let error):
            logger.notice(
                "a message goes to the dead letters",
                metadata: metadata.merging([LogKeys.error: "\(error ?? "")", LogKeys.reason: "\(reason)"]) { $1 }
            )
        default: break
        }
    }

    /// Settles until nothing waits.
    ///
    /// Runs in the handler task that found no flush under way.
    private func flush(_ consumer: any QueueConsumer, _ handlers: HandlerGroup) async {
        while true {
            let batch = state.withLock { $0.nextBatch(limit: 500) }
            if batch.isEmpty { return }
            let open = await settle(batch, consumer)
            if open.isEmpty {
                ended(batch)
            } else {
                let late = Set(open.map(\.receipt))
                ended(batch.filter { !late.contains($0.receipt) })
                // Beside the flush: what cannot be settled now must not hold up the acknowledgements behind it.
                handlers.start { await self.settleLate(open, consumer) }
            }
        }
    }

    private func ended(_ requests: [SettleRequest]) {
        perform(state.withLock { $0.ended(requests.lazy.map(\.receipt)) })
        onProgress()
    }

    /// Settles once; returns what may succeed later.
    private func settle(_ requests: [SettleRequest], _ consumer: any QueueConsumer) async -> [SettleRequest] {
        var open: [SettleRequest] = []
        do throws(QueueError) {
            for (request, outcome) in zip(requests, try await consumer.settle(requests)) {
                switch outcome {
                case .settled, .alreadySettled: break
                case .leaseLost:
                    instruments.leaseLost()
                    logger.warning("a lease was lost before its message was settled; it is delivered again")
                case .failed(let error) where error.isRetryable: open.append(request)
                case .failed(let error): giveUp(1, error)
                }
            }
        } catch {
            guard error.isRetryable else {
                giveUp(requests.count, error)
                return []
            }
            open = requests
        }
        return open
    }

    /// Tries again while the broker is unavailable, for at most one lease: after that the messages belong to nobody here.
    private func settleLate(_ requests: [SettleRequest], _ consumer: any QueueConsumer) async {
        let deadline = clock.now() + consumer.lease
        let backoff = RetryPolicy(
            maxAttempts: 1,
            backoff: .exponential(base: .milliseconds(50), cap: .seconds(2), jitter: 0.5)
        )
        var open = requests
        var failures = 0
        while !open.isEmpty, clock.now() < deadline {
            failures += 1
            let delay = backoff.delay(beforeRetry: failures, random: .random(in: 0...1))
            // In a task of its own: a drain that cancels handlers must not cut off what they have earned.
            _ = await Task { try await self.clock.sleep(for: delay) }.result
            open = await settle(open, consumer)
        }
        if !open.isEmpty {
            giveUp(
                open.count,
                QueueError(.unavailable, "the broker was unavailable for a whole lease", queue: queueName)
            )
        }
        ended(requests)
    }

    private func giveUp(_ count: Int, _ error: QueueError) {
        logger.error(
            "settlements could not be carried out; the messages are delivered again after their lease",
            metadata: [LogKeys.error: "\(error)", LogKeys.count: "\(count)"]
        )
    }

    /// Renews every lease each third of its length, for as long as its handler runs.
    private func renewLeases(_ consumer: any QueueConsumer) async {
        guard configuration.mode == .atLeastOnce else { return }
        let period = consumer.lease / 3
        while !Task.isCancelled {
            do { try await clock.sleep(for: period) } catch { return }
            let now = clock.now()
            // Everything that would be older than two thirds of a lease at the next turn.
            let receipts = state.withLock { $0.renewable(notSince: now - period / 2) }
            if receipts.isEmpty { continue }
            do {
                let kept = try await consumer.renew(receipts)
                let lost = state.withLock { $0.renewed(receipts, kept, at: now) }
                if !lost.isEmpty {
                    logger.warning(
                        "leases were lost while their handlers run; the messages are delivered again",
                        metadata: [LogKeys.count: "\(lost.count)"]
                    )
                }
            } catch  where error.code == .unsupported {
                return
            } catch {
                logger.debug("leases could not be renewed", metadata: [LogKeys.error: "\(error)"])
            }
        }
    }

    // MARK: - Stopping

    /// Waits for handlers and their settlements; past the deadline cancels the handlers and gives their messages back.
    private func drain(_ consumer: any QueueConsumer, _ handlers: HandlerGroup) async {
        perform(state.withLock { $0.stop() })
        if Task.isCancelled { handlers.cancel() }
        let limit = Task {
            try await self.clock.sleep(for: self.configuration.drainDeadline)
            handlers.cancel()
        }
        await withTaskCancellationHandler {
            await handlers.wait(grace: configuration.drainDeadline + .seconds(1), clock: clock)
        } onCancel: {
            handlers.cancel()
        }
        limit.cancel()
    }

    private func perform(_ actions: [() -> Void]) {
        for action in actions { action() }
    }
}
