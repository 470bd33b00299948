#if Kafka
import Messaging

/// What was read of one partition and has not ended.
///
/// An entry keeps its number as long as it is there, and receipts carry that, so nothing is looked up by its offset. A
/// number is used again: whoever has one says which offset or which delivery it means.
struct PartitionEntries {
    /// A delivery that somebody has.
    struct Hold {
        let consumer: UInt32
        /// The number of the delivery.
        let delivery: UInt64
        let attempt: Int
        var expiry: Duration
        /// Its settlement is being written; until that has ended no lease runs out.
        var isSettling = false
    }

    struct Entry {
        var parcel: Parcel
        let offset: Int64
        let timestamp: Int64
        let bytes: Int
        /// Whether it takes none of the room for what waits: a consumer has it, or nobody ever gets it.
        var isOut = false
        /// Whether a copy of what waits is being written: for the group now, or for another level.
        var isMoving = false
        var hold: Hold?

        /// When it was published, in milliseconds since 1970.
        var published: Int64 { parcel.published ?? timestamp }
    }

    /// An entry that waits for its turn.
    struct Ref {
        let offset: Int64
        let number: Int
    }

    private static let nobody = Entry(
        parcel: Parcel(Message(body: [], id: ""), published: nil),
        offset: -1,
        timestamp: 0,
        bytes: 0
    )

    private var entries: [Entry] = []
    /// The offset of each entry, -1 where there is none; apart, because it is searched.
    private var offsets: [Int64] = []
    private var free: [Int] = []

    var count: Int { entries.count - free.count }

    /// The entry of a number that is in use.
    subscript(number: Int) -> Entry {
        get { entries[number] }
        _modify { yield &entries[number] }
    }

    /// - Returns: The number of the new entry.
    mutating func insert(_ entry: Entry) -> Int {
        let offset = entry.offset
        guard let number = free.popLast() else {
            entries.append(entry)
            offsets.append(offset)
            return entries.count - 1
        }
        entries[number] = entry
        offsets[number] = offset
        return number
    }

    mutating func remove(_ number: Int) {
        entries[number] = Self.nobody
        offsets[number] = -1
        free.append(number)
    }

    /// Whether a number is that of an offset still.
    func has(_ number: Int, _ offset: Int64) -> Bool { offsets.indices.contains(number) && offsets[number] == offset }

    /// Whether a number is that of a delivery which is held still.
    func holds(_ number: Int, _ delivery: UInt64) -> Bool {
        entries.indices.contains(number) && entries[number].hold?.delivery == delivery
    }

    func number(of offset: Int64) -> Int? { offset < 0 ? nil : offsets.firstIndex(of: offset) }

    /// The entries that somebody holds, in the order of their offsets.
    func held(_ isWanted: (Hold) -> Bool) -> [Ref] {
        entries.indices.filter { entries[$0].hold.map(isWanted) ?? false }
            .map { Ref(offset: offsets[$0], number: $0) }.sorted { $0.offset < $1.offset }
    }

    /// All entries in the order of their offsets.
    var inOrder: [Ref] {
        offsets.indices.filter { offsets[$0] >= 0 }
            .map { Ref(offset: offsets[$0], number: $0) }.sorted { $0.offset < $1.offset }
    }

    /// When the next lease may run out; what is being settled is looked at again after a second.
    func nextExpiry(now: Duration) -> Duration? {
        var next: Duration?
        for entry in entries {
            guard let hold = entry.hold else { continue }
            let expiry = hold.isSettling ? max(hold.expiry, now + .seconds(1)) : hold.expiry
            next = min(next ?? expiry, expiry)
        }
        return next
    }
}

/// Which deliveries were settled of late, to tell "settled before" from "never yours".
struct SettledDeliveries {
    /// One is forgotten when another is settled that was handed over so many later.
    static let remembered = 8192
    private var deliveries: [(number: UInt64, consumer: UInt32)] = []

    private func place(_ delivery: UInt64) -> Int { Int(delivery % UInt64(Self.remembered)) }

    mutating func insert(_ delivery: UInt64, by consumer: UInt32) {
        if deliveries.isEmpty { deliveries = Array(repeating: (0, 0), count: Self.remembered) }
        deliveries[place(delivery)] = (delivery, consumer)
    }

    func contains(_ delivery: UInt64, by consumer: UInt32) -> Bool {
        !deliveries.isEmpty && deliveries[place(delivery)] == (delivery, consumer)
    }
}
#endif
