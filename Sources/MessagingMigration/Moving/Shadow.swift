#if SQLite
import Messaging

/// Rehearses a migration: copies everything to a queue beside the real one on the target, compares, and deletes it.
public struct Shadow: Sendable {
    private let source: MigrationSide
    private let target: MigrationSide

    /// Creates a rehearsal.
    ///
    /// - Parameters:
    ///   - source: Where the queue is.
    ///   - target: Where it would go.
    public init(from source: MigrationSide, to target: MigrationSide) {
        self.source = source
        self.target = target
    }

    /// The name of the queue that the copies are in.
    ///
    /// - Parameter queue: The queue.
    /// - Returns: The name.
    public static func name(of queue: String) -> String { "\(queue).shadow" }

    /// Copies, compares and deletes; nothing is handled, and nothing changes on the source.
    ///
    /// - Parameters:
    ///   - queue: The queue.
    ///   - accepted: The names of the losses that are accepted.
    /// - Returns: What differs between the copies and what was copied.
    /// - Throws: `MigrationError` when something forbids the migration, `QueueError` when a side cannot be used or a copy
    ///   was refused.
    public func rehearse(_ queue: String, accepting accepted: Set<String>) async throws -> SetComparison {
        let plan = try await Surveyor(from: source, to: target).plan(queue, mode: .drain)
        try plan.check(accepting: accepted)
        let capabilities = try await target.queue.capabilities()
        try capabilities.require(.deletion, queue: queue)
        guard let definition = try await source.existing(queue) else {
            throw MigrationError(.notFound, "there is no queue '\(queue)' on \(source.label)")
        }
        let name = Self.name(of: queue)
        guard try await target.existing(name) == nil else {
            throw MigrationError(
                .busy,
                "there is a queue '\(name)' on \(target.label) already; 'mq delete \(name)' removes one that was left"
            )
        }
        var shadow = Planner.mapped(definition, on: capabilities)
        shadow.name = name
        // Copies of an ordered queue would wait for one another.
        shadow.ordering = .unordered
        shadow.maxReady = nil
        try await target.queue.declare(shadow)
        do {
            let result = try await copy(queue, to: name, definition.groups.map(\.name))
            _ = try await target.queue.deleteQueue(name)
            return result
        } catch {
            let target = target
            // The copies go even if this task was cancelled; what cannot be deleted is told with the next rehearsal.
            await Task { _ = try? await target.queue.deleteQueue(name) }.value
            throw error
        }
    }

    private func copy(_ queue: String, to name: String, _ groups: [String]) async throws -> SetComparison {
        let run = MessageID.make().rawValue
        var result = SetComparison()
        var ready: [String?: [VerifiedMessage]] = [:]
        for (state, group) in MigrationSide.places(groups) {
            var expected: [VerifiedMessage] = []
            var pages = try source.pages(state, of: queue, group: group, size: Mover.window)
            while let page = try await pages.next() {
                let copies = page.map { copied($0, run, groups) }
                for outcome in try await target.transfer().restore(copies, to: name) {
                    if let error = outcome.error { throw error }
                }
                expected += copies.map(Self.verified)
            }
            // A copy of what is in flight or due is ready.
            if state == .ready || state == .inFlight {
                ready[group, default: []] += expected
            } else {
                result.add(SetComparison(expected: expected, found: try await listing(state, group, name)))
            }
        }
        for (group, expected) in ready {
            result.add(SetComparison(expected: expected, found: try await listing(.ready, group, name)))
        }
        return result
    }

    private func copied(_ stored: StoredMessage, _ run: String, _ groups: [String]) -> StoredMessage {
        var copy = stored
        copy.id = "\(run).\(stored.id)"
        if stored.state == .inFlight { copy.state = .ready }
        if stored.state == .dead, stored.group == nil { copy.group = groups.first }
        return copy
    }

    private static func verified(_ stored: StoredMessage) -> VerifiedMessage {
        let hash = CanonicalHash(stored.message).description
        return VerifiedMessage(id: stored.message.id.rawValue, group: stored.group, hash: hash)
    }

    private func listing(
        _ state: StoredMessage.State,
        _ group: String?,
        _ name: String
    ) async throws -> [VerifiedMessage] {
        var found: [VerifiedMessage] = []
        var pages = try target.pages(state, of: name, group: group)
        while let page = try await pages.next() { found += page.map(Self.verified) }
        return found
    }
}
#endif
