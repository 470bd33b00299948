#if SQLite
import GRDB
import Messaging

/// What the writer of one client remembers from one transaction to the next.
///
/// Unchecked: it is created with the file and after that touched by transactions only, which all run one after the
/// other on the dispatch queue of the one connection that writes.
final class WriterMemory: @unchecked Sendable {
    /// The version of the topology that `queues` is of; see `mq_meta`.
    var topology: Int64 = -1
    var queues: [String: QueueInfo] = [:]
    /// No lease of a group ends before this; by the group's number.
    var nextExpiry: [Int64: Int64] = [:]
    /// When each consumer of this process was last noted as present; by its token.
    var seen: [UInt32: Int64] = [:]
    /// How many messages were published since the last upkeep.
    var published = 0
    /// The grade that the connection has been set to.
    var synchronous: SQLiteConfiguration.Synchronous?

    /// Forgets what a transaction that was rolled back may have put here.
    func forget() {
        topology = -1
        queues = [:]
        nextExpiry = [:]
        seen = [:]
    }
}

/// One write transaction, shared by the operations that wait for it.
final class Transaction {
    let database: Database
    let writer: WriterMemory
    /// The wall clock at the begin, in milliseconds since 1970.
    let now: Int64
    /// The groups of this process in whose lines somebody is to be woken after the commit.
    private(set) var wakes: Set<Int64> = []
    /// The queues that other processes are told of after the commit.
    private(set) var signals: Set<UInt8> = []
    var isTopologyChecked = false
    /// How many messages were added to or removed from the log of each queue.
    private var stored: [Int64: Int] = [:]

    init(_ database: Database, writer: WriterMemory, now: Int64) {
        self.database = database
        self.writer = writer
        self.now = now
    }

    func prepared(_ sql: String) throws -> Prepared { try Prepared(database, sql) }

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

    /// Writes down what was only counted.
    func flush() throws {
        for (queue, change) in stored where change != 0 {
            try prepared("UPDATE mq_queue SET stored = stored + ? WHERE id = ?").run(.integer(change), .integer(queue))
        }
        stored = [:]
    }
}
#endif
