import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// What moves a migration on.
public enum MigrationEvent: Sendable, Hashable {
    /// The new side has all that it needs.
    case prepared
    /// So many percent of the keys are to be published to the new side.
    case raise(Int)
    /// The old side is to take no publication any more.
    case close
    /// The old side takes no publication any more.
    case closed
    /// Nothing is ready or in flight on the old side.
    case drained
    /// Nothing is left on the old side.
    case moved
    /// Both sides were compared.
    case verified
    /// The old side is no longer to be read.
    case finish
    /// The queue is to go back.
    case turnBack
}

/// What the gates look at.
public struct MigrationFacts: Sendable, Hashable {
    /// The time.
    public var date: Date
    /// The processes that take part and have not seen the last change.
    public var behind: [String]
    /// The processes that take part and have not told what became of the last step: only what they say half a lease after
    /// it counts.
    public var silent: [String]
    /// What the old side holds, by state; `nil` for what cannot be told.
    public var left: [StoredMessage.State: Int?]
    /// How many messages are on their way.
    public var openIntents: Int
    /// How many messages differ.
    public var mismatches: Int
    /// What became of publications to the new side lately.
    public var lately: PublicationCount
    /// The most messages that a group has ready on the new side; `nil` when that was not asked or cannot be told.
    public var lag: Int?
    /// How well the new side must do before more producers go over to it.
    public var limits: MigrationLimits

    /// Creates facts.
    ///
    /// - Parameters:
    ///   - date: The time.
    ///   - behind: The processes that have not seen the last change.
    ///   - silent: The processes that have not told what became of the last step.
    ///   - left: What the old side holds, by state.
    ///   - openIntents: How many messages are on their way.
    ///   - mismatches: How many messages differ.
    ///   - lately: What became of publications to the new side lately.
    ///   - lag: The most messages that a group has ready on the new side.
    ///   - limits: How well the new side must do before more producers go over to it.
    public init(
        date: Date,
        behind: [String] = [],
        silent: [String] = [],
        left: [StoredMessage.State: Int?] = [:],
        openIntents: Int = 0,
        mismatches: Int = 0,
        lately: PublicationCount = PublicationCount(),
        lag: Int? = nil,
        limits: MigrationLimits = MigrationLimits()
    ) {
        self.date = date
        self.behind = behind
        self.silent = silent
        self.left = left
        self.openIntents = openIntents
        self.mismatches = mismatches
        self.lately = lately
        self.lag = lag
        self.limits = limits
    }

    /// What is left in some states, in words; `nil` when nothing is.
    func rest(_ states: [StoredMessage.State]) -> String? {
        let parts = states.compactMap { state -> String? in
            guard let count = left[state] else { return nil }
            guard let count else { return "what is \(state.rawValue) cannot be counted" }
            return count == 0 ? nil : "\(count) \(state.rawValue)"
        }
        return parts.isEmpty ? nil : parts.joined(separator: ", ")
    }
}

/// Why a migration does not move on.
public struct MigrationRefusal: Error, Sendable, Hashable, CustomStringConvertible {
    /// What is missing.
    public let description: String
    /// Whether it can come by itself.
    public let canWait: Bool

    /// Creates a refusal.
    ///
    /// - Parameters:
    ///   - description: What is missing.
    ///   - canWait: Whether it can come by itself.
    public init(_ description: String, canWait: Bool) {
        self.description = description
        self.canWait = canWait
    }
}

extension Migration {
    /// Decides what an event makes of a migration.
    ///
    /// - Parameters:
    ///   - event: The event.
    ///   - facts: What the gates look at.
    /// - Returns: The migration with a higher epoch.
    /// - Throws: `MigrationRefusal` when the event is not possible now, or a gate is shut.
    public func after(_ event: MigrationEvent, _ facts: MigrationFacts) throws(MigrationRefusal) -> Migration {
        var next = self
        next.epoch += 1
        next.changedAt = facts.date
        switch (event, state) {
        case (.prepared, .preparing): next.state = .reading
        case (.raise(let percent), .reading), (.raise(let percent), .switching):
            guard percent > self.percent, percent <= KeyBucket.count else {
                throw MigrationRefusal("\(percent) % is not more than \(self.percent) %", canWait: false)
            }
            guard !isOrdered || percent == KeyBucket.count else {
                throw MigrationRefusal("an ordered queue goes over with all keys at once", canWait: false)
            }
            try requireEverybody(facts)
            // Who came before the migration and has no lease in the journal has looked into it by then, and what became of
            // the publications of a step is known.
            try requireLease(facts)
            try requireHealth(facts)
            next.state = .switching
            next.percent = percent
        case (.close, .reading), (.close, .switching):
            guard percent == KeyBucket.count else {
                throw MigrationRefusal("only \(percent) % of the keys have gone over", canWait: false)
            }
            try requireEverybody(facts)
            try requireLease(facts)
            try requireHealth(facts)
            next.state = .closing
        case (.closed, .closing):
            try requireEverybody(facts)
            try requireLease(facts)
            next.state = .draining
        case (.drained, .draining):
            // Retries of an ordered queue hold their keys and are not moved.
            try requireNothing(isOrdered ? [.ready, .inFlight, .waiting] : [.ready, .inFlight], facts)
            next.state = .moving
        case (.moved, .moving):
            try requireNothing(StoredMessage.State.allCases, facts)
            guard facts.openIntents == 0 else {
                throw MigrationRefusal("\(facts.openIntents) messages are on their way", canWait: true)
            }
            next.state = .verifying
        case (.verified, .verifying):
            guard facts.mismatches == 0 else {
                throw MigrationRefusal("\(facts.mismatches) messages differ; see 'mq migrate verify'", canWait: false)
            }
            next.state = .quarantine
        case (.finish, .quarantine):
            try requireNothing(StoredMessage.State.allCases, facts)
            next.state = .finished
        case (.turnBack, .preparing), (.turnBack, .reading), (.turnBack, .switching), (.turnBack, .closing),
            (.turnBack, .draining), (.turnBack, .moving), (.turnBack, .verifying), (.turnBack, .quarantine):
            try turnBack(&next, facts)
        default:
            throw MigrationRefusal("a migration that is \(state.rawValue) cannot do that", canWait: false)
        }
        return next
    }

    private func turnBack(_ next: inout Migration, _ facts: MigrationFacts) throws(MigrationRefusal) {
        guard facts.openIntents == 0 else {
            throw MigrationRefusal("\(facts.openIntents) messages are on their way", canWait: true)
        }
        if isOrdered, percent > 0, state < .verifying {
            throw MigrationRefusal(
                "an ordered queue can turn back before its producers go over and after the old side is empty; "
                    + "let 'mq migrate apply' go on until then",
                canWait: false
            )
        }
        next.isReversed.toggle()
        next.leg += 1
        next.percent = KeyBucket.count - percent
        // What nobody was told to write to is empty: the way back of an ordered queue is then done.
        next.state = isOrdered && percent == 0 ? .verifying : .preparing
    }

    private func requireEverybody(_ facts: MigrationFacts) throws(MigrationRefusal) {
        guard facts.behind.isEmpty else {
            throw MigrationRefusal(
                "\(facts.behind.sorted().joined(separator: ", ")) have not seen the last step",
                canWait: true
            )
        }
    }

    private func requireLease(_ facts: MigrationFacts) throws(MigrationRefusal) {
        guard facts.date >= changedAt.addingTimeInterval(lease / .seconds(1)) else {
            throw MigrationRefusal("the lease of those that have not looked runs on", canWait: true)
        }
    }

    /// Whether the new side does well with what it has been given so far.
    private func requireHealth(_ facts: MigrationFacts) throws(MigrationRefusal) {
        guard facts.silent.isEmpty else {
            throw MigrationRefusal(
                "\(facts.silent.sorted().joined(separator: ", ")) have not told what became of the last step",
                canWait: true
            )
        }
        let (lately, limits) = (facts.lately, facts.limits)
        guard Double(lately.failed) <= limits.maxErrors * Double(lately.attempted) else {
            throw MigrationRefusal(
                "\(lately.failed) of the last \(lately.attempted) publications to \(to) failed; the producers' logs say why",
                canWait: true
            )
        }
        guard let most = limits.maxLag else { return }
        guard let lag = facts.lag else {
            throw MigrationRefusal("how much is ready on \(to) cannot be told", canWait: true)
        }
        guard lag <= most else {
            throw MigrationRefusal("a group has \(lag) messages ready on \(to), more than \(most)", canWait: true)
        }
    }

    private func requireNothing(
        _ states: [StoredMessage.State],
        _ facts: MigrationFacts
    ) throws(MigrationRefusal) {
        if let rest = facts.rest(states) { throw MigrationRefusal("the old side has \(rest)", canWait: true) }
    }
}
