#if RabbitMQ
import Messaging
import Synchronization

/// What a consumer holds, shared by its thread and its callers.
final class ConsumerContext: Sendable {
    /// A delivery that was handed over.
    struct Held: Sendable {
        var wire: WireMessage
        var attempt: Int
        /// When its lease runs out.
        var deadline: Duration
    }

    /// Settlements that were begun.
    struct Begun {
        /// Deliveries that end here and now.
        var finished: [UInt64] = []
        /// Deliveries that end when a copy of theirs is confirmed, by the index of the request.
        var moves: [(index: Int, receipt: Receipt, copy: OutgoingMessage)] = []
        var outcomes: [SettleOutcome]
        var epoch: UInt32
    }

    private struct State {
        var ledger = SettlementLedger()
        var held: [UInt64: Held] = [:]
        /// One more with each life of the connection.
        var epoch: UInt32 = 0
        var nextExpiry: Duration?
        var isClosed = false
    }

    let queue: String
    let group: String
    let name: String
    let lease: Duration
    let maxAttempts: Int
    let isAtMostOnce: Bool
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
        move: @escaping @Sendable ([(UInt64, OutgoingMessage)], UInt32, _ isUnwanted: Bool) -> Void
    ) {
        self.queue = queue
        self.group = group.name
        self.name = name
        self.lease = group.lease
        self.maxAttempts = group.maxAttempts
        self.isAtMostOnce = isAtMostOnce
        self.move = move
    }

    var closedError: QueueError { QueueError(.closed, "the consumer was closed", queue: queue, isRetryable: false) }
    var epoch: UInt32 { state.withLock { $0.epoch } }
    var nextExpiry: Duration? { state.withLock { $0.nextExpiry } }
    var isClosed: Bool { state.withLock { $0.isClosed } }
    var heldCount: Int { state.withLock { $0.held.count } }

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

    func begin() { state.withLock { $0.epoch += 1 } }

    /// What was held belongs to the broker again.
    func end() {
        state.withLock { state in
            state.epoch += 1
            for receipt in state.ledger.held { state.ledger.lose(receipt) }
            state.held.removeAll()
            state.nextExpiry = nil
        }
    }

    // MARK: - Handing over

    func handOver(_ messages: [(UInt64, WireMessage)], at now: Duration) -> [Delivery] {
        state.withLock { state in
            let deadline = now + lease
            return messages.map { tag, wire in
                let receipt = Receipt(high: number, low: tag, fence: state.epoch, source: 0)
                state.ledger.handOver(receipt)
                if isAtMostOnce {
                    _ = state.ledger.begin(receipt)
                    state.ledger.end(receipt, .settled)
                } else {
                    state.held[tag] = Held(wire: wire, attempt: wire.attempt, deadline: deadline)
                    state.nextExpiry = min(state.nextExpiry ?? deadline, deadline)
                }
                return Delivery(
                    message: wire.message,
                    queue: queue,
                    group: group,
                    attempt: wire.attempt,
                    receipt: receipt,
                    publishedAt: wire.rest.timestamp.map { UnixTime.date(Int64(clamping: $0) &* 1000) },
                    redrives: wire.redrives,
                    history: wire.history
                )
            }
        }
    }

    /// Takes the deliveries whose lease has run out; those that are being settled may end.
    func expired(_ now: Duration) -> [UInt64] {
        state.withLock { state in
            guard let next = state.nextExpiry, next <= now else { return [] }
            var expired: [UInt64] = []
            var soonest: Duration?
            for (tag, held) in state.held {
                if held.deadline > now {
                    soonest = min(soonest ?? held.deadline, held.deadline)
                    continue
                }
                let receipt = Receipt(high: number, low: tag, fence: state.epoch, source: 0)
                guard state.ledger.begin(receipt) == .proceed else { continue }
                state.ledger.lose(receipt)
                expired.append(tag)
            }
            for tag in expired { state.held[tag] = nil }
            state.nextExpiry = soonest
            return expired.sorted()
        }
    }

    func renew(_ receipts: [Receipt], at now: Duration) -> [Bool] {
        state.withLock { state in
            receipts.map { receipt in
                guard state.ledger.holds(receipt), state.held[receipt.low] != nil else { return false }
                state.held[receipt.low]?.deadline = now + lease
                return true
            }
        }
    }

    // MARK: - Settling

    /// Decides what settlements lead to; nothing is sent here.
    func begin(_ requests: [SettleRequest], now: Int64) -> Begun {
        state.withLock { state in
            var begun = Begun(outcomes: Array(repeating: .leaseLost, count: requests.count), epoch: state.epoch)
            for (index, request) in requests.enumerated() {
                let receipt = request.receipt
                switch state.ledger.begin(receipt) {
                case .alreadySettled: begun.outcomes[index] = .alreadySettled
                case .leaseLost: break
                case .proceed:
                    guard let held = state.held[receipt.low] else {
                        state.ledger.end(receipt, .leaseLost)
                        continue
                    }
                    if let copy = copy(held, request.settlement, now) {
                        begun.moves.append((index, receipt, copy))
                    } else {
                        state.ledger.end(receipt, .settled)
                        state.held[receipt.low] = nil
                        begun.finished.append(receipt.low)
                        begun.outcomes[index] = .settled
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
            guard state.ledger.holds(receipt) else { return false }
            state.ledger.end(receipt, isCopied ? .settled : .failed)
            if isCopied {
                state.held[receipt.low] = nil
            } else if let deadline = state.held[receipt.low]?.deadline {
                state.nextExpiry = min(state.nextExpiry ?? deadline, deadline)
            }
            return isCopied
        }
    }

    /// What takes the place of a delivery; `nil` when nothing does.
    private func copy(_ held: Held, _ settlement: Settlement, _ now: Int64) -> OutgoingMessage? {
        switch settlement {
        case .acknowledge, .discard: nil
        case .release: Copies.release(held.wire, attempt: held.attempt, queue: queue, group: group)
        case .reject(let reason, let error): dead(held.wire, held.attempt, reason, error, consumer: name, now)
        case .retry(_, let error) where held.attempt >= maxAttempts:
            dead(held.wire, held.attempt, .attemptsExhausted, error, consumer: name, now)
        case .retry(let delay, let error):
            Copies.retry(
                held.wire,
                attempt: held.attempt,
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
        move([(tag, Copies.delayed(wire, queue: queue, group: group))], epoch, false)
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
