#if Kafka
import DequeModule
import Messaging

/// A partition that belongs to this member.
struct PartitionSlot {
    typealias Ref = PartitionEntries.Ref

    /// The messages of one key: the one whose turn it is, and what waits behind it.
    struct Lane {
        var turn: Int64
        var waiting = Deque<Ref>()
    }

    let place: TopicPartition
    let role: MemberState.Role
    let source: UInt32
    let generation: UInt32
    var tracker: PartitionTracker
    var entries = PartitionEntries()
    /// What was read and never handed over, in order.
    var fresh = Deque<Ref>()
    /// What came back, in order.
    var returned = Deque<Ref>()
    /// Keys that have a message ready, in flight or waiting for its retry, and more behind it.
    var lanes: [String: Lane] = [:]
    var inFlight = 0
    var isDirty = false
    var isPaused = false
    var crowd: Hysteresis
    /// Up to where the reservations are known and kept to, as it is committed.
    var known: Int64 = 0
    /// What is reserved and was being moved when that was said: it goes where it goes.
    var contested: Set<Int64> = []

    /// The next entry that could be handed over.
    var head: Ref? {
        guard let back = returned.first else { return fresh.first }
        guard let new = fresh.first, new.offset < back.offset else { return back }
        return new
    }

    mutating func popHead() -> Ref? {
        guard let back = returned.first else { return fresh.popFirst() }
        guard let new = fresh.first, new.offset < back.offset else { return returned.popFirst() }
        return fresh.popFirst()
    }

    mutating func putBack(_ ref: Ref) {
        var (low, high) = (0, returned.count)
        while low < high {
            let middle = (low + high) / 2
            if returned[middle].offset <= ref.offset { low = middle + 1 } else { high = middle }
        }
        returned.insert(ref, at: low)
    }
}
#endif
