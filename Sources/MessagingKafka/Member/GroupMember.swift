#if Kafka
import Foundation
import Logging
import Messaging
import Synchronization

/// A member of a group: one librdkafka consumer with its thread, shared by all consumers of the group in one client.
///
/// ``MemberState`` decides; this carries it out. The thread sleeps in librdkafka's queue until something arrives, until
/// the next thing is due, or until a call wakes it; it never ticks.
final class GroupMember: Sendable {
    struct Shared {
        var state: MemberState
        var next: UInt64 = 1
        var receivers: [UInt64: CheckedContinuation<[Delivery], any Error>] = [:]
        var confirmations: [Confirmation] = []
        var joining: [CheckedContinuation<Void, any Error>] = []
        var hasJoined = false
        var isStopping = false
        var hasEnded = false
        /// Why the member has nothing to be a member of any more.
        var lost: QueueError?
        /// Somebody is looking whether that is so; and when to look again at the earliest.
        var isDoubting = false
        var nextDoubt: Duration = .zero
        /// When a consumer last asked for something or settled.
        var lastCall: Duration
        /// Nobody asked for so long that others have the messages.
        var isAway = false
        /// When to remove what all groups have finished; nothing when there is nothing new to remove.
        var cleaning: Duration?
        var ending: [CheckedContinuation<Void, Never>] = []
        /// When the thread wakes by itself.
        var wakes: Duration = .zero
        /// The thread reads nothing because there is no room.
        var isFull = false
        /// The last thing that kept librdkafka from the broker, and since when.
        var trouble: (failure: KafkaFailure, since: Duration)?
    }

    /// Somebody who waits for a commit.
    struct Confirmation {
        let sequence: UInt64
        let deadline: Duration
        let continuation: CheckedContinuation<Bool, Never>
    }

    /// How long the messages in flight may end before the partitions go to others; never longer than half a session.
    static let drainLimit: Duration = .seconds(5)
    /// How long to wait for a rebalance that is under way before leaving.
    static let rebalanceLimit: Duration = .seconds(10)
    /// How long leaving, or the last commit, may take.
    static let leaveLimit: Duration = .seconds(5)
    /// How many events are taken before consumers are looked after.
    static let burst = 512

    let settings: MemberState.Settings
    let clock = QueueClock.system
    let publisher: KafkaPublisher
    let floors: [TopicPartition: Int64]
    /// The log of reservations; `nil` where a queue was declared before there was one.
    let words: TopicPartition?
    let partitions: [String: Int]
    let log: KafkaLog
    let cleanInterval: Duration
    /// How long nobody may ask for messages that are ready.
    let pollTimeout: Duration
    /// Removes what all groups have finished; tells whether there will be more of it by the mere passing of time.
    let clean: @Sendable () async -> Bool
    /// What this member reads along, so that it hears at once when its queue is deleted.
    let registry: KafkaRegistry
    /// Tells why the queue is none any more; `nil` when it is, or when nobody can tell.
    let verify: @Sendable () async -> QueueError?
    let shared: Mutex<Shared>
    private let client: Mutex<KafkaClient?>

    /// Joins a group; its thread runs until ``stop()``.
    ///
    /// - Parameters:
    ///   - settings: What the member works by.
    ///   - options: librdkafka's settings.
    ///   - floors: Where the group begins in partitions of which nothing is committed.
    ///   - partitions: The number of partitions of each topic.
    ///   - publisher: What writes copies.
    ///   - log: Where to report.
    ///   - cleanInterval: How often to remove what all groups have finished.
    ///   - pollTimeout: How long nobody may ask for messages that are ready, before other members get them.
    ///   - clean: Removes it.
    ///   - registry: The settings of all queues.
    ///   - verify: Tells why the queue is none any more.
    /// - Throws: `KafkaFailure` when librdkafka does not take a setting.
    init(
        settings: MemberState.Settings,
        options: [(name: String, value: String)],
        floors: [TopicPartition: Int64],
        partitions: [String: Int],
        publisher: KafkaPublisher,
        log: KafkaLog,
        cleanInterval: Duration,
        pollTimeout: Duration,
        clean: @escaping @Sendable () async -> Bool,
        registry: KafkaRegistry,
        verify: @escaping @Sendable () async -> QueueError?
    ) throws(KafkaFailure) {
        self.settings = settings
        self.cleanInterval = cleanInterval
        self.pollTimeout = pollTimeout
        self.clean = clean
        self.registry = registry
        self.verify = verify
        self.floors = floors
        let words = KafkaNames.reservations(settings.queue)
        self.words = partitions[words].map { _ in TopicPartition(topic: words, partition: 0) }
        self.partitions = partitions
        self.publisher = publisher
        self.log = log
        // Far apart, so that no receipt of another member is taken for one of this.
        let state = MemberState(settings, deliveries: .random(in: 0...UInt64(UInt32.max)) << 31)
        shared = Mutex(Shared(state: state, lastCall: clock.now()))
        let client = try KafkaClient(.member, settings: options)
        try client.subscribe(settings.roles.keys.sorted())
        self.client = Mutex(client)
        let thread = Thread {
            var serving = MemberThread(self, client)
            serving.run()
        }
        thread.name = "mq-kafka-member"
        thread.start()
    }

    var wall: Int64 { UnixTime.milliseconds(clock.date()) }

    /// Ends the thread's sleep.
    func wake() { client.withLock { $0 }?.wake() }

    /// Lets the client go, once its thread has ended.
    func drop() { client.withLock { $0 = nil } }

    // MARK: - Consumers

    /// Waits until the group has given this member its partitions.
    ///
    /// - Throws: `QueueError`: `unavailable` when that takes too long, `cancelled`, `closed`.
    func joined(within time: Duration) async throws(QueueError) {
        let timer = Task {
            try await Task.sleep(for: time)
            let waiting = shared.withLock { shared in
                defer { shared.joining = [] }
                return (shared.joining, shared.trouble)
            }
            for continuation in waiting.0 { continuation.resume(throwing: notJoined(waiting.1?.failure)) }
        }
        defer { timer.cancel() }
        do {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let answer: Result<Void, any Error>? = shared.withLock { shared in
                    if shared.hasJoined { return .success(()) }
                    if shared.isStopping || shared.hasEnded { return .failure(shared.lost ?? closed) }
                    shared.joining.append(continuation)
                    return nil
                }
                if let answer { continuation.resume(with: answer) }
            }
        } catch {
            throw error as? QueueError ?? closed
        }
    }

    private func notJoined(_ trouble: KafkaFailure?) -> QueueError {
        let error = trouble.map { KafkaErrors.error($0, queue: settings.queue) }
        if let error, error.code == .authentication || error.code == .permissionDenied { return error }
        let reason = trouble.map { ": \($0)" } ?? ""
        if trouble?.name == "INVALID_SESSION_TIMEOUT" {
            return QueueError(
                .invalidArgument,
                "the broker does not take this client into the group '\(settings.group)'\(reason); keep session_timeout within "
                    + "the broker's group.min.session.timeout.ms and group.max.session.timeout.ms",
                queue: settings.queue,
                underlying: trouble
            )
        }
        return QueueError(
            .unavailable,
            "the broker did not let this client into the group '\(settings.group)' in time\(reason)",
            queue: settings.queue,
            underlying: trouble
        )
    }

    func add(_ consumer: UInt32, name: String) {
        shared.withLock { $0.state.participants[consumer] = MemberState.Participant(name: name) }
    }

    /// Ends a consumer's membership: what it held goes to others at once, and its waiting calls end.
    ///
    /// - Parameters:
    ///   - consumer: The consumer.
    ///   - isLast: Whether the member is to leave the group; ``stop()`` waits for that. To be told now keeps it from joining
    ///     once more when a rebalance has only waited for what the consumer held.
    func remove(_ consumer: UInt32, isLast: Bool) {
        let receivers = shared.withLock { shared in
            if isLast { shared.isStopping = true }
            shared.state.leave(consumer)
            let gone = shared.state.waiters.filter { $0.consumer == consumer }
            shared.state.waiters.removeAll { $0.consumer == consumer }
            return gone.compactMap { shared.receivers.removeValue(forKey: $0.id) }
        }
        for continuation in receivers { continuation.resume(throwing: closedConsumer) }
        wake()
    }

    var closed: QueueError { QueueError(.closed, "the client was closed", queue: settings.queue, isRetryable: false) }
    private var closedConsumer: QueueError {
        QueueError(.closed, "the consumer was closed", queue: settings.queue, isRetryable: false)
    }
    private var cancelled: QueueError { QueueError(.cancelled, "receive was cancelled", queue: settings.queue) }

    // MARK: - Receiving

    /// Waits for deliveries.
    func receive(_ consumer: UInt32, max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        let now = clock.now()
        let deadline = now + min(wait, .seconds(86400 * 365))
        let (taken, id, isAway) = shared.withLock { shared in
            shared.lastCall = now
            let taken = shared.state.take(consumer, max: max, now: now, wall: wall)
            shared.next += 1
            return (taken, shared.next, shared.isAway)
        }
        if !taken.isEmpty || wait <= .zero {
            if isAway { wake() }
            nudge()
            return taken
        }
        do {
            return try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { continuation in
                    let failure: QueueError? = shared.withLock { shared in
                        if Task.isCancelled { return cancelled }
                        if shared.hasEnded || shared.isStopping { return shared.lost ?? closed }
                        if shared.state.participants[consumer] == nil { return closedConsumer }
                        shared.receivers[id] = continuation
                        shared.state.waiters.append(
                            MemberState.Waiter(id: id, consumer: consumer, max: max, deadline: deadline)
                        )
                        return nil
                    }
                    if let failure { return continuation.resume(throwing: failure) }
                    // Something may have come since the first look.
                    wake()
                }
            } onCancel: {
                let waiting = shared.withLock { shared in
                    shared.state.waiters.removeAll { $0.id == id }
                    return shared.receivers.removeValue(forKey: id)
                }
                waiting?.resume(throwing: cancelled)
            }
        } catch {
            throw error as? QueueError ?? cancelled
        }
    }

    /// Wakes the thread when something is due before it wakes by itself.
    func nudge() {
        let now = clock.now()
        let isNeeded = shared.withLock { shared in
            guard
                !shared.state.moves.isEmpty || shared.state.isDraining || (shared.isFull && shared.state.room() > 0)
                    || now + shared.state.idle(now: now, wall: wall, limit: .seconds(60)) < shared.wakes
                    || !shared.state.waiters.isEmpty || (shared.cleaning ?? shared.wakes) < shared.wakes
            else { return false }
            shared.wakes = now
            return true
        }
        if isNeeded { wake() }
    }

    /// Waits until everything that was settled so far is committed, or cannot be now.
    func flush() async {
        let (sequence, isNeeded) = shared.withLock { shared in
            (shared.state.sequence, shared.state.hasChanges || shared.state.committing != nil)
        }
        if isNeeded { _ = await confirmed(sequence, within: .seconds(2)) }
    }

    /// Why the broker cannot be reached, when it could not be for some time.
    func outage(for time: Duration) -> QueueError? {
        guard let trouble = shared.withLock({ $0.trouble }), clock.now() - trouble.since >= time else { return nil }
        return KafkaErrors.error(trouble.failure, queue: settings.queue)
    }

    // MARK: - Ending

    /// Why the member has nothing to be a member of any more.
    var lost: QueueError? { shared.withLock { $0.lost } }

    /// Looks whether the queue is still there, now and then at most.
    func doubt() {
        let now = clock.now()
        let isDue = shared.withLock { shared in
            guard !shared.isDoubting, !shared.isStopping, now >= shared.nextDoubt else { return false }
            shared.isDoubting = true
            return true
        }
        guard isDue else { return }
        Task {
            if let error = await verify() { lose(error) }
            let next = clock.now() + .seconds(1)
            shared.withLock { shared in
                shared.isDoubting = false
                shared.nextDoubt = next
            }
        }
    }

    /// Ends the member because there is nothing to be a member of.
    func lose(_ error: QueueError) {
        let receivers = shared.withLock { shared in
            guard shared.lost == nil else { return [CheckedContinuation<[Delivery], any Error>]() }
            shared.lost = error
            shared.isStopping = true
            shared.state.waiters = []
            defer { shared.receivers = [:] }
            return Array(shared.receivers.values)
        }
        for continuation in receivers { continuation.resume(throwing: error) }
        wake()
    }

    /// Leaves the group and waits for that, some seconds at most.
    func stop() async {
        wake()
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let isOver = shared.withLock { shared in
                shared.isStopping = true
                if !shared.hasEnded { shared.ending.append(continuation) }
                return shared.hasEnded
            }
            if isOver { continuation.resume() } else { wake() }
        }
    }
}
#endif
