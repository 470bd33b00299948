#if SQLite
import GRDB
import Messaging

#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// What the writer of one client remembers from one transaction to the next.
///
/// Unchecked: it is created with the file and after that touched by transactions only, which all run one after the
/// other on the dispatch queue of the one connection that writes.
final class WriterMemory: @unchecked Sendable {
    /// What is broken on purpose.
    let changes: [SQLStatementChange]
    /// The version of the topology that `queues` is of; see `mq_meta`.
    var topology: Int64 = -1
    var queues: [String: QueueInfo] = [:]
    /// No lease of a group ends before this; by the group's number.
    var nextExpiry: [Int64: Int64] = [:]
    /// When each consumer of this process was last noted as present; by its token.
    var seen: [UInt32: Int64] = [:]
    /// Behind which place upkeep looks for old messages next; by the queue's number.
    var trimmed: [Int64: Int64] = [:]
    /// Whether the last transaction was begun at all.
    var hasBegun = false
    /// How many messages were published since the last upkeep.
    var published = 0
    /// The grade that the connection has been set to.
    var synchronous: SQLiteConfiguration.Synchronous?

    /// When the last transaction was, by the wall clock.
    private var last: Int64 = .min

    init(changes: [SQLStatementChange] = []) { self.changes = changes }

    /// Forgets what holds only while the clock goes forward, when it was set back.
    func noteTime(_ now: Int64) {
        if now < last {
            nextExpiry = [:]
            seen = [:]
        }
        last = now
    }

    /// Forgets what a transaction that was rolled back may have put here.
    func forget() {
        topology = -1
        queues = [:]
        nextExpiry = [:]
        seen = [:]
    }
}

/// Dates as the file keeps them, in whole milliseconds since 1970, such that nothing is ever early: the present is
/// rounded down, and what is yet to come is rounded up.
enum FileTime {
    /// A microsecond, in milliseconds: dates are binary fractions, and whole milliseconds are not always met.
    private static let tolerance = 0.001

    static func present(_ date: Date) -> Int64 { whole(date, .down, tolerance) }

    static func future(_ date: Date) -> Int64 { whole(date, .up, -tolerance) }

    private static func whole(_ date: Date, _ rule: FloatingPointRoundingRule, _ tolerance: Double) -> Int64 {
        let value = (date.timeIntervalSince1970 * 1000 + tolerance).rounded(rule)
        // Dates come from outside: they saturate instead of trapping.
        return value.isNaN ? 0 : Int64(Swift.min(Swift.max(value, -9e15), 9e15))
    }
}

/// One write transaction, shared by the operations that wait for it.
final class Transaction {
    let database: Database
    let writer: WriterMemory
    /// The wall clock at the begin, in milliseconds since 1970.
    let now: Int64
    /// The same, rounded up: what delays and leases begin with.
    let start: Int64
    /// The groups of this process in whose lines somebody is to be woken after the commit.
    private(set) var wakes: Set<Int64> = []
    /// The queues that other processes are told of after the commit.
    private(set) var signals: Set<UInt8> = []
    var isTopologyChecked = false
    /// How many messages were added to or removed from the log of each queue.
    private var stored: [Int64: Int] = [:]

    init(_ database: Database, writer: WriterMemory, date: Date) {
        self.database = database
        self.writer = writer
        now = FileTime.present(date)
        start = FileTime.future(date)
        writer.noteTime(now)
    }

    init(_ database: Database, writer: WriterMemory, now: Int64) {
        self.database = database
        self.writer = writer
        self.now = now
        start = now
    }

    /// When a time has passed that begins now.
    func after(_ delay: Int64) -> Int64 { Saturating.sum(start, delay) }

    func prepared(_ sql: String) throws -> Prepared {
        try Prepared(database, writer.changes.isEmpty ? sql : SQLStatementChange.apply(writer.changes, to: sql))
    }

    /// Notes that something became available, or will at a time that nobody knew of, for every group of a queue.
    func wake(_ queue: QueueInfo) {
        for group in queue.groups { wakes.insert(group.id) }
        signals.insert(queue.signal)
    }

    /// Notes the same for one group.
    func wake(_ group: GroupInfo, of queue: QueueInfo) {
        wakes.insert(group.id)
        signals.insert(queue.signal)
    }

    func noteStored(_ change: Int, _ queue: QueueInfo) { stored[queue.id, default: 0] += change }

    /// What was counted and is not written down yet.
    func notedStored(_ queue: QueueInfo) -> Int { stored[queue.id] ?? 0 }

    /// Drops what was counted of a queue that is gone.
    func forgetStored(_ queue: QueueInfo) { stored[queue.id] = nil }

    /// Writes down what was only counted.
    func flush() throws {
        for (queue, change) in stored where change != 0 {
            try prepared("UPDATE mq_queue SET stored = stored + ? WHERE id = ?").run(.integer(change), .integer(queue))
        }
        stored = [:]
    }
}
#endif
