#if SQLite
import Messaging
import Synchronization

/// Carries over what is ready, by consuming it.
///
/// While one page is written in on the new side, the next one is written down, the one after it is taken, and the one before is
/// settled. Where the new side would not recognise a message that comes again, a page is written in only after the one before
/// was settled.
extension Mover {
    /// How long a consumer waits for messages where asking once would fetch them one by one: when there may be none, and
    /// when the figures say that there are some, which come when it has connected and subscribed.
    private static let patience = (short: Duration.milliseconds(100), long: Duration.seconds(2))
    /// How often it waits for those that the figures tell of.
    private static let looks = 5

    /// Deliveries that are to go over.
    private struct Load {
        var deliveries: [Delivery] = []
        var intents: [Intent] = []
        /// What the new side has confirmed before, and came again because it was not settled.
        var confirmed: Set<String> = []
        /// What is no longer to go over: another mover has seen to it, and has ended.
        var others: Set<String> = []
        /// Before they were taken.
        var begun: Duration = .zero

        var isEmpty: Bool { deliveries.isEmpty }
        var receipts: [Receipt] { deliveries.map(\.receipt) }

        /// What is new, and what the new side has confirmed before or is no longer to go over; there is seldom any of that.
        func parted() -> (fresh: Load, again: Load, back: Load) {
            if confirmed.isEmpty, others.isEmpty { return (self, Load(), Load()) }
            return (
                filtered { !confirmed.contains($0.id) && !others.contains($0.id) },
                filtered { confirmed.contains($0.id) },
                filtered { others.contains($0.id) && !confirmed.contains($0.id) }
            )
        }

        private func filtered(_ isIncluded: (Intent) -> Bool) -> Load {
            let kept = deliveries.indices.filter { isIncluded(intents[$0]) }
            return Load(deliveries: kept.map { deliveries[$0] }, intents: kept.map { intents[$0] })
        }
    }

    /// What became of a page.
    private struct Carried {
        /// What the new side has, with the names under which it has it.
        var settled: [Receipt] = []
        var names: [String] = []
        var back: [Receipt] = []
        var change = JournalChange()
        /// Why something of it was not taken, and whether that ends the move whatever was.
        var failure: QueueError?
        var isLast = false

        var isEmpty: Bool { settled.isEmpty && back.isEmpty }
    }

    /// Carries over what is ready for a group, until there is nothing.
    func bridge(_ group: String) async throws -> Pass {
        // Nothing is taken for a side that cannot be reached.
        _ = try await to.existing(queue)
        guard let consumer = try await consumer(of: group) else { return Pass() }
        let hands = Hands(
            consumer,
            of: group,
            waits: try await from.transfer().limits().pushes,
            most: try await most()
        )
        do {
            let pass = try await empty(hands)
            await consumer.close()
            return pass
        } catch {
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
        /// What is not settled, page by page in the order in which it was taken.
        private let held = Mutex<[[Receipt]]>([])
        private let size: Mutex<PageSize>
        private let ahead = Mutex<Task<Load, any Error>?>(nil)

        init(_ consumer: any QueueConsumer, of group: String, waits: Bool, most: Int) {
            (self.consumer, self.group, self.waits) = (consumer, group, waits)
            size = Mutex(PageSize(atMost: most))
        }

        func take(_ wait: Duration) async throws -> [Delivery] {
            let deliveries = try await consumer.receive(max: size.withLock(\.count), wait: wait)
            if deliveries.isEmpty { return deliveries }
            held.withLock { $0.append(deliveries.map(\.receipt)) }
            size.withLock { $0.adapt(to: deliveries.map(\.message)) }
            return deliveries
        }

        /// Takes a page while the one before goes its way.
        func takeAhead(_ take: @escaping @Sendable () async throws -> Load) {
            ahead.withLock { $0 = Task { try await take() } }
        }

        /// Waits for the page that is being taken; `nil` when none is.
        func taken() async throws -> Load? {
            let task = ahead.withLock { ahead in
                defer { ahead = nil }
                return ahead
            }
            return try await task?.value
        }

        /// Settles deliveries.
        ///
        /// - Returns: The indices of those that could not be: their leases were lost, and they come again, to us or to others.
        /// - Throws: `QueueError` when the side cannot be used.
        @discardableResult
        func settle(_ receipts: [Receipt], _ settlement: Settlement) async throws -> [Int] {
            guard !receipts.isEmpty else { return [] }
            let outcomes = try await consumer.settle(receipts.map { SettleRequest($0, settlement) })
            return outcomes.indices.filter { outcomes[$0].error != nil }
        }

        /// Forgets the first page that was taken: all of it is settled.
        func forgetPage() { held.withLock { if !$0.isEmpty { $0.removeFirst() } } }

        /// Gives back what is not settled: being carried over is no attempt.
        func giveBack() async {
            _ = try? await taken()
            // What of it is settled has no lease any more; and where it cannot be done they come again when it is over.
            let left = held.withLock { $0 }.joined().map { SettleRequest($0, .release) }
            if !left.isEmpty { _ = try? await consumer.settle(left) }
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
        let isRecognised = try await isRecognised()
        // Two pages are on both sides then, and what came again meanwhile is recognised there.
        let overlaps = isRecognised && !pace.isLimited && !hands.waits
        // Who goes slowly on purpose must not hold messages meanwhile.
        let isLate = pace.isLimited || hands.waits
        var written = Carried()
        var carrying: Task<Carried, any Error>?
        do {
            var load = try await next(hands, overlaps: overlaps)
            load = try await finish(&written, hands, &pass, intending: load).load
            while !load.isEmpty {
                let page = try await current(load)
                if fault == .removesBeforeConfirming { try await hands.settle(page.receipts, .acknowledge) }
                // Whoever stops this task still hears what the new side has got.
                let task = Task { try await carry(page) }
                carrying = task
                // A side that pushes may let us wait, and what was written in must not wait with us.
                if hands.waits, !pace.isLimited { hands.takeAhead { try await take(hands) } }
                load = isLate ? Load() : try await next(hands, overlaps: overlaps)
                load = try await finish(&written, hands, &pass, intending: load).load
                written = try await task.value
                carrying = nil
                if !overlaps || pass.failure != nil {
                    // What was lost may have been taken again before it was written down as confirmed.
                    load.confirmed.formUnion(try await finish(&written, hands, &pass).lost)
                }
                if let failure = pass.failure { throw failure }
                try await pace.wait(after: page.deliveries.count)
                guard isLate else { continue }
                load = try await next(hands, overlaps: false)
                load = try await finish(&written, hands, &pass, intending: load).load
            }
            try await finish(&written, hands, &pass)
            if let failure = pass.failure { throw failure }
            try await close(pass.gone)
            return pass
        } catch {
            await leave(hands, written, carrying, pass)
            throw error
        }
    }

    /// Settles what the new side has, and gives back the rest, after something has ended the move.
    private func leave(
        _ hands: Hands,
        _ written: Carried,
        _ carrying: Task<Carried, any Error>?,
        _ pass: Pass
    ) async {
        // Not in this task, which may be cancelled.
        await Task {
            var (written, pass) = (written, pass)
            let last = try? await carrying?.value
            if !failpoints.haveEnded {
                do {
                    try await finish(&written, hands, &pass)
                    if var last { try await finish(&last, hands, &pass) }
                    try await close(pass.gone)
                } catch {
                    // What is on both sides comes again and is recognised.
                }
            }
            await hands.giveBack()
        }.value
    }

    /// A page as it is to be written in now: where much time has gone by, somebody else may have carried it over.
    private func current(_ load: Load) async throws -> Load {
        guard clock.now() - load.begun >= migration.lease / 3 else { return load }
        try await stillOurs()
        var load = load
        let states = try await journal.intents(named: load.intents.map(\.id), of: migration)
        load.confirmed.formUnion(states.filter { $0.value == .done || $0.value == .removed }.keys)
        load.others = Set(load.intents.map(\.id).filter { states[$0] != .intent })
        return load
    }

    /// Settles a page that was written in, after which there is none, and writes down another one that is to go over.
    ///
    /// - Parameters:
    ///   - carried: The page that was written in.
    ///   - hands: What has taken both.
    ///   - pass: What has become of all.
    ///   - load: The other page.
    /// - Returns: The other page with what the new side has confirmed of it before; and what could not be settled: it is on both
    ///   sides until it comes again and is recognised.
    /// - Throws: What kept one of the effects from being had.
    @discardableResult
    private func finish(
        _ carried: inout Carried,
        _ hands: Hands,
        _ pass: inout Pass,
        intending load: Load = Load()
    ) async throws -> (load: Load, lost: [String]) {
        if carried.isEmpty, load.isEmpty { return (load, []) }
        var load = load
        var change = carried.change
        change.removed = pass.gone
        load.confirmed = try await note(change, intending: load.intents)
        pass.gone = []
        if carried.isEmpty { return (load, []) }
        try await hands.settle(carried.back, .release)
        let (names, settled) = (carried.names, carried.settled)
        let lost = try await failpoints.around(.settle) { try await hands.settle(settled, .acknowledge) }
        hands.forgetPage()
        // Where nothing of a page is taken, the next one would not be either.
        if carried.change.done.isEmpty || carried.isLast { pass.failure = pass.failure ?? carried.failure }
        carried = Carried()
        let lostNames = lost.map { names[$0] }
        try await journal.tryAgain(lostNames, of: migration)
        pass.gone = lost.isEmpty ? names : names.indices.filter { !lost.contains($0) }.map { names[$0] }
        pass.moved += pass.gone.count
        return (load, lostNames)
    }

    /// Writes down what became of a page, what of the one before has left the old side, and what is to go over.
    private func note(_ change: JournalChange, intending intents: [Intent]) async throws -> Set<String> {
        if change.isEmpty, intents.isEmpty { return [] }
        let effects: [(Failpoint.Effect, Bool)] = [
            (.intend, !intents.isEmpty), (.done, !change.done.isEmpty), (.removed, !change.removed.isEmpty),
        ]
        var write = { () async throws in try await journal.note(change, intending: intents, of: migration) }
        for (effect, happens) in effects where happens {
            write = { [write] () async throws in try await failpoints.around(effect, write) }
        }
        return try await write()
    }

    /// Waits for the page that was taken meanwhile, or takes one; where pages overlap, another one is then taken meanwhile.
    private func next(_ hands: Hands, overlaps: Bool) async throws -> Load {
        let load: Load
        if let taken = try await hands.taken() { load = taken } else { load = try await take(hands) }
        if overlaps, !load.isEmpty { hands.takeAhead { try await take(hands) } }
        return load
    }

    private func take(_ hands: Hands) async throws -> Load {
        let begun = clock.now()
        try await stillOurs()
        let deliveries = try await failpoints.around(.take) {
            if !hands.waits { return try await hands.take(.zero) }
            var found = try await hands.take(Self.patience.short)
            var looks = 0
            while found.isEmpty, looks < Self.looks, try await isReady(hands.group) {
                looks += 1
                found = try await hands.take(Self.patience.long)
            }
            return found
        }
        return Load(deliveries: deliveries, intents: deliveries.map { Intent($0, migration) }, begun: begun)
    }

    private func isReady(_ group: String) async throws(QueueError) -> Bool {
        try await from.queue.statistics(of: queue)[group]?.ready.value ?? 0 > 0
    }

    private func carry(_ page: Load) async throws -> Carried {
        let (load, again, back) = page.parted()
        // What the new side has confirmed before is settled with what it confirms now.
        var carried = Carried(settled: again.receipts, names: again.intents.map(\.id), back: back.receipts)
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
            let (receipt, name) = (load.deliveries[index].receipt, load.intents[index].id)
            switch outcome {
            case .accepted, .duplicate:
                carried.settled.append(receipt)
                carried.names.append(name)
                carried.change.done.append(name)
            case .refused(let error):
                carried.back.append(receipt)
                carried.failure = carried.failure ?? error
                if error.isRetryable {
                    carried.change.left.append(name)
                } else {
                    carried.change.refused.append(JournalChange.Refusal(id: name, reason: error.message))
                }
            case .indeterminate(let error):
                // Its intent stays open: it may have arrived.
                carried.back.append(receipt)
                (carried.failure, carried.isLast) = (error, true)
            }
        }
        return carried
    }
}
#endif
