#if Kafka
import Foundation
import Messaging
import Synchronization

extension KafkaQueue: QueueTransfer {
    /// This client.
    public var transfer: (any QueueTransfer)? { self }
}

// The contract of each member stands in `QueueTransfer`.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension KafkaQueue {
    public func limits() async throws(QueueError) -> TransferLimits {
        try checkOpen()
        return TransferPlan.limits
    }

    // MARK: - Taking out

    public func reserve(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        let entry = try await entry(of: queue)
        let (dead, waiting) = Self.places(ids)
        var done = Set(try await reserve(waiting: waiting, of: entry).map(\.id))
        done.formUnion(try await reserve(dead: dead, of: entry).map { StoredPlace(.dead, 0, $0).id })
        return ids.filter(done.contains)
    }

    public func putBack(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        let entry = try await entry(of: queue)
        let (dead, waiting) = Self.places(ids)
        let book = try await reservations(of: entry)
        let known = waiting.filter { book.reserved[$0] != nil }
        try await tell(.returned, known, queue)
        let (letters, _) = try await self.book(of: entry)
        let held = dead.filter { letters.reserved.contains($0) }
        try await tell(.returned, held, [:], queue)
        let done = Set(known.map(\.id) + held.map { StoredPlace(.dead, 0, $0).id })
        return ids.filter(done.contains)
    }

    public func removeReserved(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        let entry = try await entry(of: queue)
        let (dead, waiting) = Self.places(ids)
        let book = try await reservations(of: entry)
        let verdicts = try await verdicts(waiting.filter { book.reserved[$0] != nil }, book, entry)
        let known = waiting.filter { verdicts[$0] == .reserved }
        try await tell(.moved, known, queue)
        let (letters, _) = try await self.book(of: entry)
        let held = dead.filter { letters.reserved.contains($0) }
        try await tell(.moved, held, try await self.letters(held, of: queue), queue)
        let done = Set(known.map(\.id) + held.map { StoredPlace(.dead, 0, $0).id })
        return ids.filter(done.contains)
    }

    /// What ids name: dead letters by their offsets, and what waits.
    private static func places(_ ids: [String]) -> (dead: [Int64], waiting: [StoredPlace]) {
        let places = Set(ids.compactMap { StoredPlace($0) }).sorted()
        let waiting = places.filter { $0.topic == .scheduled || $0.topic == .delayed }
        return (places.filter { $0.topic == .dead && $0.partition == 0 }.map(\.offset), waiting)
    }

    // MARK: - Writing in

    public func restore(_ messages: [StoredMessage], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        let entry = try await entry(of: queue)
        let groups = Set(entry.definition.groups.map(\.name))
        let restored = state.withLock { $0.restored }
        let (now, spread) = (UnixTime.milliseconds(), Int.random(in: 0..<max(1, entry.partitions)))
        var outcomes = [PublishOutcome](repeating: .duplicate, count: messages.count)
        var orders: [(index: Int, order: KafkaPublisher.Order)] = []
        var meant: Set<String> = []
        for (index, stored) in messages.enumerated() {
            let limit = configuration.maxBodyBytes
            if let problem = TransferPlan.problem(stored, maxBodyBytes: limit, queue: queue, groups: groups) {
                outcomes[index] = .refused(problem)
            } else if !restored.isKnown(stored.id, of: queue), meant.insert(stored.id).inserted {
                let order = TransferPlan.order(
                    stored,
                    queue: queue,
                    partitions: entry.partitions,
                    spread: spread + index,
                    now: now
                )
                orders.append((index, order))
            }
        }
        if orders.isEmpty { return outcomes }
        let reports: [KafkaReport]
        do throws(KafkaFailure) {
            reports = try await broker.publisher.write(orders.map(\.order))
        } catch {
            throw KafkaErrors.error(error, queue: queue, doing: "writing messages in")
        }
        if reports.count == messages.count { try check(reports, queue) }
        for ((index, _), report) in zip(orders, reports) { outcomes[index] = outcome(report, queue) }
        state.withLock { state in
            for (index, _) in orders {
                if case .accepted = outcomes[index] { state.restored.note(messages[index].id, of: queue) }
            }
        }
        return outcomes
    }

    public func forgetRestored(of queue: String) async throws(QueueError) {
        _ = try await entry(of: queue)
        state.withLock { $0.restored.forget(queue) }
    }

    // MARK: - Closing and remembering

    public func setIntake(isOpen: Bool, of queue: String) async throws(QueueError) {
        let entry = try await entry(of: queue)
        if entry.isClosed == isOpen {
            let word = KafkaRegistry.IntakeRecord(intake: entry.made, isOpen: isOpen)
            try await registry.write(word, key: queue, queue: queue)
            _ = try await registry.current()
        }
        if isOpen { return }
        // Whoever has looked before the word was there may rely on that for so long.
        do {
            try await Task.sleep(for: KafkaRegistry.trust)
        } catch {
            throw QueueError(.indeterminate, "closing was cancelled; some may not know it yet", queue: queue)
        }
    }

    public func rememberedIDs(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<RememberedID> {
        try checkOpen()
        throw KafkaProbe.unsupported(.deduplication, queue)
    }

    public func remember(_ ids: [RememberedID], of queue: String) async throws(QueueError) {
        try checkOpen()
        throw KafkaProbe.unsupported(.deduplication, queue)
    }
}
#endif
