import Messaging
import Testing

@testable import MessagingKafka

/// A partition of what waits with its log of words, one member after the other, and somebody who reserves.
private struct World {
    static let queue = "q"
    static let delay = TopicPartition(topic: "d", partition: 2)
    var words: [KafkaRecord] = []
    var committed: KafkaPosition?
    var state: MemberState
    /// Up to where the member has read each log.
    var (readWords, readRecords): (Int64, Int64) = (0, 0)
    var wall: Int64 = 1_000_000
    var now: Duration = .seconds(100)
    /// Copies that are being written, and how many were written of each message.
    var writing: [MemberState.Move] = []
    var copies: [Int64: Int] = [:]
    let dues: [Int64]

    init(dues: [Int64], maxWaiting: Int = 1000) {
        self.dues = dues
        state = MemberState(
            MemberState.Settings(
                queue: Self.queue,
                group: "g",
                lease: .seconds(10),
                maxAttempts: 3,
                roles: ["q": .main, "r": .retry, "s": .scheduled, "d": .delayed],
                maxWaiting: maxWaiting
            )
        )
    }

    mutating func say(_ word: ReservationBook.Word, _ offset: Int64) {
        let place = StoredPlace(.delayed, Self.delay.partition, offset, group: "g")
        let payload = ReservationBook.payload(place, word)
        words.append(KafkaRecord(partition: 0, offset: Int64(words.count), timestamp: wall, payload: payload))
    }

    /// Another member, or the same again, gets the partition.
    mutating func assign(isNew: Bool = false) {
        if isNew { state = MemberState(state.settings) }
        let position = committed ?? KafkaPosition(place: Self.delay, offset: KafkaPosition.none)
        let starts = state.assign([position], floors: [Self.delay: 0], words: 0..<Int64(words.count), now: now)
        readRecords = starts.first?.offset ?? 0
        readWords = state.reservations.next
        state.acknowledgeReservations()
    }

    mutating func hear(_ count: Int = .max) {
        for _ in 0..<min(count, words.count - Int(readWords)) {
            state.hear(words[Int(readWords)], wall: wall)
            readWords += 1
        }
        state.acknowledgeReservations()
    }

    mutating func read(_ count: Int = .max) {
        for _ in 0..<min(count, dues.count - Int(readRecords)) {
            var envelope = Envelope(Message(text: "\(readRecords)"), due: nil)
            envelope.again = dues[Int(readRecords)]
            let record = KafkaRecord(partition: 2, offset: readRecords, timestamp: wall, payload: envelope.payload)
            state.add(Arrival(record, of: Self.delay, name: "d"), wall: wall)
            readRecords += 1
        }
    }

    mutating func advance(_ milliseconds: Int64) {
        wall += milliseconds
        now += .milliseconds(milliseconds)
        state.advance(now: now, wall: wall)
        state.acknowledgeReservations()
        writing += state.moves
        state.moves = []
    }

    mutating func write(_ isWritten: Bool = true) {
        guard !writing.isEmpty else { return }
        let move = writing.removeFirst()
        if isWritten { copies[move.offset, default: 0] += 1 }
        state.conclude(move, isWritten: isWritten, wall: wall)
        state.acknowledgeReservations()
    }

    mutating func commit() {
        now += .seconds(1)
        for position in state.beginCommit(now: now) { committed = position }
        state.endCommit(nil, now: now)
    }

    /// As the group takes the partition from a member that lives: it writes what it has begun, and commits.
    mutating func revoke() {
        state.isDraining = true
        while state.isMoving, !writing.isEmpty { write() }
        for position in state.release(isLost: false) { committed = position }
        writing = []
    }

    func verdict(_ offset: Int64) -> ReservationVerdict {
        var book = ReservationBook()
        for word in words { _ = book.apply(word) }
        let view = PlaceView(committed, bounds: 0..<Int64(dues.count))
        let word = book.reserved[StoredPlace(.delayed, Self.delay.partition, offset, group: "g")]
        return ReservationVerdict(offset, word: word ?? .max, views: [view])
    }
}

@Suite("Reservations of what waits")
struct ReservationTests {
    @Test("what is reserved is moved by nobody, and a commit says so")
    func reserves() {
        var world = World(dues: [1_000_500, 1_000_500, 1_000_500])
        world.assign()
        world.read()
        world.say(.reserved, 1)
        #expect(world.verdict(1) == .open)
        world.hear()
        world.commit()
        #expect(world.verdict(1) == .reserved)
        world.advance(1000)
        #expect(world.writing.map(\.offset) == [0, 2])
        while !world.writing.isEmpty { world.write() }
        world.commit()
        #expect(world.verdict(1) == .reserved && world.copies == [0: 1, 2: 1])
        // Whoever comes next knows it before anything is moved.
        world.revoke()
        world.assign(isNew: true)
        world.read()
        world.advance(1000)
        #expect(world.writing.isEmpty && !world.state.mayMove)
        world.hear()
        world.advance(1000)
        #expect(world.writing.isEmpty && world.state.mayMove)
        world.say(.returned, 1)
        world.hear()
        world.advance(1)
        #expect(world.writing.map(\.offset) == [1])
    }

    @Test("what was being moved when it was reserved goes where it goes, and nobody is told otherwise meanwhile")
    func contested() {
        var world = World(dues: [1_000_500, 1_000_500])
        world.assign()
        world.read()
        world.advance(500)
        world.say(.reserved, 0)
        world.hear()
        world.commit()
        #expect(world.verdict(0) == .open)
        world.write(false)
        world.commit()
        #expect(world.verdict(0) == .open, "the copy may have been written")
        world.write()
        world.advance(1000)
        world.write()
        world.commit()
        #expect(world.verdict(0) == .gone && world.copies == [0: 1, 1: 1])
    }

    @Test("what has gone elsewhere is finished, also for a member that never read it")
    func moved() {
        var world = World(dues: [2_000_000, 2_000_000, 2_000_000])
        world.assign()
        world.read(2)
        for offset in [0, 2] as [Int64] { world.say(.reserved, offset) }
        world.hear()
        world.commit()
        #expect(world.verdict(0) == .reserved && world.verdict(2) == .reserved)
        for offset in [0, 2] as [Int64] { world.say(.moved, offset) }
        world.hear()
        world.read()
        world.commit()
        #expect(world.committed?.offset == 1)
        world.advance(2_000_000)
        #expect(world.writing.isEmpty, "whether it is a member still is to be asked first")
        world.commit()
        world.advance(1)
        #expect(world.writing.map(\.offset) == [1])
        world.write()
        world.commit()
        #expect(world.committed?.offset == 3)
    }

    @Test("a member that wakes after its time moves nothing before the broker has taken a commit")
    func wakes() {
        var world = World(dues: [1_000_500, 1_000_500])
        world.assign()
        world.read()
        world.advance(3_600_000)
        #expect(world.writing.isEmpty)
        let asked = world.state.beginCommit(now: world.now)
        #expect(asked.map(\.place) == [World.delay])
        world.state.endCommit(KafkaFailure(code: 22, name: "ILLEGAL_GENERATION", text: ""), now: world.now)
        world.advance(1000)
        #expect(world.writing.isEmpty, "it is none any more")
        _ = world.state.beginCommit(now: world.now)
        world.state.endCommit(nil, now: world.now)
        world.advance(1)
        #expect(world.writing.map(\.offset) == [0, 1])
    }

    @Test("what is no message and reserved is no dead letter until it is put back")
    func broken() {
        var world = World(dues: [])
        world.assign()
        world.say(.reserved, 0)
        world.hear()
        let header = KafkaHeader(name: "mq-attempts", value: Array("many".utf8))
        let payload = KafkaPayload(value: [1], headers: [header])
        let record = KafkaRecord(partition: 2, offset: 0, timestamp: 1, payload: payload)
        world.state.add(Arrival(record, of: World.delay, name: "d"), wall: world.wall)
        world.advance(1)
        #expect(world.writing.isEmpty)
        world.say(.returned, 0)
        world.hear()
        world.advance(1)
        #expect(world.writing.map(\.destination) == [.deadLetters])
    }

    @Test("what is reserved keeps nobody out of a level that is full")
    func crowd() {
        var world = World(dues: Array(repeating: 1_009_000, count: 30), maxWaiting: 10)
        world.assign()
        for offset in 0..<15 as Range<Int64> { world.say(.reserved, offset) }
        world.hear()
        world.read(20)
        let before = world.state.flow()
        #expect(before.pause.isEmpty)
        world.read()
        let after = world.state.flow()
        #expect(after.pause == [World.delay])
    }

    @Test("whatever happens in whatever order, what is reserved is not moved and nothing is lost", arguments: 0..<60)
    func anyOrder(seed: Int) {
        var random = Seeded(UInt64(seed))
        let count = 12
        let hasCrashes = seed % 2 == 1
        var world = World(dues: (0..<count).map { _ in 1_000_000 + Int64.random(in: 0...4000, using: &random) })
        var taken: [Int64: Int] = [:]
        var gone: Set<Int64> = []
        world.assign()
        for _ in 0..<400 {
            let offset = Int64.random(in: 0..<Int64(count), using: &random)
            switch Int.random(in: 0..<12, using: &random) {
            case 0: world.read(Int.random(in: 1...4, using: &random))
            case 1, 2: world.hear(Int.random(in: 1...3, using: &random))
            case 3: world.advance(Int64.random(in: 0...300, using: &random))
            case 4, 5: world.write(Int.random(in: 0..<4, using: &random) > 0)
            case 6, 7: world.commit()
            case 8:
                if taken[offset] == nil, !gone.contains(offset) { world.say(.reserved, offset) }
            case 9:
                if taken[offset] == nil, !gone.contains(offset), world.verdict(offset) == .reserved {
                    taken[offset] = world.copies[offset] ?? 0
                }
            case 10:
                guard let before = taken.removeValue(forKey: offset) else { break }
                #expect(world.copies[offset] ?? 0 == before, "reserved, and moved all the same")
                let isMoved = Bool.random(using: &random)
                world.say(isMoved ? .moved : .returned, offset)
                if isMoved { gone.insert(offset) }
            default:
                guard Int.random(in: 0..<4, using: &random) == 0 else { break }
                if hasCrashes {
                    // What it was writing is there or not; what it knew is gone.
                    for move in world.writing where Bool.random(using: &random) {
                        world.copies[move.offset, default: 0] += 1
                    }
                    world.writing = []
                } else {
                    world.revoke()
                }
                world.assign(isNew: Bool.random(using: &random))
            }
        }
        for (offset, before) in taken {
            #expect(world.copies[offset] ?? 0 == before)
            world.say(.returned, offset)
        }
        for offset in 0..<Int64(count) where world.verdict(offset) != .gone { world.say(.returned, offset) }
        for _ in 0..<10 {
            world.read()
            world.hear()
            world.advance(5000)
            while !world.writing.isEmpty { world.write() }
            world.commit()
        }
        for offset in 0..<Int64(count) {
            let copies = world.copies[offset] ?? 0
            if gone.contains(offset) {
                if !hasCrashes { #expect(copies == 0, "it went both ways") }
            } else {
                #expect(copies >= 1, "lost")
                if !hasCrashes { #expect(copies == 1) }
            }
        }
        #expect(world.committed?.offset == Int64(count))
    }
}

/// A generator whose numbers follow from its seed.
private struct Seeded: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1 }
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
