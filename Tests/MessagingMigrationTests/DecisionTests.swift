import Foundation
import Messaging
import Testing

@testable import MessagingMigration

@Suite("Decisions of a migration")
struct DecisionTests {
    private static let start = Date(timeIntervalSince1970: 1_800_000_000)

    private static func migration(ordered: Bool = false) -> Migration {
        Migration(
            id: "m",
            queue: "q",
            source: "a",
            target: "b",
            mode: .drain,
            isOrdered: ordered,
            lease: .seconds(10),
            date: start
        )
    }

    private static func facts(
        after seconds: Double = 11,
        behind: [String] = [],
        left: [StoredMessage.State: Int?] = [:],
        open: Int = 0,
        mismatches: Int = 0
    ) -> MigrationFacts {
        MigrationFacts(
            date: start.addingTimeInterval(seconds),
            behind: behind,
            left: left,
            openIntents: open,
            mismatches: mismatches
        )
    }

    /// Goes on to a state by the way that every migration goes.
    private static func migration(in state: MigrationState, ordered: Bool = false) throws -> Migration {
        var migration = migration(ordered: ordered)
        var seconds = 11.0
        while migration.state < state {
            let event: MigrationEvent
            switch migration.state {
            case .preparing: event = .prepared
            case .reading: event = .raise(100)
            case .switching: event = .close
            case .closing: event = .closed
            case .draining: event = .drained
            case .moving: event = .moved
            case .verifying: event = .verified
            case .quarantine, .finished: event = .finish
            }
            migration = try migration.after(event, facts(after: seconds))
            seconds += 11
        }
        return migration
    }

    @Test("goes through every state, and each step has a higher epoch")
    func way() throws {
        var epochs: [Int] = []
        for state in MigrationState.allCases {
            let migration = try Self.migration(in: state)
            #expect(migration.state == state)
            epochs.append(migration.epoch)
        }
        #expect(epochs == epochs.sorted() && Set(epochs).count == epochs.count)
    }

    @Test("does not let a step come at another time", arguments: MigrationState.allCases)
    func order(state: MigrationState) throws {
        let migration = try Self.migration(in: state)
        let possible: [MigrationState: Set<MigrationEvent>] = [
            .preparing: [.prepared, .turnBack], .reading: [.raise(100), .turnBack], .switching: [.close, .turnBack],
            .closing: [.closed, .turnBack], .draining: [.drained, .turnBack], .moving: [.moved, .turnBack],
            .verifying: [.verified, .turnBack], .quarantine: [.finish, .turnBack], .finished: [],
        ]
        let events: [MigrationEvent] = [
            .prepared, .raise(100), .close, .closed, .drained, .moved, .verified, .finish, .turnBack,
        ]
        for event in events where !(possible[state]?.contains(event) ?? false) {
            #expect(throws: MigrationRefusal.self) { try migration.after(event, Self.facts(after: 1000)) }
        }
        for event in possible[state] ?? [] {
            #expect(throws: Never.self) { try migration.after(event, Self.facts(after: 1000)) }
        }
    }

    @Test("keeps each gate shut until its condition holds")
    func gates() throws {
        func refuses(_ state: MigrationState, _ event: MigrationEvent, _ facts: MigrationFacts) throws {
            let migration = try Self.migration(in: state)
            #expect(throws: MigrationRefusal.self, "\(state) \(event)") { try migration.after(event, facts) }
        }
        try refuses(.reading, .raise(1), Self.facts(after: 1000, behind: ["p"]))
        // Whoever looked just before the migration began has not looked again.
        try refuses(.reading, .raise(1), Self.facts(after: 12))
        try refuses(.switching, .close, Self.facts(after: 1000, behind: ["p"]))
        try refuses(.closing, .closed, Self.facts(after: 1000, behind: ["p"]))
        try refuses(.draining, .drained, Self.facts(after: 1000, left: [.inFlight: 1]))
        try refuses(.draining, .drained, Self.facts(after: 1000, left: [.ready: Int?.none]))
        for state in StoredMessage.State.allCases {
            try refuses(.moving, .moved, Self.facts(after: 1000, left: [state: 1]))
            try refuses(.quarantine, .finish, Self.facts(after: 1000, left: [state: 1]))
        }
        try refuses(.moving, .moved, Self.facts(after: 1000, open: 1))
        try refuses(.verifying, .verified, Self.facts(after: 1000, mismatches: 1))
        try refuses(.draining, .turnBack, Self.facts(after: 1000, open: 1))
    }

    @Test("lets no more producers go over while the new side does badly")
    func health() throws {
        let migration = try Self.migration(in: .reading).after(.raise(10), Self.facts(after: 100))
        func facts(_ lately: PublicationCount, lag: Int? = nil, most: Int? = nil) -> MigrationFacts {
            var facts = Self.facts(after: 200)
            (facts.lately, facts.lag, facts.limits.maxLag) = (lately, lag, most)
            return facts
        }
        let all = try Self.migration(in: .switching)
        for (migration, event) in [(migration, MigrationEvent.raise(50)), (all, .close)] {
            func passes(_ facts: MigrationFacts) -> Bool { (try? migration.after(event, facts)) != nil }
            #expect(passes(facts(PublicationCount())))
            #expect(passes(facts(PublicationCount(attempted: 100, failed: 1))))
            #expect(!passes(facts(PublicationCount(attempted: 100, failed: 2))))
            #expect(!passes(facts(PublicationCount(attempted: 1, failed: 1))))
            #expect(passes(facts(PublicationCount(), lag: 1_000_000)))
            #expect(passes(facts(PublicationCount(), lag: 50, most: 50)))
            #expect(!passes(facts(PublicationCount(), lag: 51, most: 50)))
            // Who asks for a bound is not told that nothing is known.
            #expect(!passes(facts(PublicationCount(), lag: nil, most: 50)))
        }
        var silent = facts(PublicationCount())
        silent.silent = ["p"]
        #expect((try? migration.after(.raise(50), silent)) == nil)
        let refusal = #expect(throws: MigrationRefusal.self) {
            try migration.after(.raise(50), facts(PublicationCount(attempted: 40, failed: 3)))
        }
        #expect(refusal?.canWait == true)
        #expect(refusal?.description.contains("3 of the last 40 publications to b") == true)
        // It can always be taken back.
        #expect((try? migration.after(.turnBack, facts(PublicationCount(attempted: 9, failed: 9)))) != nil)
    }

    @Test("counts what became of publications lately, and to one side")
    func tally() {
        var tally = PublicationTally(window: .seconds(10))
        func count(_ side: String, _ seconds: Double) -> PublicationCount {
            tally.lately(to: side, at: .seconds(seconds))
        }
        tally.add(PublicationCount(attempted: 5, failed: 1), to: "b", at: .seconds(1))
        tally.add(PublicationCount(attempted: 5, failed: 0), to: "b", at: .seconds(9))
        #expect(count("b", 9) == PublicationCount(attempted: 10, failed: 1))
        // Still there in the window after it, and gone with the next.
        #expect(count("b", 12) == PublicationCount(attempted: 10, failed: 1))
        tally.add(PublicationCount(attempted: 2, failed: 2), to: "b", at: .seconds(13))
        #expect(count("b", 19) == PublicationCount(attempted: 12, failed: 3))
        #expect(count("b", 22) == PublicationCount(attempted: 2, failed: 2))
        #expect(count("b", 60) == PublicationCount())
        tally.add(PublicationCount(attempted: 2, failed: 2), to: "b", at: .seconds(61))
        #expect(count("a", 62) == PublicationCount())
        #expect(count("b", 62) == PublicationCount())
        let codes: [QueueError.Code] = [.queueClosed, .idConflict, .unavailable, .tooLarge]
        var outcomes = codes.map { PublishOutcome.refused(QueueError($0, "no")) }
        outcomes.append(.accepted)
        outcomes.append(.duplicate)
        outcomes.append(.indeterminate(QueueError(.indeterminate, "?")))
        let counted = PublicationTally.count(outcomes)
        #expect(counted == PublicationCount(attempted: 7, failed: 3))
    }

    @Test("changes no producer's side by turning back, and goes the other way from there")
    func turningBack() throws {
        var migration = try Self.migration(in: .reading).after(.raise(10), Self.facts(after: 100))
        let messages = (0..<2000).map { Message(text: "x", id: MessageID("m\($0)")) }
        let before = messages.map { migration.place(of: $0) }
        let back = try migration.after(.turnBack, Self.facts(after: 200))
        #expect(back.from == "b" && back.to == "a" && back.leg == 2 && back.percent == 90)
        #expect(messages.map { back.place(of: $0) } == before)
        migration = try back.after(.turnBack, Self.facts(after: 300))
        #expect(migration.from == "a" && migration.percent == 10)
        #expect(messages.map { migration.place(of: $0) } == before)
    }

    @Test("an ordered queue is read on one side at a time and goes over at once")
    func ordered() throws {
        for state in MigrationState.allCases {
            let sides = try Self.migration(in: state, ordered: true).readSides
            let expected: [String] = state < .verifying ? ["a"] : state == .finished ? ["b"] : ["a", "b"]
            #expect(sides == expected, "\(state)")
        }
        let reading = try Self.migration(in: .reading, ordered: true)
        #expect(throws: MigrationRefusal.self) { try reading.after(.raise(10), Self.facts(after: 100)) }
        let draining = try Self.migration(in: .draining, ordered: true)
        #expect(throws: MigrationRefusal.self) {
            try draining.after(.drained, Self.facts(after: 100, left: [.waiting: 1]))
        }
        #expect(throws: MigrationRefusal.self) { try draining.after(.turnBack, Self.facts(after: 100)) }
        let back = try reading.after(.turnBack, Self.facts(after: 100))
        #expect(back.readSides == ["b", "a"] && back.place(of: Message(text: "x")) == "a")
    }

    @Test("a queue that is not ordered is read on both sides from before the first publication to the new one")
    func readSides() throws {
        for state in MigrationState.allCases where state > .preparing && state < .finished {
            #expect(try Self.migration(in: state).readSides == ["a", "b"])
        }
        #expect(try Self.migration(in: .preparing).readSides == ["a"])
        #expect(try Self.migration(in: .finished).readSides == ["b"])
    }

    @Test("buckets follow the key, else the id, and share messages evenly")
    func buckets() {
        let one = Message(text: "a", id: "1", key: "k")
        let other = Message(text: "b", id: "2", key: "k")
        #expect(KeyBucket.of(one) == KeyBucket.of(other))
        var counts = [Int](repeating: 0, count: KeyBucket.count)
        for number in 0..<20_000 { counts[KeyBucket.of(Message(text: "", id: MessageID("id-\(number)")))] += 1 }
        #expect(counts.allSatisfy { 100...300 ~= $0 })
        var migration = Self.migration()
        let shares = [0, 1, 10, 50, 100].map { percent in
            migration.percent = percent
            return (0..<10_000).count { migration.hasGoneOver(Message(text: "", id: MessageID("id-\($0)"))) }
        }
        #expect(shares[0] == 0 && shares[4] == 10_000 && shares == shares.sorted())
        #expect(50...200 ~= shares[1] && 4500...5500 ~= shares[3])
    }

    @Test("the canonical hash sees id, key, body, type and headers, and nothing that brokers add")
    func hash() {
        let message = Message(
            body: [0, 255],
            id: "1",
            key: "k",
            headers: ["b": "2", "a": "1"],
            contentType: "text/plain"
        )
        let hash = CanonicalHash(message)
        var other = message
        other.headers = ["a": "1", "b": "2"]
        other.due = .after(.seconds(5))
        #expect(CanonicalHash(other) == hash)
        var foreign = message
        foreign.headers["mq-attempt"] = "3"
        #expect(CanonicalHash(foreign) == hash)
        let changes: [(inout Message) -> Void] = [
            { $0.id = "2" }, { $0.key = nil }, { $0.key = "" }, { $0.body = [255, 0] }, { $0.contentType = nil },
            { $0.headers["a"] = "2" }, { $0.headers["c"] = "" }, { $0.headers = ["a": "1b2"] },
        ]
        for change in changes {
            var changed = message
            change(&changed)
            #expect(CanonicalHash(changed) != hash)
        }
        #expect(CanonicalHash(hash.description) == hash)
        #expect(CanonicalHash("zz") == nil)
    }

    @Test("sets are compared, not counts")
    func comparison() {
        func message(_ id: String, _ hash: String = "h", _ group: String? = "g") -> VerifiedMessage {
            VerifiedMessage(id: id, group: group, hash: hash)
        }
        let expected = [message("a"), message("b"), message("c"), message("d")]
        let found = [message("a"), message("a"), message("b", "other"), message("d"), message("x")]
        let result = SetComparison(expected: expected, found: found)
        #expect(result.missing == ["c"])
        #expect(result.duplicate == ["a"])
        #expect(result.different == ["b"])
        #expect(result.extra == ["x"])
        #expect(result.matched == 2)
        #expect(!result.isSame)
        let more = SetComparison(expected: [message("a")], found: [message("a"), message("x")], allowsMore: true)
        #expect(more.isSame)
        // The same id for two groups is twice expected, not a duplicate.
        let groups = [message("a"), message("a", "h", "other")]
        #expect(SetComparison(expected: groups, found: groups).isSame)
    }
}
