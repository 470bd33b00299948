#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// A message as a queue holds it: with its state and everything that must not be lost when it moves elsewhere.
public struct StoredMessage: Sendable, Hashable {
    /// Where in its life a message is, for one group or for all of them.
    public enum State: String, Sendable, Hashable, CaseIterable, Codable {
        /// It waits for a consumer of the group.
        case ready
        /// A consumer of the group holds it.
        case inFlight = "in-flight"
        /// A retry that waits for its time.
        case waiting
        /// It was published for a later time, and no group has got it yet.
        case scheduled
        /// The group has given up on it.
        case dead
        /// It is on its way elsewhere.
        case reserved
    }

    /// Why a message is a dead letter.
    public struct Death: Sendable, Hashable {
        /// Why the group gave up on it.
        public var reason: DeadLetterReason
        /// The last error.
        public var error: String?
        /// When it became a dead letter.
        public var failedAt: Date?

        /// Creates a record.
        ///
        /// - Parameters:
        ///   - reason: Why the group gave up on it.
        ///   - error: The last error.
        ///   - failedAt: When it became a dead letter.
        public init(reason: DeadLetterReason, error: String?, failedAt: Date?) {
            self.reason = reason
            self.error = error
            self.failedAt = failedAt
        }
    }

    /// What names this message in this state to its queue; opaque, and different for each group.
    public var id: String
    /// Where in its life it is; for `reserved` messages, where it was before.
    public var state: State
    /// The group it is for; `nil` means every group.
    public var group: String?
    /// The message; its `due` is not used.
    public var message: Message
    /// When it becomes available, if it is not.
    public var due: Date?
    /// How many deliveries there were to this group.
    public var attempts: Int
    /// How often it was sent again from the dead letters.
    public var redrives: Int
    /// The failed attempts so far, oldest first.
    public var history: [Failure]
    /// When it was published, if the broker knows.
    public var publishedAt: Date?
    /// Why it is a dead letter, if it is one.
    public var death: Death?

    /// Creates a record; for backends.
    ///
    /// - Parameters:
    ///   - id: What names this message in this state to its queue.
    ///   - state: Where in its life it is.
    ///   - group: The group it is for; `nil` means every group.
    ///   - message: The message.
    ///   - due: When it becomes available, if it is not.
    ///   - attempts: How many deliveries there were to this group.
    ///   - redrives: How often it was sent again from the dead letters.
    ///   - history: The failed attempts so far.
    ///   - publishedAt: When it was published.
    ///   - death: Why it is a dead letter, if it is one.
    public init(
        id: String,
        state: State,
        group: String?,
        message: Message,
        due: Date? = nil,
        attempts: Int = 0,
        redrives: Int = 0,
        history: [Failure] = [],
        publishedAt: Date? = nil,
        death: Death? = nil
    ) {
        self.id = id
        self.state = state
        self.group = group
        self.message = message
        self.due = due
        self.attempts = attempts
        self.redrives = redrives
        self.history = history
        self.publishedAt = publishedAt
        self.death = death
    }

    /// Whether it is written in as a dead letter.
    package var isDead: Bool { state == .dead || death != nil }

    /// Why it cannot be written in for its group; `nil` when it can.
    package func groupProblem(among groups: Set<String>, queue: String) -> QueueError? {
        if let group {
            if groups.contains(group) { return nil }
            return QueueError(.notFound, "there is no group '\(group)'; declare it first", queue: queue)
        }
        return isDead ? QueueError(.invalidArgument, "a dead letter must name its group", queue: queue) : nil
    }
}

/// An id that a queue remembers, so that it recognises a message which is published again.
public struct RememberedID: Sendable, Hashable {
    /// The id.
    public var id: MessageID
    /// When it is forgotten.
    public var until: Date

    /// Creates a record.
    ///
    /// - Parameters:
    ///   - id: The id.
    ///   - until: When it is forgotten.
    public init(id: MessageID, until: Date) {
        self.id = id
        self.until = until
    }
}
