import Messaging
import MessagingMigration
import Synchronization

/// A consumer that has messages in hands while a move begins, settles half of them, and leaves the others to others.
final class LiveHolder: Sendable {
    private let consumer: any QueueConsumer
    private let deliveries: [Delivery]
    private let isReleased = Mutex(false)

    /// How many messages it has.
    var count: Int { deliveries.count }

    private init(_ consumer: any QueueConsumer, _ deliveries: [Delivery]) {
        (self.consumer, self.deliveries) = (consumer, deliveries)
    }

    /// Takes messages.
    ///
    /// - Parameters:
    ///   - count: How many.
    ///   - group: Of which group.
    ///   - client: The client; on Kafka all consumers of a group in one client are one member, so that neither the coming
    ///     nor the going of this one lets anybody lose what they have in hands.
    /// - Returns: The consumer with what came within some time.
    /// - Throws: When nothing can be taken.
    static func taking(_ count: Int, of group: String, from client: MigratingQueue) async throws -> LiveHolder {
        let consumer = try await client.consume(MigrationPlace.name, group: group, consumer: "holder")
        let deadline = ContinuousClock.now + .seconds(30)
        var taken: [Delivery] = []
        while taken.count < count, ContinuousClock.now < deadline {
            taken += try await consumer.receive(max: count - taken.count, wait: .seconds(1))
        }
        return LiveHolder(consumer, taken)
    }

    /// Lets it end.
    func release() { isReleased.withLock { $0 = true } }

    /// Keeps the messages until `release`, then settles half of them and leaves.
    ///
    /// - Parameter ledger: Told what was settled, and nothing of the others, which somebody else will handle.
    /// - Returns: How many were settled.
    /// - Throws: When the side cannot be used.
    func hold(_ ledger: LiveLedger) async throws -> Int {
        let deadline = ContinuousClock.now + .seconds(120)
        while !isReleased.withLock({ $0 }), ContinuousClock.now < deadline {
            _ = try await consumer.renew(deliveries.map(\.receipt))
            try await Task.sleep(for: .milliseconds(250))
        }
        let handled = deliveries.prefix(deliveries.count / 2)
        let outcomes = try await consumer.settle(handled.map { SettleRequest($0.receipt, .acknowledge) })
        var settled = 0
        for (delivery, outcome) in zip(handled, outcomes) {
            if let error = outcome.error {
                // On a machine that stands still for longer than the lease, others have it and handle it.
                guard error.code == .leaseLost else { throw error }
                continue
            }
            ledger.handle(delivery)
            settled += 1
        }
        // Where nobody answers an acknowledgement, one that is on its way when its consumer closes may be lost.
        try await Task.sleep(for: .seconds(1))
        await consumer.close()
        return settled
    }
}
