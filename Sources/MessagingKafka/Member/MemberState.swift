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

    struct Item {
        var envelope: Envelope
        var timestamp: Int64
        var bytes: Int
        /// Whether it takes none of the room for what waits: a consumer has it, or nobody ever gets it.
        var isOut = false
    }

    /// The messages of one key: the one whose turn it is, and what waits behind it.
    struct Lane {
        var turn: Int64
        var waiting = Deque<Int64>()
    }

    /// A partition that belongs to this member.
    struct Slot {
        let place: TopicPartition
        /// What messages of other programs are called after.
        let name: String
        let role: Role
        let source: UInt32
        let generation: UInt32
        var tracker: PartitionTracker
        /// What was read and has not ended.
        var items: [Int64: Item] = [:]
        /// What was read and never handed over, in order.
        var fresh = Deque<Int64>()
        /// What came back, in order.
        var returned: [Int64] = []
        /// Keys that have a message ready, in flight or waiting for its retry, and more behind it.
        var lanes: [[UInt8]: Lane] = [:]
        var inFlight = 0
        var isDirty = false
        var isPaused = false
        var crowd: Hysteresis
        /// What is on its way to another level.
        var hopping: Set<Int64> = []

        /// The next offset that could be handed over.
        var head: Int64? {
            switch (returned.first, fresh.first) {
            case (let back?, let new?): min(back, new)
            case (let back?, nil): back
            case (nil, let new): new
            }
        }

        mutating func popHead() -> Int64? {
            guard let head else { return nil }
            if returned.first == head { returned.removeFirst() } else { fresh.removeFirst() }
            return head
        }

        mutating func putBack(_ offset: Int64) {
            let index = returned.firstIndex { $0 > offset } ?? returned.endIndex
            returned.insert(offset, at: index)
        }
    }

    /// A delivery that somebody has.
    struct Held {
        let consumer: UInt32
        let offset: Int64
        let attempt: Int
        var expiry: Duration
        /// Its settlement is being written; until that has ended no lease runs out.
        var isSettling = false
    }

    struct Participant {
        let name: String
        var ledger = SettlementLedger()
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
        let generation: UInt32
        /// The settlement that asked for it; `nil` when its time did.
        let receipt: Receipt?
        let destination: Destination
        let envelope: Envelope
    }

    let settings: Settings
    var slots: [Slot] = []
    var slotIndex: [TopicPartition: Int] = [:]
    private var slotOfSource: [UInt32: Int] = [:]
    /// The partition that the last record was of; the next is often of the same.
    private var lastRead: (place: TopicPartition, index: Int)?
    /// Numbers of partitions in receipts; they stay the same for the life of the member.
    private var sources: [TopicPartition: UInt32] = [:]
    private(set) var generation: UInt32 = 0
    var participants: [UInt32: Participant] = [:]
    var inFlight: [Receipt: Held] = [:]
    var waiters: [Waiter] = []
    var timers = Heap<Timer>()
    var moves: [Move] = []
    /// Copies that could not be written, until they are tried again.
    var failed: [Move] = []
    var suspect: Suspect?
    var deliveries: UInt64 = 0
    /// The next time a lease may run out.
    var nextExpiry: Duration?
    /// Nothing is handed over: the partitions are about to go.
    var isDraining = false
    var buffered = 0
    var bufferedBytes = 0
    private var crowd: Hysteresis
    private var byteCrowd: Hysteresis

    // Commits: every change has a number, and a commit covers all up to the one it began at.
    var sequence: UInt64 = 0
    var committed: UInt64 = 0
    var committing: (sequence: UInt64, places: [TopicPartition])?
    var nextCommit: Duration = .zero
    var isUrgent = false
    /// When the broker last proved that this is a member.
    var proof: Duration = .zero

    init(_ settings: Settings) {
        self.settings = settings
        crowd = Hysteresis(high: settings.maxBuffered, low: settings.maxBuffered / 2)
        byteCrowd = Hysteresis(high: settings.maxBufferedBytes, low: settings.maxBufferedBytes / 2)
    }

    // MARK: - Partitions

    /// Takes over partitions where others have ended.
    ///
    /// - Parameters:
    ///   - positions: What is committed of each; ``KafkaPosition/none`` for nothing.
    ///   - floors: Where the group begins in partitions of which nothing is committed.
    ///   - now: The time.
    /// - Returns: Where to read from.
    mutating func assign(
        _ positions: [KafkaPosition],
        floors: [TopicPartition: Int64],
        now: Duration
    ) -> [KafkaPosition] {
        generation &+= 1
        isDraining = false
        proof = now
        removeSlots()
        var starts: [KafkaPosition] = []
        for position in positions {
            guard let role = settings.roles[position.place.topic] else { continue }
            let base = position.offset >= 0 ? position.offset : floors[position.place]
            let note = position.offset >= 0 ? CommitNote(position.metadata, base: position.offset) : CommitNote()
            let source = sources[position.place] ?? UInt32(clamping: sources.count)
            sources[position.place] = source
            var slot = Slot(
                place: position.place,
                name: KafkaNames.decoded(position.place.topic),
                role: role,
                source: source,
                generation: generation,
                tracker: PartitionTracker(committed: base, note: role.isDelivered ? note : note.closed),
                crowd: Hysteresis(high: settings.maxWaiting, low: settings.maxWaiting / 2)
            )
            slot.isDirty = note.isOpen && role.isDelivered
            if slot.isDirty { sequence += 1 }
            slotIndex[position.place] = slots.count
            slotOfSource[source] = slots.count
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
        for (receipt, held) in inFlight {
            participants[held.consumer]?.ledger.lose(receipt)
            if let index = slotIndex(of: receipt) {
                slots[index].tracker.count(held.offset)
                slots[index].isDirty = true
            }
        }
        inFlight = [:]
        for index in slots.indices { slots[index].inFlight = 0 }
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
        slotOfSource = [:]
        lastRead = nil
        timers = Heap()
        moves = []
        failed = []
        nextExpiry = nil
        suspect = nil
        (buffered, bufferedBytes) = (0, 0)
        _ = crowd.update(0)
        _ = byteCrowd.update(0)
    }

    /// The partition that a receipt belongs to, if it has not changed hands since.
    func slotIndex(of receipt: Receipt) -> Int? {
        guard let index = slotOfSource[receipt.source], slots[index].generation == receipt.fence else { return nil }
        return index
    }

    func slotIndex(_ place: TopicPartition, _ generation: UInt32) -> Int? {
        guard let index = slotIndex[place], slots[index].generation == generation else { return nil }
        return index
    }

    // MARK: - Reading

    /// Takes in a record that was read.
    mutating func add(_ record: KafkaRecord, of place: TopicPartition, wall: Int64) {
        if lastRead?.place != place { lastRead = slotIndex[place].map { (place, $0) } }
        guard let index = lastRead?.index else { return }
        let before = slots[index].tracker.base
        let isNew = slots[index].tracker.admit(record.offset)
        if slots[index].tracker.base != before, before != nil { touch(index) }
        guard isNew else { return }
        let envelope: Envelope
        do throws(Envelope.Problem) {
            envelope = try Envelope(record, topic: slots[index].name)
        } catch {
            let letter = error.envelope.deadLetter(
                group: settings.group,
                reason: .undecodable,
                error: error.text,
                attempts: error.envelope.attempts,
                now: wall
            )
            slots[index].items[record.offset] =
                Item(envelope: letter, timestamp: record.timestamp ?? wall, bytes: 0, isOut: true)
            return move(index, record.offset, .deadLetters, letter)
        }
        let bytes = (record.payload.value?.count ?? 0) + 200
        slots[index].items[record.offset] = Item(envelope: envelope, timestamp: record.timestamp ?? wall, bytes: bytes)
        if slots[index].role.isDelivered {
            slots[index].fresh.append(record.offset)
            buffered += 1
            bufferedBytes += bytes
            return
        }
        let due = (slots[index].role == .delayed ? envelope.again : nil) ?? envelope.due ?? 0
        if slots[index].role == .scheduled, let since = settings.since, due <= since {
            return finish(index, record.offset)
        }
        timers.insert(
            Timer(at: due, place: place, offset: record.offset, generation: slots[index].generation, purpose: .due)
        )
    }

    /// Ends a message for good.
    mutating func finish(_ index: Int, _ offset: Int64) {
        slots[index].tracker.finish(offset)
        slots[index].hopping.remove(offset)
        if let item = slots[index].items.removeValue(forKey: offset) {
            if slots[index].role.isDelivered, !item.isOut {
                buffered -= 1
                bufferedBytes -= item.bytes
            }
            openLane(index, item)
        }
        forgetSuspect(index, offset)
        touch(index)
    }

    /// Notes that a message has left the room for what waits, or has come back to it.
    mutating func setOut(_ isOut: Bool, _ index: Int, _ offset: Int64) {
        guard let item = slots[index].items[offset], item.isOut != isOut else { return }
        slots[index].items[offset]?.isOut = isOut
        buffered += isOut ? -1 : 1
        bufferedBytes += isOut ? -item.bytes : item.bytes
    }

    /// Lets the next message of a key go.
    private mutating func openLane(_ index: Int, _ item: Item) {
        guard let key = laneKey(index, item), var lane = slots[index].lanes[key] else { return }
        guard let next = lane.waiting.popFirst() else {
            slots[index].lanes[key] = nil
            return
        }
        lane.turn = next
        slots[index].lanes[key] = lane
        slots[index].putBack(next)
    }

    /// The key that holds up others of its kind.
    func laneKey(_ index: Int, _ item: Item) -> [UInt8]? {
        settings.isKeyed && slots[index].role == .main ? item.envelope.key : nil
    }

    func forgetsSuspect(_ index: Int, _ offset: Int64) -> Bool {
        guard let suspect else { return false }
        return suspect.offset == offset && suspect.place == slots[index].place
    }

    mutating func forgetSuspect(_ index: Int, _ offset: Int64) {
        if forgetsSuspect(index, offset) { suspect = nil }
    }

    /// Asks for a copy of a message before it is finished.
    mutating func move(_ index: Int, _ offset: Int64, _ destination: Move.Destination, _ envelope: Envelope) {
        moves.append(
            Move(
                place: slots[index].place,
                offset: offset,
                generation: slots[index].generation,
                receipt: nil,
                destination: destination,
                envelope: envelope
            )
        )
    }

    /// Notes a change that is to be committed.
    mutating func touch(_ index: Int) {
        slots[index].isDirty = true
        sequence += 1
    }

    // MARK: - Flow

    /// How many more messages may be read that are handed over.
    mutating func room() -> Int {
        // Both thresholds look at every value, so neither is skipped by the other's answer.
        let (isCrowded, isHeavy) = (crowd.update(buffered), byteCrowd.update(bufferedBytes))
        return isDraining || isCrowded || isHeavy ? 0 : max(0, settings.maxBuffered - buffered)
    }

    /// Which partitions to stop reading and which to read again.
    ///
    /// librdkafka throws away what it has of a partition that is paused, so those whose messages are handed over are left
    /// unread instead, unless their note is full.
    mutating func flow() -> (pause: [TopicPartition], resume: [TopicPartition]) {
        var (pause, resume): ([TopicPartition], [TopicPartition]) = ([], [])
        for index in slots.indices {
            let isOver = slots[index].crowd.update(slots[index].role.isDelivered ? 0 : slots[index].items.count)
            let isLong =
                slots[index].isPaused ? !slots[index].tracker.hasRoom : slots[index].tracker.isNearlyFull
            let wanted = isOver || isLong
            guard wanted != slots[index].isPaused else { continue }
            slots[index].isPaused = wanted
            if wanted { pause.append(slots[index].place) } else { resume.append(slots[index].place) }
        }
        return (pause, resume)
    }

    // MARK: - Commits

    func commit(_ slot: Slot, isOpen: Bool, suspect: Int64?) -> KafkaPosition? {
        guard let base = slot.tracker.base else { return nil }
        var note = CommitNote()
        note.made = settings.made
        note.isOpen = isOpen
        note.high = slot.tracker.high
        note.suspect = suspect
        note.inFlight = slot.inFlight
        note.oldest = slot.items[base].map { $0.envelope.published ?? $0.timestamp }
        note.finished = slot.tracker.finished
        note.attempts = slot.tracker.attempts
        return KafkaPosition(place: slot.place, offset: base, metadata: note.text(base: base))
    }

    /// What to commit now; nothing while a commit is under way or it is too early.
    mutating func beginCommit(now: Duration) -> [KafkaPosition] {
        guard committing == nil, !isDraining, isUrgent || now >= nextCommit else { return [] }
        var commits: [KafkaPosition] = []
        for index in slots.indices where slots[index].isDirty {
            slots[index].isDirty = false
            let place = slots[index].place
            let suspected = suspect.flatMap { $0.place == place ? $0.offset : nil }
            let isOpen = slots[index].role.isDelivered
            if let position = commit(slots[index], isOpen: isOpen, suspect: suspected) { commits.append(position) }
        }
        isUrgent = false
        guard !commits.isEmpty else { return [] }
        committing = (sequence, commits.map(\.place))
        nextCommit = now + settings.commitInterval
        return commits
    }

    /// Notes how a commit ended.
    mutating func endCommit(_ failure: KafkaFailure?, now: Duration) {
        guard let (sequence, places) = committing else { return }
        committing = nil
        if failure == nil {
            committed = max(committed, sequence)
            proof = now
            if let suspect, case .reserving(let number) = suspect.phase, number <= committed {
                self.suspect?.phase = .reserved
            }
        } else {
            for place in places {
                if let index = slotIndex[place] { slots[index].isDirty = true }
            }
            nextCommit = now + .milliseconds(500)
        }
    }

    /// Whether there is something to commit.
    var hasChanges: Bool { slots.contains(where: \.isDirty) }
}

extension CommitNote {
    /// The same of a member that left in order.
    var closed: CommitNote {
        var note = self
        note.isOpen = false
        return note
    }
}
#endif
