#if RabbitMQ
import Messaging
import TestSupport
import Testing

@testable import MessagingRabbitMQ

@Suite("Whose turn it is in the lanes")
struct LaneBookTests {
    private func wire(_ text: String, key: String?, seen: Int = 0) -> WireMessage {
        var wire = WireMessage(Message(text: text, id: MessageID(text), key: key))
        (wire.deliveries, wire.seen) = (seen, seen)
        return wire
    }

    /// A book behind methods of a class, which can be called within an expectation.
    private final class Book {
        private var book = LaneBook()

        var heldCount: Int { book.heldCount }
        var nextDue: Duration? { book.nextDue }
        func readyCount(except lanes: Set<Int>) -> Int { book.readyCount(except: lanes) }
        func count(_ lane: Int) -> Int { book.counts()[lane]?.all ?? 0 }
        func wake(at now: Duration) { book.wake(at: now) }
        func drop(_ lane: Int) { book.drop(lane, at: .zero) }
        func resume(_ handOver: UInt64) { book.resume(handOver) }
        func clear(_ message: UInt64, isWritten: Bool) { book.clear(message, isWritten: isWritten, at: .zero) }
        func takeSuspect(except lanes: Set<Int> = []) -> UInt64? { book.takeSuspect(except: lanes)?.message }
        func finish(_ message: UInt64) -> LaneEntry? { book.finish(message, at: .zero) }
        func end(_ handOver: UInt64, at now: Duration = .zero) -> LaneEntry? { book.end(handOver, at: now) }

        @discardableResult
        func add(
            _ lane: Int,
            _ tag: UInt64,
            _ wire: WireMessage,
            due: Duration? = nil,
            isChecked: Bool = true
        ) -> UInt64 {
            book.add(lane, tag, wire, due: due, isChecked: isChecked, at: .zero)
        }

        func check(_ message: UInt64, _ note: LaneNote?, due: Duration? = nil) -> Bool {
            book.check(message, note, due: due, maxAttempts: 3, at: .zero)
        }

        func take(_ max: Int = 10, except lanes: Set<Int> = [], at now: Duration = .zero) -> [Taken] {
            book.take(max, except: lanes, maxAttempts: 3, lease: .seconds(10), longestHold: .seconds(60), at: now)
                .map { Taken(handOver: $0.handOver, message: $0.message, wire: $0.wire, attempt: $0.attempt) }
        }

        func renew(_ handOver: UInt64, at now: Duration) -> Bool {
            book.renew(handOver, lease: .seconds(10), at: now)
        }

        func expire(maxAttempts: Int = 3, at now: Duration) -> [UInt64] {
            book.expire(maxAttempts: maxAttempts, at: now)
        }

        func pause(_ handOver: UInt64, _ wire: WireMessage? = nil, until due: Duration? = nil) -> Bool {
            book.pause(handOver, wire, until: due, at: .zero)
        }

        func begin(_ handOver: UInt64) -> String {
            switch book.begin(handOver) {
            case .proceed: "proceed"
            case .alreadySettled: "settled"
            case .leaseLost: "lost"
            }
        }
    }

    private struct Taken {
        var handOver: UInt64
        var message: UInt64
        var wire: WireMessage
        var attempt: Int
        var text: String { wire.message.text ?? "" }
    }

    private func book() -> Book {
        let book = Book()
        for (tag, (text, key)) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("x", nil), ("a3", "a")].enumerated() {
            book.add(tag % 2, UInt64(tag), wire(text, key: key))
        }
        return book
    }

    @Test func ofEachKeyOneAtATimeAndOfNoneAsManyAsThereAre() {
        let book = book()
        let first = book.take()
        #expect(first.map(\.text) == ["a1", "b1", "x"])
        #expect(book.take().isEmpty && book.heldCount == 3)
        #expect(book.begin(first[0].handOver) == "proceed")
        #expect(book.end(first[0].handOver)?.tag == 0)
        let second = book.take()
        #expect(second.map(\.text) == ["a2"])
        #expect(book.begin(first[0].handOver) == "settled")
        #expect(book.begin(999) == "lost")
    }

    @Test func oldestFirstAndNoMoreThanAreWanted() {
        let book = book()
        #expect(book.take(1).map(\.text) == ["a1"])
        #expect(book.take(1).map(\.text) == ["b1"])
        #expect(book.readyCount(except: []) == 1)
    }

    @Test func aLaneThatIsLeftHandsNothingOver() {
        let book = book()
        #expect(book.readyCount(except: [0]) == 1)
        #expect(book.take(except: [0]).map(\.text) == ["x"])
        #expect(book.take().map(\.text) == ["a1", "b1"])
    }

    @Test func whatIsReleasedKeepsItsTurnAndItsAttempt() {
        let book = book()
        let first = book.take(1)[0]
        #expect(book.begin(first.handOver) == "proceed")
        let isHere = book.pause(first.handOver)
        let again = book.take(1)[0]
        #expect(isHere && again.wire.message.text == "a1" && again.attempt == 1)
        #expect(again.handOver != first.handOver && book.begin(first.handOver) == "settled")
    }

    @Test func aRetryHoldsItsKeyAndNoOther() {
        let book = book()
        let first = book.take(1)[0]
        #expect(book.begin(first.handOver) == "proceed")
        var failed = first.wire
        failed.attempts = 1
        #expect(book.pause(first.handOver, failed, until: .seconds(5)))
        #expect(book.take().map(\.text) == ["b1", "x"])
        book.wake(at: .seconds(4.9))
        #expect(book.take().isEmpty && book.nextDue == .seconds(5))
        book.wake(at: .seconds(5))
        let again = book.take()
        #expect(again.map(\.text) == ["a1"] && again[0].attempt == 2 && book.nextDue == nil)
    }

    @Test func aRetryFromElsewhereHoldsItsKeyUntilItIsDueUnlessANoteSaysOtherwise() {
        let book = Book()
        book.add(0, 1, wire("a1", key: "a"), due: .seconds(5))
        book.add(0, 2, wire("a2", key: "a"))
        let again = book.add(1, 1, wire("b1", key: "b", seen: 1), due: .seconds(3), isChecked: false)
        let noted = book.add(1, 2, wire("c1", key: "c", seen: 1), due: .seconds(3), isChecked: false)
        #expect(book.check(again, nil))
        let note = LaneNote(id: "c1", redrives: 0, attempts: 1, seen: 1, due: 9000, history: [])
        #expect(book.check(noted, note, due: .seconds(9)))
        #expect(book.take().isEmpty && book.nextDue == .seconds(3))
        book.wake(at: .seconds(3))
        #expect(book.take().map(\.text) == ["b1"])
        book.wake(at: .seconds(5))
        #expect(book.take().map(\.text) == ["a1"] && book.nextDue == .seconds(9))
    }

    @Test func aLeaseThatRunsOutGivesTheTurnBackWithTheAttemptCounted() {
        let book = book()
        let first = book.take(1)[0]
        #expect(book.expire(at: .seconds(9.9)).isEmpty && book.heldCount == 1)
        #expect(book.renew(first.handOver, at: .seconds(9)))
        #expect(book.expire(at: .seconds(18)).isEmpty && book.heldCount == 1)
        #expect(book.expire(at: .seconds(19)).isEmpty)
        #expect(book.begin(first.handOver) == "lost")
        #expect(!book.renew(first.handOver, at: .seconds(19)))
        let again = book.take(1, at: .seconds(19))[0]
        #expect(again.wire.message.text == "a1" && again.attempt == 2)
    }

    @Test func nothingIsHeldForLongerThanTheBrokerAllows() {
        let book = book()
        let first = book.take(1, at: .seconds(55))[0]
        #expect(book.renew(first.handOver, at: .seconds(59)))
        #expect(book.expire(maxAttempts: 1, at: .seconds(60)) == [first.message], "its only attempt is over")
        #expect(book.heldCount == 0 && book.take(1, at: .seconds(60))[0].wire.message.text == "b1")
    }

    @Test func whatIsBeingSettledDoesNotRunOut() {
        let book = book()
        let first = book.take(1)[0]
        #expect(book.begin(first.handOver) == "proceed" && book.begin(first.handOver) == "settled")
        #expect(book.expire(maxAttempts: 1, at: .seconds(30)).isEmpty)
        book.resume(first.handOver)
        #expect(book.begin(first.handOver) == "proceed")
        #expect(book.end(first.handOver, at: .seconds(30)) != nil)
    }

    @Test func aLostLaneTakesItsMessagesAndHandOversAlong() {
        let book = book()
        let taken = book.take()
        book.drop(0)
        #expect(book.heldCount == 1 && book.count(0) == 0)
        #expect(book.begin(taken[0].handOver) == "lost" && book.end(taken[0].handOver) == nil)
        #expect(book.begin(taken[2].handOver) == "proceed")
        // The key's next message came over the other lane.
        #expect(book.take().map(\.text) == ["a2"])
    }

    @Test func whatWasHandedOutBeforeWaitsForItsNotes() {
        let book = Book()
        let first = book.add(0, 1, wire("a1", key: "a", seen: 2), isChecked: false)
        book.add(0, 2, wire("a2", key: "a"))
        #expect(book.take().isEmpty)
        let note = LaneNote(id: "a1", redrives: 0, attempts: 1, seen: 2, due: nil, history: [])
        #expect(book.check(first, note, due: .seconds(3)))
        #expect(book.take().isEmpty)
        book.wake(at: .seconds(3))
        let taken = book.take()
        #expect(taken.map(\.text) == ["a1"] && taken[0].attempt == 2)
    }

    @Test func whoseAttemptsMayBeOverIsTriedAloneWithANoteAndBuriedWhenItComesAgain() {
        let book = Book()
        let poison = book.add(0, 1, wire("p", key: "p", seen: 3), isChecked: false)
        let neighbour = book.add(0, 2, wire("n", key: "n", seen: 3), isChecked: false)
        for message in [poison, neighbour] {
            #expect(book.check(message, nil))
        }
        #expect(book.take().isEmpty)
        #expect(book.takeSuspect(except: [0]) == nil)
        #expect(book.takeSuspect() == poison)
        #expect(book.takeSuspect() == nil, "one at a time")
        book.clear(poison, isWritten: true)
        let taken = book.take()
        #expect(taken.map(\.text) == ["p"] && taken[0].attempt == 3 && book.takeSuspect() == nil)
        #expect(book.begin(taken[0].handOver) == "proceed" && book.end(taken[0].handOver) != nil)
        #expect(book.takeSuspect() == neighbour)
        book.clear(neighbour, isWritten: false)
        #expect(book.takeSuspect() == nil)
        book.wake(at: .seconds(1))
        #expect(book.takeSuspect() == neighbour, "a note that was not written is written again")

        let later = Book()
        let again = later.add(0, 1, wire("p", key: "p", seen: 4), isChecked: false)
        var note = LaneNote(id: "p", redrives: 0, attempts: 3, seen: 3, due: nil, history: [])
        note.isTried = true
        #expect(!later.check(again, note))
        #expect(later.finish(again)?.isNoted == true)
    }
}

@Suite("Lanes")
struct LaneTests {
    @Test func aKeyHasOneLaneForEverAndManyKeysHaveAll() {
        // Fixed for ever: another lane would reorder what is on its way.
        let lanes = ["key-0", "key-1", "customer 4711", ""].map {
            Lanes.lane(of: Message(text: "", key: $0), among: 8)
        }
        #expect(lanes == [3, 4, 0, 1])
        let used = Set((0..<200).map { Lanes.lane(of: Message(text: "", key: "user-\($0)"), among: 8) })
        #expect(used.count == 8)
        let without = Set((0..<200).map { Lanes.lane(of: Message(text: "", id: MessageID("m-\($0)")), among: 8) })
        #expect(without.count == 8)
        #expect(Lanes.lane(of: Message(text: "", key: "a"), among: 0) == nil)
    }

    @Test func aPublicationGoesToTheLaneOfItsKeyAlsoLater() {
        let message = Message(text: "x", key: "key-0")
        let lane = Lanes.lane(of: message, among: 8) ?? 99
        #expect(Copies.publication(message, queue: "q", lanes: 8, now: 0).exchange == "mq.q@lane@\(lane)")
        var later = message
        later.due = .after(.seconds(1))
        let delayed = Copies.publication(later, queue: "q", lanes: 8, now: 0)
        #expect(delayed.exchange == RabbitNames.later("q") && delayed.routingKey.hasSuffix(".mq.q@lane@\(lane)"))
        let redriven = Copies.redrive(WireMessage(message), queue: "q", group: "g", lanes: 8)
        #expect(redriven.routingKey == "mq.q@g@lane@\(lane)")
    }

    @Test func everyPartOfAKeyedQueueIsRemovedWithIt() {
        let parts = Topology.exchange("q", lanes: 2) + Topology.later("q")
        let made = (parts + Topology.keyed("q", GroupDefinition("g"), lanes: 2))
            .compactMap { method -> String? in
                switch method {
                case .exchangeDeclare(let name, _, _): "exchange \(name)"
                case .queueDeclare(let name, _): "queue \(name)"
                default: nil
                }
            }
        let removed = Topology.removal("q", groups: ["g"], lanes: 2).compactMap { method -> String? in
            switch method {
            case .exchangeDelete(let name): "exchange \(name)"
            case .queueDelete(let name): "queue \(name)"
            default: nil
            }
        }
        #expect(Set(made) == Set(removed) && made.count == 9)
    }

    private func share(_ lane: Int, count: Int, held: Int = 0, isOwn: Bool = true) -> Lanes.Share {
        Lanes.Share(lane: lane, isOwn: isOwn, count: count, held: held)
    }

    @Test func whoIsAloneLeavesNothing() {
        let shares = (0..<4).map { share($0, count: 1) }
        #expect(Lanes.surplus(shares, consumers: 1, lanes: 4, isIdle: true).isEmpty)
        #expect(Lanes.surplus(shares, consumers: 0, lanes: 4, isIdle: false).isEmpty)
    }

    @Test func whoIsNotAskedLeavesByHalves() {
        let shares = [
            share(0, count: 2), share(1, count: 1), share(2, count: 3), share(3, count: 0), share(4, count: 2, held: 1),
        ]
        #expect(Lanes.surplus(shares, consumers: 2, lanes: 5, isIdle: true) == [3, 0, 1])
        #expect(Lanes.surplus([share(2, count: 1)], consumers: 2, lanes: 5, isIdle: true) == [2])
    }

    @Test func whoIsAskedKeepsItsShare() {
        let shares = (0..<8).map { share($0, count: 8 - $0, held: $0 == 7 ? 1 : 0, isOwn: $0 != 0) }
        #expect(Lanes.surplus(shares, consumers: 2, lanes: 8, isIdle: false) == [6, 5, 4])
        #expect(Lanes.surplus(shares, consumers: 20, lanes: 8, isIdle: false).count == 6)
        #expect(Lanes.surplus(Array(shares.prefix(3)), consumers: 2, lanes: 8, isIdle: false).isEmpty)
    }
}

@Suite("Notes about messages of lanes")
struct LaneNoteTests {
    private func roundTrip(_ note: LaneNote) -> LaneNote? {
        let message = note.message(queue: "q", group: "g")
        #expect(message.routingKey == "mq.q@g@notes" && message.body.isEmpty)
        return LaneNote(IncomingMessage(tag: 1, isAnswer: false, properties: message.properties, body: message.body))
    }

    @Test func aNoteComesBackAsItWas() {
        let failure = Failure(attempt: 2, at: 5, consumer: "c", error: "no")
        var note = LaneNote(id: "m", redrives: 1, attempts: 2, seen: 3, due: 12_345, history: [failure])
        #expect(roundTrip(note) == note)
        note.isTried = true
        note.due = nil
        #expect(roundTrip(note) == note)
        #expect(LaneNote(IncomingMessage(tag: 1, isAnswer: false, properties: AMQPProperties(), body: [1])) == nil)
    }

    @Test func handOutsThatTheNoteKnowsAreNoAttempts() {
        var wire = WireMessage(Message(text: "x", id: "m", key: "k"))
        (wire.deliveries, wire.seen) = (1, 1)
        // Left by a consumer that had not handed it over: the broker counts one more.
        let left = LaneNote(wire, due: nil, isLeft: true)
        (wire.deliveries, wire.seen) = (2, 2)
        #expect(left.applied(to: wire).attempt == 2)
        // Its next consumer dies.
        (wire.deliveries, wire.seen) = (3, 3)
        #expect(left.applied(to: wire).attempt == 3)
        // A consumer that failed with it, and died then.
        let failed = LaneNote(left.applied(to: wire), due: nil, isLeft: false)
        (wire.deliveries, wire.seen) = (4, 4)
        #expect(failed.applied(to: wire).attempt == 4 && failed.isLater(than: left))
    }

    @Test func aNoteIsAboutOneLifeOfOneMessage() {
        var wire = WireMessage(Message(text: "x", id: "m"))
        let note = LaneNote(wire, due: nil, isLeft: true)
        #expect(note.isAbout(wire))
        wire.redrives = 1
        #expect(!note.isAbout(wire))
        #expect(!note.isAbout(WireMessage(Message(text: "x", id: "n"))))
    }
}
#endif
