#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// One hand-over of a message to one consumer.
public struct Delivery: Sendable {
    /// The message.
    public let message: Message
    /// The queue it came from.
    public let queue: String
    /// The group it was delivered to.
    public let group: String
    /// Which delivery of the message to this group it is: 1 for the first.
    ///
    /// It may over-count after a crash, and it never goes back before a redrive.
    public let attempt: Int
    /// What settles or renews this delivery, and nothing else.
    public let receipt: Receipt
    /// When the broker accepted the message, if it knows.
    public let publishedAt: Date?
    /// How often the message was sent through again from the dead letters.
    public let redrives: Int
    /// The failed attempts so far, oldest first, at most the last ten.
    public let history: [Failure]

    /// Creates a delivery; for backends.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - queue: The queue it came from.
    ///   - group: The group it is delivered to.
    ///   - attempt: Which delivery it is, from 1.
    ///   - receipt: What settles this delivery.
    ///   - publishedAt: When the broker accepted the message.
    ///   - redrives: How often it was redriven.
    ///   - history: The failed attempts so far.
    public init(
        message: Message,
        queue: String,
        group: String,
        attempt: Int,
        receipt: Receipt,
        publishedAt: Date? = nil,
        redrives: Int = 0,
        history: [Failure] = []
    ) {
        self.message = message
        self.queue = queue
        self.group = group
        self.attempt = attempt
        self.receipt = receipt
        self.publishedAt = publishedAt
        self.redrives = redrives
        self.history = history
    }
}

/// One failed attempt to handle a message.
public struct Failure: Sendable, Hashable, Codable {
    /// Which attempt failed, from 1.
    public var attempt: Int
    /// When it failed, in milliseconds since 1970 by the broker's clock.
    public var at: Int64
    /// The consumer that had it.
    public var consumer: String
    /// What went wrong, shortened to 1,000 characters.
    public var error: String

    /// Creates a record of a failure.
    ///
    /// - Parameters:
    ///   - attempt: Which attempt failed, from 1.
    ///   - at: When, in milliseconds since 1970.
    ///   - consumer: The consumer that had it.
    ///   - error: What went wrong.
    public init(attempt: Int, at: Int64, consumer: String, error: String) {
        self.attempt = attempt
        self.at = at
        self.consumer = consumer
        self.error = error
    }

    /// Adds a failure to the history of a message; for backends.
    ///
    /// - Parameters:
    ///   - history: The failures so far, oldest first; the latest ones are kept.
    ///   - attempt: Which attempt failed, from 1.
    ///   - date: When, by the broker's clock; now by this machine's unless given.
    ///   - consumer: The consumer that had it.
    ///   - error: What went wrong; it is shortened.
    /// - Returns: The history with this failure.
    public static func history(
        _ history: [Failure],
        adding attempt: Int,
        at date: Date = Date(),
        by consumer: String,
        error: String?
    ) -> [Failure] {
        let time = UnixTime.milliseconds(date)
        let failure = Failure(attempt: attempt, at: time, consumer: consumer, error: shortened(error ?? ""))
        return history.suffix(maxHistory - 1) + [failure]
    }

    /// The longest error text that is kept, in characters.
    package static let maxErrorLength = 1000
    /// How many failures a message carries.
    package static let maxHistory = 10

    /// Shortens an error's text to what a message may carry.
    package static func shortened(_ text: String) -> String {
        text.count <= maxErrorLength ? text : text.prefix(maxErrorLength - 1) + "…"
    }
}

/// Names one delivery to its backend.
///
/// A receipt of a lost lease is refused: it can never settle somebody else's delivery.
public struct Receipt: Sendable, Hashable {
    /// The high half of the backend's position.
    public let high: UInt64
    /// The low half of the backend's position.
    public let low: UInt64
    /// What distinguishes deliveries of the same position: a count, an owner's number or a generation.
    public let fence: UInt32
    /// Which of the backend's sources the position belongs to.
    public let source: UInt32

    /// Creates a receipt; for backends.
    ///
    /// - Parameters:
    ///   - high: The high half of the position.
    ///   - low: The low half of the position.
    ///   - fence: What distinguishes deliveries of the same position.
    ///   - source: Which source the position belongs to.
    public init(high: UInt64, low: UInt64, fence: UInt32, source: UInt32) {
        self.high = high
        self.low = low
        self.fence = fence
        self.source = source
    }

    /// Feeds the position into a hasher: the rest rarely tells two receipts apart, and hashing is most of what a ledger does.
    ///
    /// - Parameter hasher: The hasher.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(high)
        hasher.combine(low)
    }
}
