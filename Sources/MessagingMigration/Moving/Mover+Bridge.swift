#if SQLite
import Messaging
import Synchronization

/// Carries over what is ready, by consuming it.
///
/// While one page is written in on the new side, the next one is taken, and both are written down together. A page is written
/// in only after the one before was settled, so that a crash leaves no more than one of them on both sides.
extension Mover {
    /// How long a consumer waits for messages where asking once would fetch them one by one: when there may be none, and
    /// when the figures say that there are some, which come when it has connected and subscribed.
    private static let patience = (short: Duration.milliseconds(100), long: Duration.seconds(2))
    /// How often it waits for those that the figures tell of.
    private static let looks = 5

    /// Deliveries that are to go over.
    private struct Load {
        var deliveries: [Delivery]
        var intents: [Intent]
        /// What the new side has confirmed before, and came again because it was not settled.
        var confirmed: Set<String> = []

        var isEmpty: Bool { deliveries.isEmpty }

        func filtered(_ isIncluded: (Intent) -> Bool) -> Load {
            let kept = deliveries.indices.filter { isIncluded(intents[$0]) }
            return Load(deliveries: kept.map { deliveries[$0] }, intents: kept.map { intents[$0] })
        }
    }

    /// What became of a page.
    private struct Carried {
        var settled: [Delivery] = []
        var back: [Delivery] = []
        var change = JournalChange()
        var failure: QueueError?
    }

    /// Carries over what is ready for a group, until there is nothing.
    func bridge(_ group: String) async throws -> Pass {
        // Nothing is taken for a side that cannot be reached.
        _ = try await to.existing(queue)
        guard let consumer = try await consumer(of: group) else { return Pass() }
        let hands = Hands(consumer, of: group, waits: try await from.transfer().limits().pushes)
        do {
            let pass = try await empty(hands)
            await consumer.close()
            return pass
        } catch {
            // Not in this task, which may be cancelled.
            await Task { await hands.giveBack() }.value
            await consumer.close()
            throw error
        }
    }

    /// A consumer with what it has taken and not settled.
    private final class Hands: Sendable {
        let group: String
        /// Whether deliveries come a moment after they were asked for.
        let waits: Bool
        private let consumer: any QueueConsumer
        private let held = Mutex<[Receipt]>([])

        init(_ consumer: any QueueConsumer, of group: String, waits: Bool) {
            (self.consumer, self.group, self.waits) = (consumer, group, waits)
        }

        func take(_ count: Int, _ wait: Duration) async throws -> [Delivery] {
            let deliveries = try await consumer.receive(max: count, wait: wait)
            held.withLock { $0 += deliveries.map(\.receipt) }
            return deliveries
        }

        /// Settles deliveries.
        ///
        /// - Returns: The indices of those that could not be: their leases were lost, and they come again, to us or to others.
        /// - Throws: `QueueError` when the side cannot be used.
        @discardableResult
        func settle(_ deliveries: [Delivery], _ settlement: Settlement) async throws -> [Int] {
            guard !deliveries.isEmpty else { return [] }
            let outcomes = try await consumer.settle(deliveries.map { SettleRequest($0.receipt, settlement) })
            let settled = Set(deliveries.map(\.receipt))
            held.withLock { $0.removeAll(where: settled.contains) }
            return outcomes.indices.filter { outcomes[$0].error != nil }
        }

        /// Gives back what is not settled: being carried over is no attempt.
        func giveBack() async {
            let left = held.withLock { $0 }
            // Where that cannot be done they come again when their leases are over.
            if !left.isEmpty { _ = try? await consumer.settle(left.map { SettleRequest($0, .release) }) }
        }
    }

    private func consumer(of group: String) async throws(QueueError) -> (any QueueConsumer)? {
        do throws(QueueError) {
            return try await from.queue.consume(queue, group: group, consumer: "mq-migrate")
        } catch {
            guard error.code == .notFound else { throw error }
            return nil
        }
    }

    private func empty(_ hands: Hands) async throws -> Pass {
        var pass = Pass()
        var load = try await take(hands)
        load.confirmed = try await note(JournalChange(), load, after: [])
        while !load.isEmpty {
            let isAgain = load.confirmed
            let fresh = load.filtered { !isAgain.contains($0.id) }
            let again = load.filtered { isAgain.contains($0.id) }
            if fault == .removesBeforeConfirming { try await hands.settle(fresh.deliveries, .acknowledge) }
            // Who goes slowly on purpose must not hold messages meanwhile.
            async let ahead = pace.isLimited ? Load(deliveries: [], intents: []) : take(hands)
            let carried = try await carry(fresh)
            var next = try await ahead
            next.confirmed = try await note(carried.change, next, after: pass.gone)
            try await hands.settle(carried.back, .release)
            let names = again.intents.map(\.id) + carried.change.done
            let lost = try await failpoints.around(.settle) {
                try await hands.settle(again.deliveries + carried.settled, .acknowledge)
            }
            if let failure = carried.failure, carried.settled.isEmpty { throw failure }
            // What could not be settled is on both sides until it comes again and is recognised.
            try await journal.tryAgain(lost.map { names[$0] }, of: migration)
            pass.gone = names.indices.filter { !lost.contains($0) }.map { names[$0] }
            pass.moved += pass.gone.count
            try await pace.wait(after: load.deliveries.count)
            if pace.isLimited {
                next = try await take(hands)
                next.confirmed = try await note(JournalChange(), next, after: pass.gone)
                pass.gone = []
            }
            load = next
        }
        try await close(pass.gone)
        return pass
    }

    private func take(_ hands: Hands) async throws -> Load {
        try await stillOurs()
        let deliveries = try await failpoints.around(.take) {
            if !hands.waits { return try await hands.take(Self.window, .zero) }
            var found = try await hands.take(Self.window, Self.patience.short)
            var looks = 0
            while found.isEmpty, looks < Self.looks, try await isReady(hands.group) {
                looks += 1
                found = try await hands.take(Self.window, Self.patience.long)
            }
            return found
        }
        return Load(deliveries: deliveries, intents: deliveries.map { Intent($0, migration) })
    }

    private func isReady(_ group: String) async throws(QueueError) -> Bool {
        try await from.queue.statistics(of: queue)[group]?.ready.value ?? 0 > 0
    }

    /// Writes down what became of a page, what has left the old side, and what is to go over next.
    ///
    /// - Returns: What of the latter the new side has confirmed before.
    private func note(_ change: JournalChange, _ next: Load, after gone: [String]) async throws -> Set<String> {
        var change = change
        change.intents = next.intents
        change.removed = gone
        if change.isEmpty { return [] }
        let effects: [(effect: Failpoint.Effect, isPart: Bool)] = [
            (.done, !change.done.isEmpty), (.removed, !change.removed.isEmpty), (.intend, !change.intents.isEmpty),
        ]
        return try await around(effects.filter(\.isPart).map(\.effect)[...]) { [change] in
            try await journal.note(change, of: migration)
        }
    }

    /// Performs what is several durable effects at once.
    private func around<Result: Sendable>(
        _ effects: ArraySlice<Failpoint.Effect>,
        _ body: () async throws -> Result
    ) async throws -> Result {
        guard let first = effects.first else { return try await body() }
        return try await failpoints.around(first) { try await around(effects.dropFirst(), body) }
    }

    private func carry(_ load: Load) async throws -> Carried {
        var carried = Carried()
        if load.isEmpty { return carried }
        let messages = zip(load.deliveries, load.intents).map { delivery, intent in
            let stored = StoredMessage(
                id: intent.id,
                state: .ready,
                group: delivery.group,
                message: delivery.message,
                // Being carried over is no attempt.
                attempts: delivery.attempt - 1,
                redrives: delivery.redrives,
                history: delivery.history,
                publishedAt: delivery.publishedAt
            )
            return renamed(stored, intent)
        }
        let outcomes = try await restore(messages)
        for (index, outcome) in outcomes.enumerated() {
            let (delivery, name) = (load.deliveries[index], load.intents[index].id)
            switch outcome {
            case .accepted, .duplicate:
                carried.settled.append(delivery)
                carried.change.done.append(name)
            case .refused(let error):
                carried.back.append(delivery)
                carried.failure = carried.failure ?? error
                if error.isRetryable {
                    carried.change.left.append(name)
                } else {
                    carried.change.refused.append(JournalChange.Refusal(id: name, reason: error.message))
                }
            case .indeterminate(let error): throw error
            }
        }
        return carried
    }
}
#endif
