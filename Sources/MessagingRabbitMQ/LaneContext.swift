#if RabbitMQ
import Messaging
import Synchronization

/// What does not change about a consumer of a keyed queue, and whether it is closed.
final class LaneContext: Sendable {
    let queue: String
    let group: String
    let name: String
    let lease: Duration
    let maxAttempts: Int
    let isAtMostOnce: Bool
    /// How long a message may be held, renewed or not: later the broker takes back everything of its lane.
    let longestHold: Duration
    /// Tells receipts of different consumers apart.
    private let number = UInt64.random(in: 1...(.max))
    private let closed = Atomic<Bool>(false)
    private let held = Atomic<Int>(0)
    private let waiting = Atomic<Int>(0)

    init(queue: String, group: GroupDefinition, name: String, isAtMostOnce: Bool, longestHold: Duration) {
        self.queue = queue
        self.group = group.name
        self.name = name
        self.lease = group.lease
        self.maxAttempts = group.maxAttempts
        self.isAtMostOnce = isAtMostOnce
        self.longestHold = longestHold
    }

    var closedError: QueueError { QueueError(.closed, "the consumer was closed", queue: queue, isRetryable: false) }
    var isClosed: Bool { closed.load(ordering: .acquiring) }
    /// How many deliveries are in somebody's hands.
    var heldCount: Int { held.load(ordering: .relaxed) }
    /// How many messages wait here for their turn.
    var waitingCount: Int { waiting.load(ordering: .relaxed) }

    func close() { closed.store(true, ordering: .releasing) }

    func setFigures(held: Int, waiting: Int) {
        self.held.store(held, ordering: .relaxed)
        self.waiting.store(waiting, ordering: .relaxed)
    }

    /// The number of a hand-over of this consumer; `nil` for one of another.
    func handOver(_ receipt: Receipt) -> UInt64? { receipt.high == number ? receipt.low : nil }

    func delivery(_ wire: WireMessage, _ attempt: Int, _ handOver: UInt64) -> Delivery {
        Delivery(
            message: wire.message,
            queue: queue,
            group: group,
            attempt: attempt,
            receipt: Receipt(high: number, low: handOver, fence: 0, source: 1),
            publishedAt: wire.rest.timestamp.map { UnixTime.date(Int64(clamping: $0) &* 1000) },
            redrives: wire.redrives,
            history: wire.history
        )
    }

    func dead(
        _ wire: WireMessage,
        _ attempts: Int,
        _ reason: DeadLetterReason,
        _ error: String?,
        consumer: String?
    ) -> OutgoingMessage {
        Copies.dead(
            wire,
            attempts: attempts,
            reason: reason,
            error: error,
            consumer: consumer,
            queue: queue,
            group: group,
            now: UnixTime.milliseconds()
        )
    }
}
#endif
