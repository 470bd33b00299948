#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// A message that one group of a queue has given up on.
public struct DeadLetter: Sendable {
    /// The dead letter's own id, for redrive and discard; opaque.
    public let id: String
    /// The message, byte for byte as it was published.
    public let message: Message
    /// The queue it came from.
    public let queue: String
    /// The group that gave up on it; `nil` when another program wrote the dead letter without naming one.
    public let group: String?
    /// Why it is here.
    public let reason: DeadLetterReason
    /// The last error.
    public let error: String?
    /// How many attempts there were.
    public let attempts: Int
    /// When it became a dead letter.
    public let failedAt: Date?
    /// When the message was published, if the broker knows.
    public let publishedAt: Date?
    /// The failed attempts, oldest first, at most the last ten.
    public let history: [Failure]

    /// Creates a dead letter; for backends.
    ///
    /// - Parameters:
    ///   - id: The dead letter's own id.
    ///   - message: The message.
    ///   - queue: The queue it came from.
    ///   - group: The group that gave up on it.
    ///   - reason: Why it is here.
    ///   - error: The last error.
    ///   - attempts: How many attempts there were.
    ///   - failedAt: When it became a dead letter.
    ///   - publishedAt: When the message was published.
    ///   - history: The failed attempts.
    public init(
        id: String,
        message: Message,
        queue: String,
        group: String?,
        reason: DeadLetterReason,
        error: String?,
        attempts: Int,
        failedAt: Date?,
        publishedAt: Date?,
        history: [Failure]
    ) {
        self.id = id
        self.message = message
        self.queue = queue
        self.group = group
        self.reason = reason
        self.error = error
        self.attempts = attempts
        self.failedAt = failedAt
        self.publishedAt = publishedAt
        self.history = history
    }
}

/// Which dead letters are meant.
///
/// Every condition that is set must hold.
public struct DeadLetterFilter: Sendable, Hashable {
    /// Only those of this group.
    public var group: String?
    /// Only those with this reason.
    public var reason: DeadLetterReason?
    /// Only those whose last error contains this text, without regard to case.
    public var errorContains: String?
    /// Only this message.
    public var messageID: MessageID?

    /// All dead letters.
    public static let all = DeadLetterFilter()

    /// Creates a filter.
    ///
    /// - Parameters:
    ///   - group: Only those of this group.
    ///   - reason: Only those with this reason.
    ///   - errorContains: Only those whose last error contains this text.
    ///   - messageID: Only this message.
    public init(
        group: String? = nil,
        reason: DeadLetterReason? = nil,
        errorContains: String? = nil,
        messageID: MessageID? = nil
    ) {
        self.group = group
        self.reason = reason
        self.errorContains = errorContains
        self.messageID = messageID
    }

    /// Tells whether a dead letter is meant.
    ///
    /// - Parameter letter: The dead letter.
    /// - Returns: Whether every condition holds.
    public func matches(_ letter: DeadLetter) -> Bool {
        if let group, letter.group != group { return false }
        if let reason, letter.reason != reason { return false }
        if let messageID, letter.message.id != messageID { return false }
        if let errorContains {
            return letter.error?.lowercased().contains(errorContains.lowercased()) ?? false
        }
        return true
    }
}

/// A page of a listing, oldest first.
public struct Page<Element: Sendable>: Sendable {
    /// The elements.
    public let elements: [Element]
    /// What to pass as `after` to get the next page; `nil` when this is the last one.
    public let next: String?

    /// Creates a page.
    ///
    /// - Parameters:
    ///   - elements: The elements.
    ///   - next: Where the next page begins.
    public init(_ elements: [Element], next: String?) {
        self.elements = elements
        self.next = next
    }
}

/// A published message whose time has not come.
public struct ScheduledMessage: Sendable {
    /// The message.
    public let message: Message
    /// When it becomes available.
    public let due: Date

    /// Creates a scheduled message; for backends.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - due: When it becomes available.
    public init(message: Message, due: Date) {
        self.message = message
        self.due = due
    }
}
