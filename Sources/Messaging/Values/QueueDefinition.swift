#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// The settings of a queue and its groups, as `declare` creates them.
public struct QueueDefinition: Sendable, Hashable {
    /// How messages of one queue are ordered.
    public enum Ordering: Sendable, Hashable {
        /// First in, first out in spirit: retries, redeliveries and parallel consumers change the order.
        case unordered
        /// Messages that share a key are handled one at a time in publish order; a failing key holds only itself.
        case keyed
    }

    /// The queue's name; see ``NameRules``.
    public var name: String
    /// The groups that get every message.
    public var groups: [GroupDefinition]
    /// How long an id is remembered: publishing it again within this time adds nothing.
    ///
    /// Zero turns it off.
    public var dedupeWindow: Duration
    /// How long after its publication a message stays for replay, at least, although every group has finished it.
    ///
    /// Unfinished ones are never removed.
    public var retention: Duration
    /// The largest number of messages ready for the slowest group; publishing more is refused.
    ///
    /// `nil` means no bound.
    public var maxReady: Int?
    /// How messages are ordered.
    public var ordering: Ordering

    /// Creates a definition.
    ///
    /// - Parameters:
    ///   - name: The queue's name.
    ///   - groups: The groups that get every message.
    ///   - dedupeWindow: How long an id is remembered; zero turns it off. One hour by default.
    ///   - retention: How long after its publication a finished message stays for replay; zero by default.
    ///   - maxReady: The largest number of ready messages; `nil`, the default, means no bound.
    ///   - ordering: How messages are ordered.
    public init(
        _ name: String,
        groups: [GroupDefinition] = [],
        dedupeWindow: Duration = .seconds(3600),
        retention: Duration = .zero,
        maxReady: Int? = nil,
        ordering: Ordering = .unordered
    ) {
        self.name = name
        self.groups = groups
        self.dedupeWindow = dedupeWindow
        self.retention = retention
        self.maxReady = maxReady
        self.ordering = ordering
    }

    /// Checks the values that do not depend on a backend.
    ///
    /// - Throws: `QueueError` with the code `invalidName` for a name that ``NameRules`` forbids, and
    ///   `invalidArgument` for a lease under 10 ms, fewer than one attempt, a negative time, a bound below one or a
    ///   group that is listed twice.
    public func validate() throws(QueueError) {
        try NameRules.validate(queue: name)
        var seen = Set<String>()
        for group in groups {
            try NameRules.validate(group: group.name, queue: name)
            guard seen.insert(group.name).inserted else {
                throw QueueError(.invalidArgument, "group '\(group.name)' is listed twice", queue: name)
            }
            guard group.lease >= .milliseconds(10), group.lease <= .seconds(86400 * 30) else {
                throw QueueError(
                    .invalidArgument,
                    "the lease of group '\(group.name)' must be 10 ms to 30 days",
                    queue: name
                )
            }
            guard group.maxAttempts >= 1 else {
                throw QueueError(
                    .invalidArgument,
                    "maxAttempts of group '\(group.name)' must be at least 1",
                    queue: name
                )
            }
        }
        guard dedupeWindow >= .zero, retention >= .zero else {
            throw QueueError(.invalidArgument, "dedupeWindow and retention cannot be negative", queue: name)
        }
        guard maxReady ?? 1 >= 1 else {
            throw QueueError(.invalidArgument, "maxReady must be at least 1", queue: name)
        }
    }
}

/// A named subscription of a queue: each group gets every message, its consumers share them.
public struct GroupDefinition: Sendable, Hashable {
    /// Where a new group begins in what the queue still holds.
    public enum Start: Sendable, Hashable {
        /// At the oldest message that the queue holds.
        case earliest
        /// At the next message that is published.
        case latest
        /// At the first message published at or after a time, which is refused with `positionTrimmed` when messages
        /// after it may have been removed already.
        case at(Date)
    }

    /// The group's name; see ``NameRules``.
    public var name: String
    /// Where a new group begins.
    ///
    /// An existing group keeps its position, whatever this says.
    public var start: Start
    /// How long a delivery belongs to its consumer before another one may take it over.
    public var lease: Duration
    /// How often a message may be delivered before it goes to the dead letters without being delivered again.
    ///
    /// It catches messages that kill their consumer; failures that a worker sees are counted by its retry policy.
    public var maxAttempts: Int

    /// Creates a definition.
    ///
    /// - Parameters:
    ///   - name: The group's name.
    ///   - start: Where a new group begins; `.earliest` by default.
    ///   - lease: How long a delivery belongs to its consumer; 30 s by default.
    ///   - maxAttempts: How often a message may be delivered; 10 by default.
    public init(_ name: String, start: Start = .earliest, lease: Duration = .seconds(30), maxAttempts: Int = 10) {
        self.name = name
        self.start = start
        self.lease = lease
        self.maxAttempts = maxAttempts
    }
}
