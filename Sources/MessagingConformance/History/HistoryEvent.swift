import Messaging

/// A point of a history: its place in the order of all points, and the harness's time.
///
/// The order decides what came before what, also on a manual clock, where much happens at one time; the time decides leases.
package struct HistoryPoint: Sendable, Hashable {
    package let order: Int
    package let time: Duration

    package init(_ order: Int, _ time: Duration) {
        self.order = order
        self.time = time
    }
}

/// One call to a queue or a consumer with its result, or one message of it.
///
/// Whatever the call did it did between `begin` and `end`.
package struct HistoryEvent: Sendable {
    /// What the answer of a call lets one conclude.
    package enum Answer: Sendable, Hashable {
        /// It was done.
        case done
        /// It was not done.
        case notDone(String)
        /// It may have been done: the call failed halfway or has not ended.
        case unknown(String)
    }

    /// What publishing a message said.
    package enum Publication: Sendable, Hashable {
        case accepted
        case duplicate
        case refused(String)
        case unknown(String)

        /// Whether a copy may have entered the queue.
        var isPossible: Bool {
            switch self {
            case .accepted, .unknown: true
            case .duplicate, .refused: false
            }
        }

        /// Whether nobody knows what became of it.
        var isUnknown: Bool {
            if case .unknown = self { true } else { false }
        }
    }

    /// A published message.
    package struct Published: Sendable, Hashable {
        package let id: MessageID
        package let body: Int
        package var key: String?
        /// Whether it has a time of its own.
        package var hasDue: Bool
        /// The place in its batch.
        package var index: Int

        package init(_ id: MessageID, body: Int, key: String? = nil, hasDue: Bool = false, index: Int = 0) {
            self.id = id
            self.body = body
            self.key = key
            self.hasDue = hasDue
            self.index = index
        }
    }

    /// A delivery that a consumer got.
    package struct Delivered: Sendable, Hashable {
        package let id: MessageID
        package let body: Int
        package let attempt: Int
        package var redrives: Int
        package let receipt: Receipt

        package init(_ id: MessageID, body: Int, attempt: Int, redrives: Int = 0, receipt: Receipt) {
            self.id = id
            self.body = body
            self.attempt = attempt
            self.redrives = redrives
            self.receipt = receipt
        }
    }

    /// A member of a group, one per call of `consume`.
    package struct Member: Sendable, Hashable {
        /// A number that no other consumer of the history has.
        package let number: Int
        /// The number of the client that opened it.
        package let client: Int
        package let queue: String
        package let group: String
        package let name: String
        package let lease: Duration
        package let isAtMostOnce: Bool

        package init(
            _ number: Int,
            client: Int,
            queue: String,
            group: String,
            name: String,
            lease: Duration,
            isAtMostOnce: Bool = false
        ) {
            self.number = number
            self.client = client
            self.queue = queue
            self.group = group
            self.name = name
            self.lease = lease
            self.isAtMostOnce = isAtMostOnce
        }
    }

    /// A dead letter that a listing showed.
    package struct Letter: Sendable, Hashable {
        package let letter: String
        package let id: MessageID
        package let group: String?

        package init(_ letter: String, of id: MessageID, group: String?) {
            self.letter = letter
            self.id = id
            self.group = group
        }
    }

    /// What was called.
    package enum Kind: Sendable {
        case declared(QueueDefinition, Answer)
        case published(Published, queue: String, Publication)
        case delivered(Delivered, to: Member)
        /// A `receive` that returned; its deliveries are noted one by one.
        case received(Member)
        /// A `receive` that threw, or has not ended. A cancelled one leaves nothing leased.
        case receiveFailed(Member, isCancelled: Bool, String)
        case settled(Receipt, Settlement, by: Member, SettleAnswer)
        case renewed(Receipt, by: Member, Bool)
        case consumerClosed(Member)
        case clientClosed(Int)
        case listed(Letter, queue: String)
        case redriven(letter: String, queue: String, Answer)
        case discarded(letter: String, queue: String, Answer)
        case cancelled(MessageID, queue: String, Answer)
        /// Something outside of the recorded clients publishes to the queue or consumes it.
        case foreign(queue: String)
        /// A fault of the broker or of the way to it was let loose: a connection may have broken without anybody seeing it.
        case disturbed(String)
    }

    /// What settling a delivery said.
    package enum SettleAnswer: Sendable, Hashable {
        case settled
        case leaseLost
        case alreadySettled
        case unknown(String)
    }

    package let begin: HistoryPoint
    /// When the call returned; the end of time for one that has not.
    package var end: HistoryPoint
    package var kind: Kind

    package init(_ begin: HistoryPoint, _ end: HistoryPoint, _ kind: Kind) {
        self.begin = begin
        self.end = end
        self.kind = kind
    }

    /// Whether this call had returned when the other one began.
    func isBefore(_ other: HistoryEvent) -> Bool { end.order < other.begin.order }

    /// The end of a call that has not ended.
    static let never = HistoryPoint(.max, .seconds(Int64.max))
}
