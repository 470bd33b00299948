#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// One member of a group: pulls deliveries and settles them.
///
/// Pull-based: at most what `receive` asked for is leased to this consumer. All methods may be called concurrently.
public protocol QueueConsumer: Sendable {
    /// The queue.
    var queue: String { get }
    /// The group.
    var group: String { get }
    /// The consumer's name.
    var name: String { get }
    /// How long a delivery belongs to this consumer before another one may take it over.
    var lease: Duration { get }

    /// Waits for deliveries.
    ///
    /// - Parameters:
    ///   - max: The largest number to return, 1 to 1000.
    ///   - wait: How long to wait for the first one; zero asks once.
    /// - Returns: 1 to `max` deliveries, or none when the time has passed.
    /// - Throws: `QueueError`: `unavailable` when the broker could not be reached for the whole wait, `topologyLost`,
    ///   `cancelled` when the task was cancelled (nothing is then left leased), `closed`.
    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery]

    /// Ends deliveries.
    ///
    /// - Parameter requests: Receipts with how each delivery ends.
    /// - Returns: One outcome per request, in the same order.
    /// - Throws: `QueueError`: `unavailable` when nothing was settled, `closed`.
    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome]

    /// Starts the leases of deliveries anew.
    ///
    /// - Parameter receipts: The deliveries.
    /// - Returns: For each, whether it still belongs to this consumer.
    /// - Throws: `QueueError`: `unsupported` where leases cannot be renewed, `unavailable`, `closed`.
    func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool]

    /// Leaves the group. Deliveries that were not settled become available to others at once; those that had been
    /// handed over count as an attempt.
    func close() async
}

extension QueueConsumer {
    /// Ends one delivery.
    ///
    /// - Parameters:
    ///   - delivery: The delivery.
    ///   - settlement: How it ends.
    /// - Throws: `QueueError`: `leaseLost`, `alreadySettled`, or why it could not be carried out.
    public func settle(_ delivery: Delivery, _ settlement: Settlement) async throws(QueueError) {
        let outcomes = try await settle([SettleRequest(delivery.receipt, settlement)])
        if let error = outcomes.first?.error {
            throw QueueError(
                error.code,
                error.message,
                queue: queue,
                isRetryable: error.isRetryable,
                underlying: error.underlying
            )
        }
    }

    /// Ends one delivery as handled.
    ///
    /// - Parameter delivery: The delivery.
    /// - Throws: As ``settle(_:_:)``.
    public func acknowledge(_ delivery: Delivery) async throws(QueueError) {
        try await settle(delivery, .acknowledge)
    }

    /// Makes a delivery to this consumer; for backends.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - attempt: Which delivery it is, from 1.
    ///   - receipt: What settles this delivery.
    ///   - publishedAt: When the broker accepted the message.
    ///   - redrives: How often it was redriven.
    ///   - history: The failed attempts so far.
    /// - Returns: The delivery, with the queue and the group of this consumer.
    public func delivery(
        of message: Message,
        _ attempt: Int,
        _ receipt: Receipt,
        publishedAt: Date? = nil,
        redrives: Int = 0,
        history: [Failure] = []
    ) -> Delivery {
        Delivery(
            message: message,
            queue: queue,
            group: group,
            attempt: attempt,
            receipt: receipt,
            publishedAt: publishedAt,
            redrives: redrives,
            history: history
        )
    }

    /// Returns the deliveries as a sequence that waits for each one; leaving the loop fetches nothing more.
    ///
    /// - Returns: A sequence that ends only by an error or by cancellation.
    public func deliveries() -> Deliveries { Deliveries(consumer: self) }
}

/// The deliveries of a consumer, one at a time: nothing is leased before the loop asks for it.
public struct Deliveries: AsyncSequence, Sendable {
    let consumer: any QueueConsumer

    /// Asks the consumer for one delivery at a time.
    public struct Iterator: AsyncIteratorProtocol {
        let consumer: any QueueConsumer

        /// Waits for the next delivery.
        ///
        /// - Returns: The delivery; never `nil`.
        /// - Throws: `QueueError` as `receive`.
        public mutating func next() async throws(QueueError) -> Delivery? {
            while true {
                if let delivery = try await consumer.receive(max: 1, wait: .seconds(60)).first { return delivery }
            }
        }

        /// Waits for the next delivery.
        ///
        /// - Parameter actor: The actor the loop runs on.
        /// - Returns: The delivery; never `nil`.
        /// - Throws: `QueueError` as `receive`.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(QueueError) -> Delivery? {
            while true {
                if let delivery = try await consumer.receive(max: 1, wait: .seconds(60)).first { return delivery }
            }
        }
    }

    /// Creates an iterator.
    ///
    /// - Returns: The iterator.
    public func makeAsyncIterator() -> Iterator { Iterator(consumer: consumer) }
}
