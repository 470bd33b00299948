import Messaging
import Testing

@testable import MessagingKafka

@Suite("Decisions without a broker")
struct DecisionTests {
    @Test("who missed a topic joins again some times, but never while it joins, and not when it has got all")
    func rejoining() {
        var rejoining = Rejoining()
        rejoining.assigned(hasAll: false, now: .zero)
        #expect(rejoining.due == nil, "others have the rest")
        rejoining.missed(isJoined: false, now: .seconds(1))
        #expect(rejoining.due == nil)
        var now: Duration = .seconds(5)
        for pause in Rejoining.pauses {
            rejoining.assigned(hasAll: false, now: now)
            rejoining.missed(isJoined: true, now: now)
            #expect(rejoining.due == now + pause)
            let early = rejoining.isDue(now: now)
            now += pause
            let (late, again) = (rejoining.isDue(now: now), rejoining.isDue(now: now))
            #expect(!early && late && !again)
        }
        rejoining.assigned(hasAll: false, now: now)
        #expect(rejoining.due == nil, "it can do no more")
        rejoining.missed(isJoined: true, now: now)
        #expect(rejoining.due == now + Rejoining.pauses[0], "another time")
        rejoining.assigned(hasAll: true, now: now)
        #expect(rejoining.due == nil)
    }

    @Test("names are mapped to Kafka's alphabet and back, and no two of them meet, '.' and '_' being the same")
    func names() {
        var parts = ["a", "-", "_", ".", ":", "/", "2D", "3A", "40", "5F", "2F", "b"]
        parts += parts.map { $0 + "-" }
        var seen: [String: String] = [:]
        for first in parts where first.first?.isLetter == true || first.first?.isNumber == true {
            for second in parts {
                for third in parts {
                    let name = first + second + third
                    let topic = KafkaNames.main(name)
                    #expect(KafkaNames.decoded(topic) == name)
                    #expect(topic.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || ".-".contains($0)) })
                    let other = seen.updateValue(name, forKey: topic)
                    #expect(other == nil || other == name, "\(other ?? "") and \(name) are both \(topic)")
                }
            }
        }
        #expect(KafkaNames.main("queue:analysis") == "queue-3Aanalysis")
        #expect(KafkaNames.main("my-orders.v2") == "my-orders.v2")
        #expect(KafkaNames.retry("a", "b.c") != KafkaNames.retry("c.a", "b"))
        #expect(KafkaNames.retry("a.b", "c") != KafkaNames.retry("b", "c.a"))
        let long = String(repeating: "a:", count: 100)
        #expect(KafkaNames.retry(long, long + "x").utf8.count == 249)
        #expect(KafkaNames.retry(long, "x" + long) != KafkaNames.retry(long, "y" + long))
    }

    @Test("a level holds what waits at least its length")
    func levels() {
        for (index, length) in DelayLevels.lengths.enumerated() {
            #expect(DelayLevels.level(for: length) == index)
            if index > 0 { #expect(DelayLevels.level(for: length - 1) == index - 1) }
        }
        #expect(DelayLevels.level(for: DelayLevels.longest) == DelayLevels.lengths.count - 1)
        #expect(DelayLevels.level(for: -5) == 0)
    }

    @Test func hysteresis() {
        var crowd = Hysteresis(high: 10, low: 5)
        let answers = [9, 10, 9, 6, 5, 9, 10].map { crowd.update($0) }
        #expect(answers == [false, true, true, true, false, false, true])
    }

    @Test("keys go to the lanes that docs/wire-format.md gives")
    func lanes() {
        let lanes = ["", "a", "key-1", "é", "queue"].map { Lanes.partition(of: Array($0.utf8), among: 12) }
        #expect(lanes == lanes.map { min(max($0, 0), 11) })
        #expect(Lanes.partition(of: Array("a".utf8), among: 12) == Self.lane("a", 12))
        #expect(Lanes.partition(of: Array("key-1".utf8), among: 7) == Self.lane("key-1", 7))
        #expect(Lanes.partition(of: [1], among: 1) == 0)
        var counts = [Int](repeating: 0, count: 8)
        for index in 0..<8000 { counts[Int(Lanes.partition(of: Array("key-\(index)".utf8), among: 8))] += 1 }
        #expect(counts.allSatisfy { (800...1200).contains($0) }, "\(counts)")
    }

    /// As the document says it, in other words.
    private static func lane(_ key: String, _ count: UInt64) -> Int32 {
        var hash: UInt64 = 14_695_981_039_346_656_037
        for byte in key.utf8 {
            hash ^= UInt64(byte)
            hash = hash.multipliedReportingOverflow(by: 1_099_511_628_211).partialValue
        }
        let folded = (hash % (1 << 32)) ^ (hash / (1 << 32))
        return Int32(folded % (1 << 31) % count)
    }

    @Test("a report says whether a message is there, is not there, or nobody knows")
    func verdicts() {
        func verdict(_ name: String?, _ persistence: Persistence) -> PublishVerdict {
            let failure = name.map { KafkaFailure(code: 1, name: $0, text: "") }
            return PublishVerdict(KafkaReport(token: 0, persistence: persistence, failure: failure))
        }
        #expect(verdict(nil, .persisted) == .accepted)
        #expect(verdict("_MSG_TIMED_OUT", .not) == .again)
        #expect(verdict("_MSG_TIMED_OUT", .possibly) == .indeterminate)
        #expect(verdict("MSG_SIZE_TOO_LARGE", .not) == .refused)
        #expect(verdict("UNKNOWN_TOPIC_OR_PART", .not) == .refused)
        #expect(verdict("DUPLICATE_SEQUENCE_NUMBER", .persisted) == .accepted)
    }

    @Test("only what every registered group has finished is removed")
    func retention() {
        let places = (0..<4 as Range<Int32>).map { TopicPartition(topic: "t", partition: $0) }
        let bounds = Dictionary(uniqueKeysWithValues: places.map { ($0, 10..<Int64(100)) })
        let first: Retention.Bases = [places[0]: 50, places[1]: 10, places[2]: 100, places[3]: 90]
        let second: Retention.Bases = [places[0]: 30, places[1]: 90, places[2]: 70]
        let plan = Retention.plan([first, second], bounds: bounds, young: [places[2]: 65])
        #expect(plan.map(\.place) == [places[0], places[2]])
        #expect(plan.map(\.offset) == [30, 65])
        #expect(Retention.plan([], bounds: bounds, young: [:]).isEmpty)
        // Beyond the end: that is of another topic of the name, and nothing of this one is finished.
        #expect(Retention.plan([[places[0]: 101]], bounds: [places[0]: 10..<100], young: [:]).isEmpty)
        #expect(Retention.plan([[places[0]: 100]], bounds: [places[0]: 10..<100], young: [:]).map(\.offset) == [100])
    }

    @Test("a group that is beyond the end of a partition begins anew there, and nowhere else")
    func beyondTheEnd() {
        let places = (0..<6 as Range<Int32>).map { TopicPartition(topic: "t", partition: $0) }
        let offsets: [Int64] = [10, 11, KafkaPosition.none, KafkaPosition.none, KafkaPosition.none, 99]
        let positions = zip(places, offsets).map { KafkaPosition(place: $0, offset: $1, metadata: "mq1;") }
        let floors = [places[0]: Int64(3), places[1]: 3, places[2]: 10, places[3]: 11]
        // The last one was not asked for.
        let ends = Dictionary(uniqueKeysWithValues: places.prefix(5).map { ($0, Int64(10)) })
        let (kept, known, lost) = LogEnds.within(ends, positions, floors: floors)
        #expect(lost == [places[1], places[3]])
        #expect(kept.map(\.offset) == [10] + Array(repeating: KafkaPosition.none, count: 4) + [99])
        #expect(kept[0].metadata == "mq1;" && kept[1].metadata == nil, "what was finished there was finished elsewhere")
        #expect(known == [places[0]: 3, places[2]: 10], "all that is there now came after the group began")
    }

    @Test("the book of dead letters counts by group, and what is gone is gone once")
    func book() {
        var book = DeadLetterBook()
        for offset in 0..<6 as Range<Int64> {
            let group = offset < 4 ? "a" : "b"
            let header = KafkaHeader(name: "mq-group", value: Array(group.utf8))
            let payload = KafkaPayload(key: nil, value: [], headers: [header])
            let record = KafkaRecord(partition: 0, offset: offset, timestamp: nil, payload: payload)
            book.count(record)
            book.count(record)
        }
        for (offset, letter) in [(0, 1), (1, 1), (2, 5)] as [(Int64, Int64)] {
            let payload = DeadLetterBook.state(letter, group: letter < 4 ? "a" : "b", .redriven)
            book.remove(KafkaRecord(partition: 0, offset: offset, timestamp: nil, payload: payload))
        }
        #expect(book.count(of: "a") == 3 && book.count(of: "b") == 1 && book.count(of: "c") == 0)
        #expect(book.gone.contains(1) && book.gone.contains(5) && book.gone.count == 2)
        #expect(KafkaQueue.runs([1, 2, 30, 200, 201]) == [1..<31, 200..<202])
    }

    @Test("the first record of a key of the registry counts")
    func registry() throws {
        var table = KafkaRegistry.Table()
        func apply(_ key: String, _ json: String?, _ offset: Int64) {
            let payload = KafkaPayload(key: Array(key.utf8), value: json.map { Array($0.utf8) })
            table.apply(KafkaRecord(partition: 0, offset: offset, timestamp: nil, payload: payload))
        }
        apply("q@early", #"{"format":1,"queue":"q","group":"early","leaseMs":1,"maxAttempts":1,"floor":{}}"#, 0)
        apply("q", #"{"format":1,"queue":"q","dedupeMs":5,"retentionMs":0,"isKeyed":true,"partitions":3}"#, 1)
        apply("q", #"{"format":1,"queue":"q","dedupeMs":6,"retentionMs":0,"isKeyed":false,"partitions":9}"#, 2)
        apply(
            "q@g",
            #"{"format":1,"queue":"q","group":"g","leaseMs":700,"maxAttempts":4,"floor":{"offsets":[1,2,3]}}"#,
            3
        )
        apply("q@g", #"{"format":1,"queue":"q","group":"g","leaseMs":900,"maxAttempts":4,"floor":{}}"#, 4)
        apply("x", "nonsense", 5)
        apply("y", nil, 6)
        apply("z", #"{"format":2,"queue":"z","dedupeMs":6,"retentionMs":0,"isKeyed":false,"partitions":9}"#, 7)
        let entry = try #require(table.entries["q"])
        #expect(table.entries.count == 1 && table.next == 8)
        #expect(entry.definition.dedupeWindow == .milliseconds(5) && entry.definition.ordering == .keyed)
        #expect(entry.partitions == 3)
        #expect(entry.definition.groups == [GroupDefinition("g", lease: .milliseconds(700), maxAttempts: 4)])
        #expect(entry.floors["g"] == KafkaRegistry.Floor(offsets: [1, 2, 3]))
    }
}
