import Foundation
import Messaging
import Testing

@testable import MessagingKafka

@Suite("What moving a queue means on Kafka")
struct TransferPlanTests {
    @Test("an id says where a message is, and nothing else is one")
    func ids() {
        let places = [
            StoredPlace(.main, 3, 17, group: "billing"), StoredPlace(.retry, 0, 0, group: "a:b/c"),
            StoredPlace(.scheduled, 7, 1), StoredPlace(.scheduled, 7, 1, group: "g"),
            StoredPlace(.delayed, 1, 9, group: "g"), StoredPlace(.dead, 0, 5),
        ]
        for place in places { #expect(StoredPlace(place.id) == place) }
        #expect(places[2].id == "s:7:1" && places[1].id == "r:0:0:a:b/c")
        for id in ["", "5", "s:7", "s:7:x", "s:-1:0", "s:07:1", "w:1:9", "d:0:5:g", "s:7:1:", "x:0:0", "m:0:0"] {
            #expect(StoredPlace(id) == nil, "\(id)")
        }
        #expect(places.sorted().map(\.topic) == [.main, .retry, .scheduled, .scheduled, .delayed, .dead])
    }

    private func word(_ offset: Int64, _ place: StoredPlace, _ word: ReservationBook.Word) -> KafkaRecord {
        KafkaRecord(partition: 0, offset: offset, timestamp: 0, payload: ReservationBook.payload(place, word))
    }

    @Test("of the words on a message the last that is possible counts")
    func words() {
        var book = ReservationBook()
        let (all, one) = (StoredPlace(.scheduled, 3, 5), StoredPlace(.scheduled, 3, 6, group: "a"))
        func hear(_ offset: Int64, _ place: StoredPlace, _ kind: ReservationBook.Word) -> StoredPlace? {
            book.apply(word(offset, place, kind))?.place
        }
        let first = [hear(0, all, .moved), hear(1, all, .reserved), hear(2, all, .reserved), hear(3, one, .reserved)]
        #expect(
            first == [nil, all, nil, one],
            "nobody had reserved it; and the first word is what members have to know"
        )
        #expect(book.reserved[all] == 2)
        #expect(book.isReserved(.scheduled, 3, 5, for: "b") && !book.isReserved(.scheduled, 3, 6, for: "b"))
        #expect(book.last(.scheduled, 3, for: "b") == 2 && book.last(.scheduled, 3, for: "a") == 4)
        let second = [hear(3, one, .returned), hear(4, all, .moved), hear(5, all, .reserved)]
        #expect(second == [nil, all, nil], "it was read before; and what is gone cannot be reserved")
        #expect(book.moved(.scheduled, 3, for: "b") == [5..<6])
        #expect(!book.isOver { _ in true }, "one is reserved still")
        let third = hear(6, one, .returned)
        #expect(third == one)
        #expect(book.isOver { $0.offset <= 6 } && !book.isOver { $0.offset <= 5 })
        let foreign = KafkaPayload(key: Array("d:0:5".utf8), value: Array("reserved".utf8))
        let other = book.apply(KafkaRecord(partition: 0, offset: 7, payload: foreign))
        #expect(other == nil && book.next == 8)
        let (isGap, isAgain) = (book.begin(at: 20), book.begin(at: 20))
        #expect(isGap && !isAgain && book.next == 20 && book.moved(.scheduled, 3, for: "b").isEmpty)
    }

    @Test("a message is reserved when everybody who could move it has said so, and nobody has")
    func verdicts() {
        func view(_ base: Int64, _ known: Int64, finished: [Range<Int64>] = []) -> PlaceView {
            var note = CommitNote()
            note.reservations = known
            for run in finished { note.finished.insert(run) }
            let position = KafkaPosition(
                place: TopicPartition(topic: "s", partition: 0),
                offset: base,
                metadata: note.text(base: base)
            )
            return PlaceView(position, bounds: 0..<100)
        }
        let table: [([PlaceView?], ReservationVerdict)] = [
            ([view(0, 7), view(3, 9)], .reserved), ([view(0, 7), view(3, 6)], .open),
            ([view(0, 7), view(6, 0)], .gone),
            ([view(0, 7), view(0, 7, finished: [5..<6])], .gone), ([view(0, 7), nil], .gone), ([], .reserved),
            ([view(0, 7, finished: [4..<5, 6..<7])], .reserved),
        ]
        for (index, (views, verdict)) in table.enumerated() {
            #expect(ReservationVerdict(5, word: 7, views: views) == verdict, "\(index)")
        }
    }

    @Test("a note that cannot name all that is finished does not say that reservations are known")
    func cutNotes() {
        var note = CommitNote()
        note.reservations = 77
        for offset in stride(from: Int64(2), to: 40, by: 2) { note.finished.insert(offset) }
        let whole = CommitNote(note.text(base: 0), base: 0)
        #expect(whole.reservations == 77 && whole.finished == note.finished)
        let cut = CommitNote(note.text(base: 0, limit: 60), base: 0)
        #expect(cut.reservations == 0 && !cut.finished.isEmpty && cut.finished != note.finished)
    }

    @Test("what a consumer may hold is told from what is ready, as far as a commit says it")
    func inFlight() {
        func view(_ change: (inout CommitNote) -> Void) -> PlaceView {
            var note = CommitNote()
            (note.isOpen, note.high, note.inFlight) = (true, 12, 1)
            change(&note)
            let place = TopicPartition(topic: "q", partition: 0)
            let position = KafkaPosition(place: place, offset: 10, metadata: note.text(base: 10))
            return PlaceView(position, bounds: 5..<20, moved: [11..<12])
        }
        let open = view { _ in }
        #expect(open.mayBeInFlight(12) && !open.mayBeInFlight(13))
        #expect(!open.isUnfinished(9) && open.isUnfinished(10) && !open.isUnfinished(11))
        #expect(open.firstUnfinished(from: 0) == 10 && open.firstUnfinished(from: 11) == 12)
        #expect(!view { $0.inFlight = 0 }.mayBeInFlight(12) && !view { $0.isOpen = false }.mayBeInFlight(12))
        #expect(PlaceView(nil, bounds: 5..<20).base == 5 && PlaceView(nil, bounds: 5..<20, floor: 8).base == 8)
    }

    private func letter(_ offset: Int64, _ time: Int64, _ word: DeadLetterBook.Word, within: Duration? = nil)
        -> KafkaRecord
    {
        let payload = DeadLetterBook.state(5, group: "g", word, within: within)
        return KafkaRecord(partition: 0, offset: offset, timestamp: time, payload: payload)
    }

    @Test("of a dead letter that one reserves and another sends, the order of the words decides")
    func deadLetters() {
        func book(_ words: [(Int64, DeadLetterBook.Word)]) -> DeadLetterBook {
            var book = DeadLetterBook()
            for (index, (time, word)) in words.enumerated() {
                book.remove(letter(Int64(index), time, word, within: word == .sending ? .seconds(60) : nil))
            }
            return book
        }
        #expect(book([(0, .reserved)]).reserved == [5])
        #expect(book([(0, .reserved), (1, .discarded)]).reserved == [5], "it was too late to discard it")
        #expect(book([(0, .reserved), (1, .sending)]).isOpen(5) == false, "it was too late to send it")
        #expect(book([(0, .sending), (1, .reserved)]).reserved.isEmpty, "it is being sent")
        #expect(book([(0, .sending), (60_000, .reserved)]).reserved == [5], "who sent it is gone")
        #expect(book([(0, .sending), (1, .reserved), (2, .redriven)]).gone.contains(5))
        #expect(book([(0, .reserved), (1, .returned)]).isOpen(5))
        #expect(book([(0, .reserved), (1, .moved)]).gone.contains(5))
        #expect(book([(0, .moved)]).isOpen(5), "nobody has reserved it")
        #expect(book([(0, .discarded), (1, .reserved)]).reserved.isEmpty)
    }

    private func record(_ order: KafkaPublisher.Order, _ offset: Int64) -> KafkaRecord {
        KafkaRecord(partition: order.place.partition, offset: offset, timestamp: 900, payload: order.payload)
    }

    @Test("a message is written in where it belongs, and is listed as it was", arguments: StoredMessage.State.allCases)
    func writesIn(state: StoredMessage.State) {
        let now: Int64 = 1_000_000
        let group: String? = state == .scheduled ? nil : "g"
        let isLater = state == .waiting || state == .scheduled
        let stored = StoredMessage(
            id: "far-1",
            state: state,
            group: group,
            message: Message(body: [0, 255], id: "m", key: "k", headers: ["colour": "blue"], contentType: "text/x"),
            due: isLater ? UnixTime.date(now + 5000) : nil,
            attempts: state == .scheduled ? 0 : 2,
            redrives: 1,
            history: [Failure(attempt: 1, at: 5, consumer: "c", error: "no")],
            publishedAt: UnixTime.date(400),
            death: state == .dead
                ? StoredMessage.Death(reason: .attemptsExhausted, error: "no", failedAt: UnixTime.date(500)) : nil
        )
        let order = TransferPlan.order(stored, queue: "q", partitions: 4, spread: 0, now: now)
        let lane = Lanes.partition(of: "k".utf8, among: 4)
        let place: StoredPlace =
            switch state {
            case .dead: StoredPlace(.dead, 0, 8)
            case .scheduled: StoredPlace(.scheduled, 1, 8)
            case .waiting: StoredPlace(.delayed, 1, 8, group: "g")
            default: StoredPlace(.retry, lane, 8, group: "g")
            }
        #expect(order.place == place.place(in: "q"))
        let listed = TransferPlan.stored(record(order, 8), place, state, queue: "q")
        var expected = stored
        expected.id = place.id
        expected.message.due = isLater && state == .scheduled ? .at(UnixTime.date(now + 5000)) : nil
        #expect(listed == expected)
    }

    @Test("what was due in the meantime goes to whom it is for; a dead letter needs a group that is known")
    func writesInLate() {
        let past = UnixTime.date(10)
        let (waiting, schedule) = (
            StoredMessage(id: "1", state: .waiting, group: "g", message: Message(text: "a"), due: past),
            StoredMessage(id: "2", state: .scheduled, group: nil, message: Message(text: "b"), due: past)
        )
        let places = [waiting, schedule].map {
            TransferPlan.order($0, queue: "q", partitions: 4, spread: 6, now: 1000).place
        }
        #expect(
            places == [
                StoredPlace(.retry, 2, 0, group: "g").place(in: "q"), StoredPlace(.main, 2, 0).place(in: "q"),
            ]
        )
        func problem(_ stored: StoredMessage) -> QueueError.Code? {
            TransferPlan.problem(stored, maxBodyBytes: 10, queue: "q", groups: ["g"])?.code
        }
        #expect(problem(waiting) == nil && problem(schedule) == nil)
        #expect(
            problem(StoredMessage(id: "3", state: .dead, group: nil, message: Message(text: "c"))) == .invalidArgument
        )
        #expect(problem(StoredMessage(id: "4", state: .ready, group: "x", message: Message(text: "c"))) == .notFound)
        let large = Message(body: Array(repeating: 0, count: 11))
        #expect(problem(StoredMessage(id: "5", state: .ready, group: "g", message: large)) == .tooLarge)
    }

    @Test("the registry tells whether a queue takes publications, of this declaration of it")
    func intake() throws {
        var table = KafkaRegistry.Table()
        func add(_ offset: Int64, _ value: some Encodable) throws {
            let payload = KafkaPayload(key: Array("q".utf8), value: Array(try JSONEncoder().encode(value)))
            table.apply(KafkaRecord(partition: 0, offset: offset, payload: payload))
        }
        try add(3, KafkaRegistry.QueueRecord(queue: "q", dedupeMs: 0, retentionMs: 0, isKeyed: false, partitions: 1))
        try add(4, KafkaRegistry.IntakeRecord(intake: 2, isOpen: false))
        #expect(table.entries["q"]?.isClosed == false)
        try add(5, KafkaRegistry.IntakeRecord(intake: 3, isOpen: false))
        #expect(table.entries["q"]?.isClosed == true)
        try add(6, KafkaRegistry.IntakeRecord(intake: 3, isOpen: true))
        #expect(table.entries["q"]?.isClosed == false)
    }
}
