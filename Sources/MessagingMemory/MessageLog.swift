import DequeModule
import Messaging

#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// The messages of a queue in the order they became available, each for as long as a group or a replay may need it.
struct MessageLog: Sendable {
    struct Entry: Sendable {
        let message: Message
        /// When the queue accepted it.
        let published: Date
        /// When it became available, by the queue's clock.
        let entered: Duration
        /// The only group that gets it, for a redriven message; `nil` means every group.
        let owner: Int?
        /// How many groups have not finished with it.
        var unfinished: Int
        /// How often the last group has finished with it; a replay can open a message again.
        var finishes: UInt32 = 0
    }

    private struct Finished: Sendable {
        let position: UInt64
        let finishes: UInt32
        let until: Duration
    }

    let retention: Duration
    private var entries = SparseLog<Entry>()
    private var finished: Deque<Finished> = []
    /// Whether a message for every group has been removed.
    private(set) var hasRemoved = false

    init(retention: Duration) { self.retention = retention.bounded }

    var count: Int { entries.count }
    /// The position that the next message gets.
    var end: UInt64 { entries.end }

    subscript(position: UInt64) -> Entry? { entries[position] }

    func read<Result>(_ position: UInt64, _ body: (borrowing Entry) -> Result) -> Result? {
        entries.read(position, body)
    }

    func key(at position: UInt64) -> String? { entries.read(position) { $0.message.key } ?? nil }

    /// Adds a message that `readers` groups must finish.
    @discardableResult
    mutating func append(
        _ message: Message,
        published: Date,
        now: Duration,
        readers: Int,
        owner: Int? = nil
    ) -> UInt64 {
        entries.append(
            Entry(message: message, published: published, entered: now, owner: owner, unfinished: readers)
        )
    }

    /// Finds the first message for every group at or after a position.
    func nextShared(from position: UInt64) -> UInt64? {
        var candidate = position
        while let found = entries.next(from: candidate) {
            if entries.read(found, { $0.owner == nil }) == true { return found }
            candidate = found + 1
        }
        return nil
    }

    /// Makes a new group one that must finish everything from a position on.
    ///
    /// - Returns: How many messages that is.
    mutating func addReader(from position: UInt64) -> Int {
        var count = 0
        var candidate = position
        while let found = nextShared(from: candidate) {
            _ = entries.update(found) { $0.unfinished += 1 }
            count += 1
            candidate = found + 1
        }
        return count
    }

    /// Starts the retention of messages before a position that no group ever read.
    mutating func finishUnread(before position: UInt64, now: Duration) {
        var candidate: UInt64 = 0
        while let found = entries.next(from: candidate), found < position {
            _ = entries.update(found) { $0.unfinished += 1 }
            finish(found, now: now)
            candidate = found + 1
        }
    }

    /// Finds the first message that was published at or after a date.
    func position(at date: Date) -> UInt64 {
        var candidate: UInt64 = 0
        while let found = nextShared(from: candidate) {
            if entries.read(found, { $0.published >= date }) == true { return found }
            candidate = found + 1
        }
        return end
    }

    /// Notes that one group needs a message no more.
    mutating func finish(_ position: UInt64, now: Duration) {
        let last: (finishes: UInt32, isShared: Bool)?? = entries.update(position) { entry in
            entry.unfinished -= 1
            guard entry.unfinished == 0 else { return nil }
            entry.finishes &+= 1
            return (entry.finishes, entry.owner == nil)
        }
        guard case let (finishes, isShared)?? = last else { return }
        if retention > .zero, isShared {
            // Leases that ran out are noted after the fact; the order must stay that of time.
            let until = max(now + retention, finished.last?.until ?? .zero)
            finished.append(Finished(position: position, finishes: finishes, until: until))
        } else {
            if isShared { hasRemoved = true }
            entries.remove(position)
        }
    }

    /// Removes what has been finished for the whole retention.
    mutating func expire(now: Duration) {
        while let first = finished.first, first.until <= now {
            finished.removeFirst()
            let isDone = entries.read(first.position) { $0.unfinished == 0 && $0.finishes == first.finishes }
            if isDone == true {
                entries.remove(first.position)
                hasRemoved = true
            }
        }
    }
}
