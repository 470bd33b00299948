#if RabbitMQ
import Messaging
import Synchronization

/// What a consumer holds, shared by its thread and its callers.
final class ConsumerContext: Sendable {
    /// Settlements that were begun.
    struct Begun {
        /// Deliveries that end here and now.
        var finished: [(index: Int, tag: UInt64)] = []
        /// Deliveries that end when a copy of theirs is confirmed, by the index of the request.
        var moves: [(index: Int, receipt: Receipt, copy: OutgoingMessage)] = []
        var outcomes: [SettleOutcome]
        var epoch: UInt32
        /// Whether the broker may not have said by itself yet that the queue is gone.
        var needsProof: Bool
    }

    private struct State {
        var holdings = Holdings()
        /// Whether the broker sends messages, and tells when their queue is deleted.
        var isSubscribed = false
        /// When messages were handed over last.
        var handedAt: Duration?
        var isClosed = false
    }

    let queue: String
    let group: String
    let name: String
    let lease: Duration
    let maxAttempts: Int
    let isAtMostOnce: Bool
    /// How long a delivery may be held, renewed or not: later the broker takes back everything on the channel.
    private let longestHold: Duration
    /// Tells receipts of different consumers apart.
    private let number = UInt64.random(in: 1...(.max))
    private let state = Mutex(State())
    /// Writes copies, then acknowledges the originals.
    private let move: @Sendable ([(UInt64, OutgoingMessage)], UInt32, _ isUnwanted: Bool) -> Void

    init(
        queue: String,
        group: GroupDefinition,
        name: String,
        isAtMostOnce: Bool,
        longestHold: Duration,
        move: @escaping @Sendable ([(UInt64, OutgoingMessage)], UInt32, _ isUnwanted: Bool) -> Void
    ) {
        self.queue = queue
        self.group = group.name
        self.name = name
        self.lease = group.lease
        self.maxAttempts = group.maxAttempts
        self.isAtMostOnce = isAtMostOnce
        self.longestHold = longestHold
        self.move = move
    }

    var closedError: QueueError { QueueError(.closed, "the consumer was closed", queue: queue, isRetryable: false) }
    var epoch: UInt32 { state.withLock { $0.holdings.epoch } }
    var nextExpiry: Duration? { state.withLock { $0.holdings.nextExpiry } }
    var isClosed: Bool { state.withLock { $0.isClosed } }
    var heldCount: Int { state.withLock { $0.holdings.count } }

    /// Closes it for callers.
    ///
    /// - Returns: Whether this call did.
    func close() -> Bool {
        state.withLock { state in
            defer { state.isClosed = true }
            return !state.isClosed
        }
    }

    // MARK: - The connection's life

    func begin() { state.withLock { $0.holdings.clear() } }

    /// What was held belongs to the broker again.
    func end() {
        state.withLock { state in
            state.holdings.clear()
            state.isSubscribed = false
        }
    }

    func setSubscribed(_ isSubscribed: Bool) { state.withLock { $0.isSubscribed = isSubscribed } }

    // MARK: - Handing over

    func handOver(_ messages: some Collection<ReceivedMessage>, at now: Duration) -> [Delivery] {
        state.withLock { state in
            state.handedAt = now
            let (deadline, limit) = (now + min(lease, longestHold), now + longestHold)
            let epoch = state.holdings.epoch
            return messages.map { received in
                if isAtMostOnce {
                    state.holdings.handOverSettled(received.tag)
                } else {
                    state.holdings.handOver(received, deadline: deadline, limit: limit)
                }
                return delivery(received, epoch)
            }
        }
    }

    private func delivery(_ received: ReceivedMessage, _ epoch: UInt32) -> Delivery {
        let wire = received.wire
        return Delivery(
            message: wire.message,
            queue: queue,
            group: group,
            attempt: wire.attempt,
            receipt: Receipt(high: number, low: received.tag, fence: epoch, source: 0),
            publishedAt: wire.rest.timestamp.map { UnixTime.date(Int64(clamping: $0) &* 1000) },
            redrives: wire.redrives,
            history: wire.history
        )
    }

    /// Takes the deliveries whose lease has run out; those that are being settled may end.
    func expired(_ now: Duration) -> [UInt64] { state.withLock { $0.holdings.takeExpired(now) } }

    func renew(_ receipts: [Receipt], at now: Duration) -> [Bool] {
        state.withLock { state in
            receipts.map { receipt in
                isOwn(receipt)
                    && state.holdings.renew(receipt.low, epoch: receipt.fence, lease: lease, now: now)
            }
        }
    }

    private func isOwn(_ receipt: Receipt) -> Bool { receipt.high == number && receipt.source == 0 }

    // MARK: - Settling

    /// Decides what settlements lead to; nothing is sent here.
    func begin(
        _ requests: [SettleRequest],
        now: Int64,
        at time: Duration = QueueClock.system.now()
    ) -> Begun {
        state.withLock { state in
            let epoch = state.holdings.epoch
            var begun = Begun(
                outcomes: Array(repeating: .leaseLost, count: requests.count),
                epoch: epoch,
                needsProof: !state.isSubscribed || state.handedAt.map { time - $0 > Self.trust } ?? true
            )
            begun.finished.reserveCapacity(requests.count)
            for (index, request) in requests.enumerated() where isOwn(request.receipt) {
                let (tag, fence) = (request.receipt.low, request.receipt.fence)
                let isEnd = Self.endsAtOnce(request.settlement)
                let start = isEnd ? state.holdings.settle(tag, epoch: fence) : state.holdings.begin(tag, epoch: fence)
                switch start {
                case .alreadySettled: begun.outcomes[index] = .alreadySettled
                case .leaseLost: break
                case .proceed(let received):
                    if isEnd {
                        begun.finished.append((index, tag))
                        begun.outcomes[index] = .settled
                    } else {
                        begun.moves.append((index, request.receipt, copy(received.wire, request.settlement, now)))
                    }
                }
            }
            return begun
        }
    }

    /// Notes what became of a copy.
    ///
    /// - Returns: Whether the original is to be acknowledged.
    func concluded(_ receipt: Receipt, isCopied: Bool) -> Bool {
        state.withLock { state in
            state.holdings.end(receipt.low, epoch: receipt.fence, isSettled: isCopied) && isCopied
        }
    }

    /// For how long messages that came are a sign that their queue is there: the news of its end takes its time.
    private static let trust: Duration = .milliseconds(20)

    private static func endsAtOnce(_ settlement: Settlement) -> Bool {
        switch settlement {
        case .acknowledge, .discard: true
        case .retry, .reject, .release: false
        }
    }

    /// What takes the place of a delivery that does not end at once.
    private func copy(_ wire: WireMessage, _ settlement: Settlement, _ now: Int64) -> OutgoingMessage {
        switch settlement {
        case .acknowledge, .discard, .release: Copies.release(wire, attempt: wire.attempt, queue: queue, group: group)
        case .reject(let reason, let error): dead(wire, wire.attempt, reason, error, consumer: name, now)
        case .retry(_, let error) where wire.attempt >= maxAttempts:
            dead(wire, wire.attempt, .attemptsExhausted, error, consumer: name, now)
        case .retry(let delay, let error):
            Copies.retry(
                wire,
                attempt: wire.attempt,
                after: delay,
                error: error,
                consumer: name,
                queue: queue,
                group: group,
                now: now
            )
        }
    }

    private func dead(
        _ wire: WireMessage,
        _ attempts: Int,
        _ reason: DeadLetterReason,
        _ error: String?,
        consumer: String?,
        _ now: Int64
    ) -> OutgoingMessage {
        Copies.dead(
            wire,
            attempts: attempts,
            reason: reason,
            error: error,
            consumer: consumer,
            queue: queue,
            group: group,
            now: now
        )
    }

    // MARK: - What nobody gets

    /// Makes a message a dead letter that is not handed over.
    func bury(_ tag: UInt64, _ wire: WireMessage, _ reason: DeadLetterReason, _ error: String?) {
        let copy = dead(wire, wire.attempt - 1, reason, error, consumer: nil, UnixTime.milliseconds())
        move([(tag, copy)], epoch, false)
    }

    /// Sends a message on whose delay was too long for one walk.
    func delay(_ tag: UInt64, _ wire: WireMessage) {
        move([(tag, Copies.delayed(wire, to: RabbitNames.group(queue, group)))], epoch, false)
    }

    /// Gives messages back that nobody asked for, without counting.
    func giveBack(_ messages: [(UInt64, WireMessage)]) {
        let copies = messages.map { tag, wire in
            (tag, Copies.release(wire, attempt: wire.attempt, queue: queue, group: group))
        }
        move(copies, epoch, true)
    }
}
#endif
