import Crypto
import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// Looks at both sides without changing anything, and makes the plan.
public struct Surveyor: Sendable {
    /// The most ids that a line of a plan names.
    static let sample = 20

    private let source: MigrationSide
    private let target: MigrationSide
    private let clock: QueueClock

    /// Creates a surveyor.
    ///
    /// - Parameters:
    ///   - source: Where the queue is.
    ///   - target: Where it goes.
    ///   - clock: What time it is and how long listing takes.
    public init(from source: MigrationSide, to target: MigrationSide, clock: QueueClock = .system) {
        self.source = source
        self.target = target
        self.clock = clock
    }

    /// Makes a plan; nothing is written on either side.
    ///
    /// - Parameters:
    ///   - queue: The queue.
    ///   - mode: How what is ready is to leave the old side.
    ///   - allowsTarget: Whether the target may hold messages already, as on the way back.
    /// - Returns: The plan.
    /// - Throws: `MigrationError` with the kind `notFound` when the source has no such queue, `QueueError` when a side
    ///   cannot be asked, `CancellationError`.
    public func plan(
        _ queue: String,
        mode: MigrationMode = .drain,
        allowsTarget: Bool = false
    ) async throws -> MigrationPlan {
        guard source.label != target.label else {
            throw MigrationError(.otherSide, "both sides are \(source.label); give another --to")
        }
        guard let definition = try await source.existing(queue) else {
            throw MigrationError(.notFound, "there is no queue '\(queue)' on \(source.label)")
        }
        let (sourceCan, targetCan) = (try await source.queue.capabilities(), try await target.queue.capabilities())
        var facts = PlannerFacts(
            queue: queue,
            definition: definition,
            inventory: Inventory(
                definition: Self.words(definition),
                groups: definition.groups.map(\.name),
                entries: [],
                remembered: nil
            ),
            source: sourceCan,
            target: targetCan,
            existing: nil,
            sourceTransfers: source.queue.transfer != nil,
            targetTransfers: target.queue.transfer != nil,
            mode: mode
        )
        if let transfer = target.queue.transfer { facts.targetLimits = try await transfer.limits() }
        facts.existing = try await target.existing(queue)
        if facts.existing != nil, !allowsTarget, facts.targetTransfers {
            facts.existingMessages = try await target.left(of: queue).values.reduce(0) { $0 + ($1 ?? 0) }
        }
        let began = clock.now()
        let listed = try await list(&facts)
        let took = (clock.now() - began) / .seconds(1)
        facts.inventory.remembered = try await remembered(queue)
        let moved = StoredMessage.State.allCases.filter { $0 != .inFlight && (mode == .bridge || $0 != .ready) }
            .reduce(0) { $0 + (facts.inventory.count($1) ?? 0) }
        return MigrationPlan(
            queue: queue,
            from: source.label,
            to: target.label,
            madeAt: clock.date(),
            inventory: facts.inventory,
            items: Planner.items(facts),
            estimatedSeconds: try await estimate(moved, queue, perMessage: listed == 0 ? 0 : took / Double(listed))
        )
    }

    /// The settings in words, for comparing.
    static func words(_ definition: QueueDefinition) -> String {
        let groups = definition.groups.sorted { $0.name < $1.name }
            .map { "\($0.name) \($0.lease) \($0.maxAttempts)" }
        let bound = definition.maxReady.map(String.init) ?? "none"
        return "dedupe \(definition.dedupeWindow), retention \(definition.retention), bound \(bound), "
            + "\(definition.ordering), groups: \(groups.joined(separator: ", "))"
    }

    /// Lists every state, and returns how many messages were listed.
    private func list(_ facts: inout PlannerFacts) async throws -> Int {
        var listed = 0
        guard facts.sourceTransfers else { return 0 }
        for (state, group) in MigrationSide.places(facts.inventory.groups) {
            let found = try await list(state, group, facts)
            facts.inventory.entries.append(found.entry)
            listed += found.listed
            facts.refusedCount += found.refused.count
            facts.refused += found.refused.prefix(max(0, Self.sample - facts.refused.count))
            facts.groupless += found.groupless.prefix(max(0, Self.sample - facts.groupless.count))
            if let reason = found.unlisted { facts.unlisted.append((state, reason)) }
        }
        return listed
    }

    /// What was found in one state.
    private struct Found {
        var entry: Inventory.Entry
        var listed = 0
        var refused: [(id: String, reason: String)] = []
        var groupless: [String] = []
        var unlisted: String?
    }

    private func list(_ state: StoredMessage.State, _ group: String?, _ facts: PlannerFacts) async throws -> Found {
        var found = Found(entry: Inventory.Entry(state: state, group: group, count: 0))
        var lines: [String] = []
        do {
            var pages = try source.pages(state, of: facts.queue, group: group)
            while let page = try await pages.next() {
                for stored in page {
                    lines.append("\(stored.message.id.rawValue) \(CanonicalHash(stored.message))")
                    note(stored, state, facts, &found)
                }
            }
        } catch let error as QueueError where error.code == .unsupported {
            found.unlisted = error.message
            let figure = try await source.left(of: facts.queue)[state] ?? nil
            found.entry.count = facts.inventory.groups.count == 1 || group == nil ? figure : nil
            found.entry.grade = "estimate"
            return found
        }
        found.listed = lines.count
        found.entry.count = lines.count
        found.entry.digest = Self.digest(&lines)
        return found
    }

    private func note(
        _ stored: StoredMessage,
        _ state: StoredMessage.State,
        _ facts: PlannerFacts,
        _ found: inout Found
    ) {
        found.entry.bytes += stored.message.body.count
        if let date = stored.publishedAt { found.entry.oldest = min(found.entry.oldest ?? date, date) }
        if let due = stored.due { found.entry.latestDue = max(found.entry.latestDue ?? due, due) }
        let id = stored.message.id.rawValue
        if state == .dead, stored.group == nil { found.groupless.append(id) }
        let limit = facts.target.maxBodyBytes
        if let problem = MessageRules.problem(stored.message, maxBodyBytes: limit, queue: facts.queue) {
            found.refused.append((id, problem.message))
        }
    }

    private static func digest(_ lines: inout [String]) -> String {
        lines.sort()
        var hash = SHA256()
        for line in lines { hash.update(data: Array("\(line)\n".utf8)) }
        return CanonicalHash.hexadecimal(hash.finalize())
    }

    private func remembered(_ queue: String) async throws -> Int? {
        guard let transfer = source.queue.transfer else { return nil }
        var count = 0
        var cursor: String?
        do {
            repeat {
                try Task.checkCancellation()
                let page = try await transfer.rememberedIDs(of: queue, after: cursor, limit: 1000)
                count += page.elements.count
                cursor = page.next
            } while cursor != nil
        } catch let error as QueueError where error.code == .unsupported {
            return nil
        }
        return count
    }

    /// Each message is listed twice, and each batch waits for both sides a few times; writing costs more than asking.
    private func estimate(_ messages: Int, _ queue: String, perMessage: Double) async throws -> Double? {
        guard messages > 0 else { return 0 }
        let began = clock.now()
        for _ in 0..<3 {
            _ = try await source.existing(queue)
            _ = try await target.existing(queue)
        }
        let trip = (clock.now() - began) / .seconds(1) / 3
        let batches = (Double(messages) / Double(MigrationSide.window)).rounded(.up)
        return Double(messages) * perMessage * 3 + batches * trip * 6
    }
}
