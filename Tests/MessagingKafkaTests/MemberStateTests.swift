import Messaging
import Testing

@testable import MessagingKafka

/// A member without a broker: records go in, deliveries and commits come out.
private struct Bench {
    var state: MemberState
    var now: Duration = .seconds(100)
    var wall: Int64 = 1_000_000
    static let main = TopicPartition(topic: "q", partition: 0)
    static let delay = TopicPartition(topic: "d", partition: 1)

    init(isKeyed: Bool = false, maxAttempts: Int = 3, maxBuffered: Int = 100) {
        state = MemberState(
            MemberState.Settings(
                queue: "q",
                group: "g",
                lease: .seconds(10),
                maxAttempts: maxAttempts,
                isKeyed: isKeyed,
                roles: ["q": .main, "r": .retry, "s": .scheduled, "d": .delayed],
                maxBuffered: maxBuffered,
                maxWaiting: 10
            )
        )
        state.participants[1] = MemberState.Participant(name: "one")
        state.participants[2] = MemberState.Participant(name: "two")
    }

    mutating func assign(_ offset: Int64 = 0, _ note: String? = nil) {
        let positions = [
            KafkaPosition(place: Self.main, offset: offset, metadata: note),
            KafkaPosition(place: Self.delay, offset: 0),
        ]
        _ = state.assign(positions, floors: [:], now: now)
    }

    mutating func read(
        _ offsets: Range<Int64>,
        key: String? = nil,
        of place: TopicPartition = Bench.main,
        due: Int64? = nil
    ) {
        for offset in offsets {
            var envelope = Envelope(Message(text: "\(offset)", key: key), due: nil)
            envelope.again = due
            let record = KafkaRecord(partition: 0, offset: offset, timestamp: wall, payload: envelope.payload)
            state.add(Arrival(record, of: place, name: place.topic), wall: wall)
        }
    }

    mutating func take(_ max: Int, by consumer: UInt32 = 1) -> [Delivery] {
        state.take(consumer, max: max, now: now, wall: wall)
    }

    mutating func settle(_ delivery: Delivery, _ settlement: Settlement, by consumer: UInt32 = 1)
        -> MemberState.Settling
    {
        state.settle([SettleRequest(delivery.receipt, settlement)], by: consumer, wall: wall)
    }

    mutating func advance(_ time: Duration) {
        now += time
        wall += time.milliseconds
        state.advance(now: now, wall: wall)
        guard !state.doubtful.isEmpty else { return }
        // The broker is asked whether this is a member still, and says so.
        _ = state.beginCommit(now: now)
        state.endCommit(nil, now: now)
        state.advance(now: now, wall: wall)
    }

    mutating func commit() -> [KafkaPosition] {
        now += .seconds(1)
        let positions = state.beginCommit(now: now)
        state.endCommit(nil, now: now)
        return positions
    }
}

private func texts(_ deliveries: [Delivery]) -> [String?] { deliveries.map(\.message.text) }

@Suite("What a member decides")
struct MemberStateTests {
    @Test func commitsTheLowestUnfinishedOffset() throws {
        var bench = Bench()
        bench.assign()
        bench.read(0..<5)
        let taken = bench.take(5)
        _ = bench.settle(taken[1], .acknowledge)
        _ = bench.settle(taken[2], .discard)
        let first = try #require(bench.commit().first)
        let note = CommitNote(first.metadata, base: first.offset)
        #expect(
            first.offset == 0 && note.finished.runs == [1..<3] && note.isOpen && note.high == 4 && note.inFlight == 3
        )
        _ = bench.settle(taken[0], .acknowledge)
        #expect(bench.commit().first?.offset == 3)
        #expect(bench.commit().isEmpty, "nothing has changed")
    }

    @Test("a lease that runs out goes to another consumer on the next attempt, and its holder has lost it")
    func leases() {
        var bench = Bench()
        bench.assign()
        bench.read(0..<1)
        let lost = bench.take(1)[0]
        bench.advance(.seconds(9))
        #expect(bench.take(1, by: 2).isEmpty)
        let renewed = bench.state.renew([lost.receipt], by: 1, now: bench.now)
        #expect(renewed == [true])
        bench.advance(.seconds(9))
        #expect(bench.take(1, by: 2).isEmpty)
        bench.advance(.seconds(2))
        let second = bench.take(1, by: 2)
        #expect(second.map(\.attempt) == [2])
        guard case .leaseLost = bench.settle(lost, .acknowledge).outcomes[0] else {
            Issue.record("a lost lease was settled")
            return
        }
        bench.advance(.seconds(11))
        #expect(bench.take(1).map(\.attempt) == [3])
        bench.advance(.seconds(11))
        #expect(bench.take(1).isEmpty)
        #expect(bench.state.moves.map(\.destination) == [.deadLetters])
        #expect(bench.state.moves.first?.envelope.reason == "attempts-exhausted")
        #expect(bench.state.moves.first?.envelope.attempts == 3)
    }

    @Test("an entry that is used again does not take the receipt of the message before")
    func usedAgain() {
        var bench = Bench()
        bench.assign()
        bench.read(0..<1)
        let first = bench.take(1)[0]
        _ = bench.settle(first, .acknowledge)
        bench.read(1..<2)
        let second = bench.take(1)[0]
        #expect(second.receipt.high == first.receipt.high && second.receipt != first.receipt)
        guard case .alreadySettled = bench.settle(first, .acknowledge).outcomes[0] else {
            Issue.record("settled twice")
            return
        }
        guard case .leaseLost = bench.settle(first, .acknowledge, by: 2).outcomes[0],
            case .leaseLost = bench.settle(second, .acknowledge, by: 2).outcomes[0]
        else {
            Issue.record("another consumer's delivery was settled")
            return
        }
        #expect(bench.state.renew([first.receipt, second.receipt], by: 1, now: bench.now) == [false, true])
        guard case .settled = bench.settle(second, .acknowledge).outcomes[0] else {
            Issue.record("not settled")
            return
        }
        #expect(bench.commit().first?.offset == 2)
    }

    @Test("a receipt that was made up, or is of another member, settles nothing")
    func foreignReceipts() {
        var bench = Bench()
        bench.assign()
        bench.read(0..<2)
        let taken = bench.take(2)
        let real = taken[0].receipt
        let foreign = [
            Receipt(high: .max, low: real.low, fence: real.fence, source: real.source),
            Receipt(high: 7, low: real.low, fence: real.fence, source: real.source),
            Receipt(high: real.high, low: real.low + 1, fence: real.fence, source: real.source),
            Receipt(high: real.high, low: real.low, fence: real.fence &+ 1, source: real.source),
            Receipt(high: real.high, low: real.low, fence: real.fence, source: .max),
        ]
        let outcomes = bench.state.settle(foreign.map { SettleRequest($0, .acknowledge) }, by: 1, wall: 0).outcomes
        for outcome in outcomes {
            guard case .leaseLost = outcome else {
                Issue.record("\(outcome)")
                continue
            }
        }
        #expect(bench.commit().first?.offset == 0)
    }

    @Test("a copy that is reported twice ends only the message that it is of")
    func concludedTwice() {
        var bench = Bench(maxAttempts: 1)
        bench.assign()
        bench.read(0..<1)
        _ = bench.take(1)
        bench.advance(.seconds(11))
        #expect(bench.take(1).isEmpty)
        let move = bench.state.moves[0]
        bench.state.conclude(move, isWritten: true, wall: bench.wall)
        bench.read(1..<2)
        bench.state.conclude(move, isWritten: true, wall: bench.wall)
        #expect(texts(bench.take(5)) == ["1"])
    }

    @Test("a retry is a copy that is written before the original ends")
    func retry() {
        var bench = Bench()
        bench.assign()
        bench.read(0..<1)
        let taken = bench.take(1)[0]
        let settling = bench.settle(taken, .retry(after: .seconds(20), error: "no"))
        let move = settling.moves[0].move
        #expect(move.destination == .delay(level: 2) && move.envelope.attempts == 1)
        #expect(move.envelope.again == bench.wall + 20_000 && move.envelope.history.map(\.error) == ["no"])
        bench.advance(.seconds(30))
        #expect(bench.take(1).isEmpty, "what is being settled does not run out")
        #expect(bench.commit().first?.offset == 0)
        guard case .settled = bench.state.conclude(move, nil, by: 1) else {
            Issue.record("not settled")
            return
        }
        #expect(bench.commit().first?.offset == 1)
        guard case .alreadySettled = bench.settle(taken, .acknowledge).outcomes[0] else {
            Issue.record("settled twice")
            return
        }
    }

    @Test func aFailedCopyLeavesTheDelivery() {
        var bench = Bench()
        bench.assign()
        bench.read(0..<1)
        let taken = bench.take(1)[0]
        let move = bench.settle(taken, .reject(reason: .rejected, error: nil)).moves[0].move
        _ = bench.state.conclude(move, QueueError(.unavailable, "down"), by: 1)
        guard case .settled = bench.settle(taken, .acknowledge).outcomes[0] else {
            Issue.record("the delivery is gone")
            return
        }
    }

    @Test("after a revoke every settlement is refused, and the next owner counts the attempt")
    func revoke() throws {
        var bench = Bench()
        bench.assign()
        bench.read(0..<2)
        let taken = bench.take(2)
        _ = bench.settle(taken[1], .acknowledge)
        let last = try #require(bench.state.release(isLost: false).first)
        guard case .leaseLost = bench.settle(taken[0], .acknowledge).outcomes[0] else {
            Issue.record("settled after the revoke")
            return
        }
        var next = Bench()
        next.assign(last.offset, last.metadata)
        next.read(0..<2)
        let again = next.take(5)
        #expect(texts(again) == ["0"] && again.map(\.attempt) == [2])
    }

    @Test("what was in flight at a crash is delivered alone, and only after the broker knows which it is")
    func suspects() throws {
        var crashed = Bench()
        crashed.assign()
        crashed.read(0..<3)
        _ = crashed.take(3)
        let position = try #require(crashed.commit().first)
        var bench = Bench()
        bench.assign(position.offset, position.metadata)
        bench.read(0..<3)
        #expect(bench.take(3).isEmpty, "the broker does not know yet")
        let told = try #require(bench.commit().first)
        #expect(CommitNote(told.metadata, base: told.offset).suspect == 0)
        let alone = bench.take(3)
        #expect(texts(alone) == ["0"] && alone.map(\.attempt) == [2])
        #expect(bench.take(3).isEmpty, "it runs alone")
        _ = bench.settle(alone[0], .acknowledge)
        #expect(bench.take(3).isEmpty)
        _ = bench.commit()
        #expect(texts(bench.take(3)) == ["1"])
    }

    @Test("a message that kills every member ends in the dead letters, and its neighbours do not")
    func crashLoop() throws {
        var position = KafkaPosition(place: Bench.main, offset: 0)
        var handled = Set<String>()
        var letters: [String] = []
        for _ in 0..<20 where letters.isEmpty {
            var bench = Bench(maxAttempts: 3)
            bench.assign(position.offset, position.metadata)
            bench.read(0..<40)
            // Hands over and acknowledges until the poison comes, then dies with what was committed.
            run: for _ in 0..<200 {
                for delivery in bench.take(4) {
                    let text = try #require(delivery.message.text)
                    if text == "17" { break run }
                    handled.insert(text)
                    _ = bench.settle(delivery, .acknowledge)
                }
                letters += bench.state.moves.map { String(decoding: $0.envelope.value ?? [], as: UTF8.self) }
                for move in bench.state.moves { bench.state.conclude(move, isWritten: true, wall: bench.wall) }
                bench.state.moves = []
                if let last = bench.commit().first { position = last }
            }
        }
        #expect(letters == ["17"])
        #expect(handled == Set((0..<40).filter { $0 != 17 }.map { "\($0)" }))
    }

    @Test("messages of a key come one at a time and in order, and a failing one holds its key alone")
    func keys() {
        var bench = Bench(isKeyed: true)
        bench.assign()
        bench.read(0..<2, key: "a")
        bench.read(2..<4, key: "b")
        let first = bench.take(10)
        #expect(texts(first) == ["0", "2"])
        let settling = bench.settle(first[0], .retry(after: .seconds(60), error: "no"))
        #expect(settling.moves.isEmpty, "it keeps its place")
        _ = bench.settle(first[1], .acknowledge)
        let second = bench.take(10)
        #expect(texts(second) == ["3"])
        _ = bench.settle(second[0], .release)
        #expect(texts(bench.take(10)) == ["3"])
        bench.advance(.seconds(61))
        let again = bench.take(10)
        #expect(texts(again).first == "0" && again.first?.attempt == 2)
        #expect(again.first?.history.map(\.error) == ["no"])
        if let head = again.first { _ = bench.settle(head, .acknowledge) }
        #expect(texts(bench.take(10)).contains("1"))
    }

    @Test("what waits in a delay topic moves when its time has come, and not before")
    func delays() {
        var bench = Bench()
        bench.assign()
        let due = bench.wall + 5000
        bench.read(0..<3, of: Bench.delay, due: due)
        bench.advance(.milliseconds(4999))
        #expect(bench.state.moves.isEmpty && bench.take(5).isEmpty)
        bench.advance(.milliseconds(1))
        #expect(bench.state.moves.map(\.destination) == [.retry, .retry, .retry])
        let moves = bench.state.moves
        bench.state.moves = []
        bench.state.conclude(moves[0], isWritten: true, wall: bench.wall)
        bench.state.conclude(moves[1], isWritten: false, wall: bench.wall)
        bench.advance(.milliseconds(1500))
        #expect(bench.state.moves.map(\.offset) == [1], "a copy that failed is tried again")
    }

    @Test("a level that is full lets its oldest go on to the level of what is left")
    func hops() {
        var bench = Bench()
        bench.assign()
        bench.read(0..<20, of: Bench.delay, due: bench.wall + 9000)
        #expect(bench.state.flow().pause == [Bench.delay])
        bench.advance(.milliseconds(500))
        #expect(bench.state.moves.isEmpty)
        bench.advance(.milliseconds(600))
        #expect(bench.state.moves.count == 20)
        #expect(bench.state.moves.allSatisfy { $0.destination == .delay(level: 1) && $0.envelope.again != nil })
        bench.advance(.milliseconds(100))
        #expect(bench.state.moves.count == 20, "each goes once")
    }

    @Test("reading stops when much is waiting, and goes on when half of it is gone")
    func flow() {
        var bench = Bench(maxBuffered: 20)
        bench.assign()
        bench.read(0..<20)
        #expect(bench.state.room() == 0)
        #expect(bench.state.flow().pause.isEmpty, "what librdkafka has is not thrown away")
        for delivery in bench.take(9) { _ = bench.settle(delivery, .acknowledge) }
        #expect(bench.state.room() == 0)
        for delivery in bench.take(1) { _ = bench.settle(delivery, .acknowledge) }
        #expect(bench.state.room() == 10)
    }

    @Test("what consumers hold takes no room, however much it is, until it comes back")
    func heldTakesNoRoom() {
        var bench = Bench(maxBuffered: 20)
        bench.assign()
        bench.read(0..<15)
        let held = bench.take(15)
        bench.read(15..<30)
        #expect(bench.state.room() == 5 && bench.state.buffered == 15)
        for delivery in held.prefix(5) { _ = bench.settle(delivery, .release) }
        #expect(bench.state.buffered == 20 && bench.state.room() == 0)
        for delivery in held.dropFirst(5) { _ = bench.settle(delivery, .acknowledge) }
        #expect(bench.state.buffered == 20)
        for delivery in bench.take(20) { _ = bench.settle(delivery, .acknowledge) }
        #expect(bench.state.buffered == 0 && bench.state.bufferedBytes == 0)
        #expect(bench.state.room() == 20)
    }

    @Test func whoClosesGivesBackWithTheAttemptCounted() {
        var bench = Bench()
        bench.assign()
        bench.read(0..<2)
        _ = bench.take(2)
        bench.state.leave(1)
        let taken = bench.take(5, by: 2)
        #expect(texts(taken) == ["0", "1"] && taken.map(\.attempt) == [2, 2])
    }

    @Test("what is no message goes to the dead letters, and the next one flows")
    func undecodable() {
        var bench = Bench()
        bench.assign()
        let payload = KafkaPayload(key: nil, value: [7], headers: [KafkaHeader(name: "mq-attempts", value: [0xFF])])
        let record = KafkaRecord(partition: 0, offset: 0, timestamp: nil, payload: payload)
        bench.state.add(Arrival(record, of: Bench.main, name: "q"), wall: bench.wall)
        bench.read(1..<2)
        #expect(texts(bench.take(5)) == ["1"])
        #expect(bench.state.moves.map(\.destination) == [.deadLetters])
        #expect(bench.state.moves.first?.envelope.value == [7])
        for move in bench.state.moves { bench.state.conclude(move, isWritten: true, wall: bench.wall) }
        #expect(bench.state.buffered == 0, "it never took room")
    }
}
