#if SQLite
import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// What verification found.
public struct MigrationVerification: Sendable, Hashable {
    /// What was carried over and must still be on the new side: retries and schedules that are not due, dead letters.
    public var carried: SetComparison
    /// What is still on the old side, by state; ids, at most some.
    public var leftBehind: [StoredMessage.State: [String]]
    /// What is on both sides for the same group, by its id.
    public var onBothSides: [String]
    /// What is on the new side once more for each time that the journal says it may have been written in again, because a
    /// crash came or an answer did not; ids.
    public var repeated: [String]
    /// What was carried over and may have been handled since, so that its absence proves nothing.
    public var unprovable: Int
    /// What the new side refused, with why.
    public var refused: [(id: String, reason: String)] { refusals.map { ($0.id, $0.reason) } }
    var refusals: [Refused]

    struct Refused: Sendable, Hashable {
        let id: String
        let reason: String
    }

    /// How many messages are not as they should be.
    public var mismatches: Int {
        carried.missing.count + carried.extra.count + carried.duplicate.count + carried.different.count
            + onBothSides.count + refusals.count
    }

    /// Whether everything is as it should be, and the old side is empty.
    public var isSame: Bool { mismatches == 0 && leftBehind.isEmpty }
}

/// Compares what the journal says has gone over with what is there.
struct Verifier: Sendable {
    /// How close to its time a message may be and still be expected where it was put.
    private static let margin: TimeInterval = 5
    private static let sample = 100

    let journal: MigrationJournal
    let migration: Migration
    let from: MigrationSide
    let to: MigrationSide
    let clock: QueueClock
    /// Compares counts instead of sets, for the tests that prove what finds that.
    var comparesCounts = false

    func verify() async throws -> MigrationVerification {
        let now = clock.date()
        // The journal first: what goes over while we look is then there, too.
        let carriedOver = try await intents([.done, .removed])
        let groups = try await groups()
        let listing = try await look(at: to, groups)
        var expected: [VerifiedMessage] = []
        var handled: [VerifiedMessage] = []
        for intent in carriedOver {
            let message = VerifiedMessage(id: intent.messageID, group: intent.group, hash: intent.hash)
            let isLater = intent.due.map { $0 > now.addingTimeInterval(Self.margin) } ?? false
            let isFixed = intent.kind == .dead || isLater && intent.kind != .ready
            if isFixed, !listing.unlisted.contains(intent.kind) {
                expected.append(message)
            } else {
                handled.append(message)
            }
        }
        let refusals = try await intents([.refused])
            .map { MigrationVerification.Refused(id: $0.messageID, reason: $0.reason ?? "no reason") }
        let found = Self.present(listing, fixed: Set(expected.map { Pair($0) }))
        var leftBehind: [StoredMessage.State: [String]] = [:]
        var remaining: [VerifiedMessage] = []
        for (state, group) in MigrationSide.places(groups) + [(.reserved, nil)] {
            // What cannot be listed without disturbing it is left to the figures of the gates.
            guard let messages = try await list(from, state, group) else { continue }
            remaining += messages
            let ids = (leftBehind[state] ?? []) + messages.map(\.id)
            if !ids.isEmpty { leftBehind[state] = Array(ids.prefix(Self.sample)) }
        }
        let there = Set(found.map { Pair($0) })
        let both = Set(remaining.map { Pair($0) }).intersection(there).map(\.id).sorted()
        var carried = compare(expected, handled, found)
        let (repeated, unexcused) = Self.excused(carried.duplicate, try await journal.copies(of: migration))
        carried.duplicate = unexcused
        return MigrationVerification(
            carried: carried,
            leftBehind: leftBehind,
            onBothSides: Array(both.prefix(Self.sample)),
            repeated: repeated,
            unprovable: handled.count,
            refusals: refusals
        )
    }

    /// Tells the second copies that crashes can have made from those that they cannot.
    static func excused(_ copies: [String], _ allowed: [String: Int]) -> (repeated: [String], unexcused: [String]) {
        var (allowed, repeated, unexcused) = (allowed, [String](), [String]())
        for id in copies {
            if let left = allowed[id], left > 0 {
                allowed[id] = left - 1
                repeated.append(id)
            } else {
                unexcused.append(id)
            }
        }
        return (repeated, unexcused)
    }

    private struct Pair: Hashable {
        let id: String
        let group: String?
        init(_ message: VerifiedMessage) { (id, group) = (message.id, message.group) }
    }

    private func compare(
        _ expected: [VerifiedMessage],
        _ handled: [VerifiedMessage],
        _ found: [VerifiedMessage]
    ) -> SetComparison {
        if comparesCounts {
            var result = SetComparison()
            result.matched = min(expected.count, found.count)
            result.missing = Array(repeating: "?", count: max(0, expected.count - found.count))
            return result
        }
        // What may have been handled is right where it still is, and no loss where it is not.
        var present: [Pair: [String]] = [:]
        for message in found { present[Pair(message), default: []].append(message.hash) }
        // What must be there comes first: a message that went over twice, once ready and once dead, may be there once.
        for message in expected { Self.take(message, from: &present) }
        var wanted = expected
        for message in handled {
            if Self.take(message, from: &present) { wanted.append(message) }
        }
        return SetComparison(expected: wanted, found: found, allowsMore: true)
    }

    /// Takes one copy of a message away, rather one with the same content than another; says whether there was one.
    @discardableResult
    private static func take(_ message: VerifiedMessage, from present: inout [Pair: [String]]) -> Bool {
        guard var hashes = present[Pair(message)], !hashes.isEmpty else { return false }
        hashes.remove(at: hashes.firstIndex(of: message.hash) ?? 0)
        present[Pair(message)] = hashes.isEmpty ? nil : hashes
        return true
    }

    /// What a side holds, state by state and group by group.
    private struct Listing {
        var parts: [[VerifiedMessage]] = []
        /// The states that cannot be listed without disturbing them.
        var unlisted: Set<StoredMessage.State> = []
    }

    private func look(at side: MigrationSide, _ groups: [String]) async throws -> Listing {
        var listing = Listing()
        for (state, group) in MigrationSide.places(groups) {
            if let messages = try await list(side, state, group) {
                listing.parts.append(messages)
            } else {
                listing.unlisted.insert(state)
            }
        }
        return listing
    }

    /// What is there, each message as often as it certainly is.
    ///
    /// A message that is handled goes from one state to another while they are listed one after the other, and is then
    /// seen in two of them; only what cannot move is counted in all states together.
    private static func present(_ listing: Listing, fixed: Set<Pair>) -> [VerifiedMessage] {
        var found: [VerifiedMessage] = []
        var moving: [Pair: [VerifiedMessage]] = [:]
        for part in listing.parts {
            for (pair, messages) in Dictionary(grouping: part, by: { Pair($0) }) {
                if fixed.contains(pair) {
                    found += messages
                } else if messages.count > moving[pair]?.count ?? 0 {
                    moving[pair] = messages
                }
            }
        }
        return found + moving.values.joined()
    }

    private func intents(_ states: [Intent.State]) async throws -> [Intent] {
        var found: [Intent] = []
        while true {
            let page = try await journal.intents(of: migration, in: states, after: found.last?.id ?? "")
            if page.isEmpty { return found }
            found += page
        }
    }

    private func groups() async throws -> [String] {
        var names: Set<String> = []
        for side in [to, from] {
            names.formUnion(try await side.existing(migration.queue)?.groups.map(\.name) ?? [])
        }
        return names.sorted()
    }

    /// What a side holds in one state; `nil` when that cannot be listed without disturbing it.
    private func list(
        _ side: MigrationSide,
        _ state: StoredMessage.State,
        _ group: String?
    ) async throws -> [VerifiedMessage]? {
        var found: [VerifiedMessage] = []
        do {
            var pages = try side.pages(state, of: migration.queue, group: group)
            while let page = try await pages.next() {
                found += page.map { stored in
                    VerifiedMessage(
                        id: stored.message.id.rawValue,
                        group: stored.group,
                        hash: CanonicalHash(stored.message).description
                    )
                }
            }
        } catch let error as QueueError where error.code == .unsupported {
            return nil
        }
        return found
    }
}
#endif
