import Messaging

#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// How far a migration is; the order of the cases is the way it goes.
public enum MigrationState: String, Sendable, Hashable, CaseIterable, Codable, Comparable {
    /// The queue is made on the new side, and the ids that the old one remembers are carried over.
    case preparing
    /// Consumers read both sides; everything is still published to the old one.
    case reading
    /// Producers go over to the new side, bucket by bucket.
    case switching
    /// The old side takes no publication any more.
    case closing
    /// What the old side has ready or in flight is handled there, or carried over.
    case draining
    /// Retries that wait, schedules and dead letters are carried over.
    case moving
    /// Both sides are compared.
    case verifying
    /// All is done but for the last word: consumers still read the old side.
    case quarantine
    /// The old side is no longer read. What follows is another migration.
    case finished

    /// Whether one state comes before another.
    public static func < (one: MigrationState, other: MigrationState) -> Bool { one.number < other.number }

    private var number: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}

/// How what is ready leaves the old side.
public enum MigrationMode: String, Sendable, Hashable, CaseIterable, Codable {
    /// Its consumers handle it.
    case drain
    /// It is carried over.
    case bridge
}

/// A migration of one queue, as the journal has it.
public struct Migration: Sendable, Hashable, Codable {
    /// Its id, which no other migration has.
    public var id: String
    /// The queue.
    public var queue: String
    /// Where the queue was at the beginning: a backend without credentials.
    public var source: String
    /// Where it goes: a backend without credentials.
    public var target: String
    /// How what is ready leaves the old side.
    public var mode: MigrationMode
    /// Whether the queue keeps the order per key.
    public var isOrdered: Bool
    /// How far it is.
    public var state: MigrationState
    /// How many percent of the keys are published to the side that the queue goes to.
    public var percent: Int
    /// Grows with every change; who has seen less must not write.
    public var epoch: Int
    /// Grows with every change of direction.
    public var leg: Int
    /// Whether it goes back.
    public var isReversed: Bool
    /// How long a process may go without looking at the journal.
    public var lease: Duration
    /// When it began.
    public var startedAt: Date
    /// When it last changed.
    public var changedAt: Date

    /// Begins a migration.
    ///
    /// - Parameters:
    ///   - id: An id that no other migration has.
    ///   - queue: The queue.
    ///   - source: Where it is, without credentials.
    ///   - target: Where it goes, without credentials.
    ///   - mode: How what is ready leaves the old side.
    ///   - isOrdered: Whether the queue keeps the order per key.
    ///   - lease: How long a process may go without looking at the journal.
    ///   - date: When it begins.
    public init(
        id: String,
        queue: String,
        source: String,
        target: String,
        mode: MigrationMode,
        isOrdered: Bool,
        lease: Duration,
        date: Date
    ) {
        self.id = id
        self.queue = queue
        self.source = source
        self.target = target
        self.mode = mode
        self.isOrdered = isOrdered
        self.lease = lease
        state = .preparing
        percent = 0
        epoch = 1
        leg = 1
        isReversed = false
        startedAt = date
        changedAt = date
    }

    /// The side that the queue leaves at the moment.
    public var from: String { isReversed ? target : source }
    /// The side that the queue goes to at the moment.
    public var to: String { isReversed ? source : target }
    /// Whether it is under way.
    public var isLive: Bool { state != .finished }

    /// Whether a message is published to the side that the queue goes to.
    ///
    /// - Parameter message: The message.
    /// - Returns: Whether its bucket has gone over.
    public func hasGoneOver(_ message: Message) -> Bool {
        if percent >= KeyBucket.count { return true }
        if percent <= 0 { return false }
        let bucket = KeyBucket.of(message)
        // On the way back the buckets return in the opposite order, so that a change of direction moves none.
        return isReversed ? bucket >= KeyBucket.count - percent : bucket < percent
    }

    /// The side that a message is published to.
    ///
    /// - Parameter message: The message.
    /// - Returns: A backend without credentials.
    public func place(of message: Message) -> String { hasGoneOver(message) ? to : from }

    /// The sides that consumers read, the one that the queue leaves first.
    public var readSides: [String] {
        switch state {
        case .finished: [to]
        case .verifying, .quarantine: [from, to]
        // An ordered queue is read on one side at a time: the new one when the old one is empty.
        case .preparing: isOrdered || leg == 1 ? [from] : [from, to]
        case .reading, .switching, .closing, .draining, .moving: isOrdered ? [from] : [from, to]
        }
    }
}
