#if Kafka
import DequeModule
import HeapModule
import Messaging

/// What a member of a group knows and decides: which messages it has, who holds them, what is committed, without I/O.
///
/// All consumers of one group in one client share one member, so that a group has as many workers as it likes whatever
/// the number of its partitions. Times on the machine's clock are `Duration`s, times of messages are milliseconds since
/// 1970.
struct MemberState {
    /// What a topic is to the group.
    enum Role: Sendable, Equatable {
        /// The queue itself.
        case main
        /// What the group gets again.
        case retry
        /// Messages that were published for later, of all groups.
        case scheduled
        /// What waits for its retry.
        case delayed

        /// What reservations call it; `nil` for what is handed over.
        var reservable: StoredPlace.Topic? {
            switch self {
            case .main, .retry: nil
            case .scheduled: .scheduled
            case .delayed: .delayed
            }
        }

        /// Whether its messages are handed over, rather than moved when their time has come.
        var isDelivered: Bool { self == .main || self == .retry }
    }

    struct Settings: Sendable {
        var queue: String
        var group: String
        /// Which declaration of the queue it is.
        var made: Int64 = 0
        var lease: Duration
        var maxAttempts: Int
        var isKeyed = false
        var roles: [String: Role]
        /// Scheduled messages that were due before this belong to the time before the group; milliseconds since 1970.
        var since: Int64?
        /// The shortest time between two commits.
        var commitInterval: Duration = .milliseconds(100)
        /// Within this time after the broker has last proved this member to be one, nobody else can have its messages.
        var trust: Duration = .seconds(20)
        /// How many messages may wait in memory, besides those that consumers hold.
        var maxBuffered = 10_000
        var maxBufferedBytes = 16 << 20
        /// How many messages of one level may wait in memory for their time.
        var maxWaiting = 1000
    }

    struct Participant {
        let name: String
    }

    /// A call to `receive` that waits.
    struct Waiter {
        let id: UInt64
        let consumer: UInt32
        let max: Int
        let deadline: Duration
    }

    /// The one message in flight while those of a crash are delivered.
    struct Suspect {
        enum Phase: Equatable {
            /// The broker is being told, with the commit of this number.
            case reserving(UInt64)
            case reserved
            case inFlight
        }

        let place: TopicPartition
        let offset: Int64
        var phase: Phase
    }

    /// Something that happens to a message at a time.
    struct Timer: Comparable {
        enum Purpose { case due, back, again }

        /// Milliseconds since 1970.
        let at: Int64
        let place: TopicPartition
        let offset: Int64
        /// The number of its entry.
        let number: Int
        let generation: UInt32
        let purpose: Purpose

        static func < (left: Timer, right: Timer) -> Bool { (left.at, left.offset) < (right.at, right.offset) }
        static func == (left: Timer, right: Timer) -> Bool { (left.at, left.offset) == (right.at, right.offset) }
    }

    /// A copy to be written before the original is finished.
    struct Move: Sendable {
        enum Destination: Sendable, Equatable {
            case retry
            case delay(level: Int)
            case deadLetters
        }

        let place: TopicPartition
        let offset: Int64
        /// The number of its entry.
        let number: Int
        let generation: UInt32
        /// The settlement that asked for it; `nil` when its time did.
        let receipt: Receipt?
        let destination: Destination
        let envelope: Envelope
    }

    let settings: Settings
    var slots: [PartitionSlot] = []
    var slotIndex: [TopicPartition: Int] = [:]
    /// Which partition of now a number in receipts means; -1 for one of others.
    private var slotOfSource: [Int] = []
    /// The partition that the last record was of; the next is often of the same.
    var lastRead: (place: TopicPartition, index: Int)?
    /// Numbers of partitions in receipts; they stay the same for the life of the member.
    private var sources: [TopicPartition: UInt32] = [:]
    private(set) var generation: UInt32 = 0
    var participants: [UInt32: Participant] = [:]
    /// How many deliveries somebody holds.
    var inFlight = 0
    var settled = SettledDeliveries()
    var waiters: [Waiter] = []
    var timers = Heap<Timer>()
    var moves: [Move] = []
    /// Copies that could not be written, until they are tried again.
    var failed: [Move] = []
    var suspect: Suspect?
    /// How many messages were handed over, and where the count began.
    var deliveries: UInt64
    /// The next time a lease may run out.
    var nextExpiry: Duration?
    /// Nothing is handed over: the partitions are about to go.
    var isDraining = false
    var buffered = 0
    var bufferedBytes = 0
    var crowd: Hysteresis
    var byteCrowd: Hysteresis

    // Commits: every change has a number, and a commit covers all up to the one it began at.
    var sequence: UInt64 = 0
    var committed: UInt64 = 0
    var committing: (sequence: UInt64, places: [TopicPartition])?
    var nextCommit: Duration = .zero
    var isUrgent = false
    /// When the broker last proved that this is a member.
    var proof: Duration = .zero
    /// What is due and waits for such a proof.
    var doubtful: [Timer] = []

    /// What is reserved, as far as it was read.
    var reservations = ReservationBook()
    /// Up to where it must have been read before anything that waits is moved.
    var reservationsEnd: Int64 = 0

    /// Creates a member that has nothing yet.
    ///
    /// - Parameters:
    ///   - settings: What it works by.
    ///   - deliveries: Where deliveries are counted from; members of one process that begin far apart never take each
    ///     other's receipts for their own.
    init(_ settings: Settings, deliveries: UInt64 = 0) {
        self.settings = settings
        self.deliveries = deliveries
        crowd = Hysteresis(high: settings.maxBuffered, low: settings.maxBuffered / 2)
        byteCrowd = Hysteresis(high: settings.maxBufferedBytes, low: settings.maxBufferedBytes / 2)
    }

    // MARK: - Partitions

    /// Takes over partitions where others have ended.
    ///
    /// - Parameters:
    ///   - positions: What is committed of each; ``KafkaPosition/none`` for nothing.
    ///   - floors: Where the group begins in partitions of which nothing is committed.
    ///   - words: Where the reservations begin and end.
    ///   - now: The time.
    /// - Returns: Where to read from.
    mutating func assign(
        _ positions: [KafkaPosition],
        floors: [TopicPartition: Int64],
        words: Range<Int64> = 0..<0,
        now: Duration
    ) -> [KafkaPosition] {
        generation &+= 1
        isDraining = false
        proof = now
        removeSlots()
        _ = reservations.begin(at: words.lowerBound)
        reservationsEnd = words.upperBound
        var starts: [KafkaPosition] = []
        for position in positions {
            guard let role = settings.roles[position.place.topic] else { continue }
            let base = position.offset >= 0 ? position.offset : floors[position.place]
            let note = position.offset >= 0 ? CommitNote(position.metadata, base: position.offset) : CommitNote()
            let source = sources[position.place] ?? UInt32(clamping: sources.count)
            sources[position.place] = source
            var slot = PartitionSlot(
                place: position.place,
                role: role,
                source: source,
                generation: generation,
                tracker: PartitionTracker(committed: base, note: role.isDelivered ? note : note.closed),
                crowd: Hysteresis(high: settings.maxWaiting, low: settings.maxWaiting / 2)
            )
            slot.known = note.reservations
            if let topic = role.reservable {
                for run in reservations.moved(topic, position.place.partition, for: settings.group) {
                    slot.tracker.finish(run)
                }
            }
            slot.isDirty = note.isOpen && role.isDelivered
            if slot.isDirty { sequence += 1 }
            slotIndex[position.place] = slots.count
            while slotOfSource.count <= Int(source) { slotOfSource.append(-1) }
            slotOfSource[Int(source)] = slots.count
            slots.append(slot)
            starts.append(KafkaPosition(place: position.place, offset: slot.tracker.base ?? KafkaPosition.beginning))
        }
        return starts
    }

    /// Lets all partitions go: who holds a message has lost it.
    ///
    /// - Parameter isLost: Whether they belong to others already, so that nothing can be committed.
    /// - Returns: The last commit.
    mutating func release(isLost: Bool) -> [KafkaPosition] {
        for index in slots.indices where slots[index].inFlight > 0 {
            for ref in slots[index].entries.held({ _ in true }) { slots[index].tracker.count(ref.offset) }
            slots[index].isDirty = true
            slots[index].inFlight = 0
        }
        inFlight = 0
        suspect = nil
        var commits: [KafkaPosition] = []
        if !isLost {
            for slot in slots where slot.isDirty || slot.tracker.high >= 0 {
                if let position = commit(slot, isOpen: false, suspect: nil) { commits.append(position) }
            }
        }
        removeSlots()
        isDraining = false
        return commits
    }

    private mutating func removeSlots() {
        slots = []
        slotIndex = [:]
        slotOfSource = Array(repeating: -1, count: slotOfSource.count)
        lastRead = nil
        timers = Heap()
        doubtful = []
        moves = []
        failed = []
        nextExpiry = nil
        suspect = nil
        (buffered, bufferedBytes) = (0, 0)
        _ = crowd.update(0)
        _ = byteCrowd.update(0)
    }

    /// The partition that a receipt belongs to, if it has not changed hands since.
    private func slotIndex(of receipt: Receipt) -> Int? {
        guard receipt.source < slotOfSource.count else { return nil }
        let index = slotOfSource[Int(receipt.source)]
        return index >= 0 && slots[index].generation == receipt.fence ? index : nil
    }

    /// The entry of a delivery that a consumer holds still.
    func holding(_ receipt: Receipt, by consumer: UInt32) -> (index: Int, number: Int)? {
        guard let index = slotIndex(of: receipt), let number = Int(exactly: receipt.high),
            slots[index].entries.holds(number, receipt.low), slots[index].entries[number].hold?.consumer == consumer
        else { return nil }
        return (index, number)
    }

    func slotIndex(_ place: TopicPartition, _ generation: UInt32) -> Int? {
        guard let index = slotIndex[place], slots[index].generation == generation else { return nil }
        return index
    }
}
#endif
