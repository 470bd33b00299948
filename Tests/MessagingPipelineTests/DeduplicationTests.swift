import Foundation
import Messaging
import Testing

@testable import MessagingPipeline

@Suite struct DeduplicationTests {
    private func fingerprint(_ id: String, _ text: String, at seconds: Double? = 0) -> Fingerprint {
        Fingerprint(analysed(id, text, at: seconds))
    }

    @Test(arguments: [
        ("Great poll, thank you America! https://t.co/a", "RT @x: great poll. Thank you America", true),
        ("New Reuters poll- thank you! #MAGA #Trump2016", "New #ReutersPoll, thank you! #MAGA #Trump2016 ", true),
        ("Great new Iowa poll, thank you! #MAGA #Trump2016", "Great Fox News poll, thank you! #MAGA #Trump2016", false),
        (
            "Unemployment fell to 4.1% in July, the lowest in years",
            "Unemployment fell to 4.2% in July, the lowest in years", false
        ),
        ("Thank you", "Thank you!", true),
        ("Thank you", "Thanks you", false),
        ("😀", "🎉", false),
        ("https://t.co/a", "https://t.co/b", false),
        ("中国人民银行宣布下调存款准备金率以支持经济增长", "中国人民银行宣布下调存款准备金率以支持经济增长！", true),
        ("中国人民银行宣布下调存款准备金率以支持经济增长", "央行今天没有任何新的消息公布给市场参与者", false),
    ])
    func sayTheSame(first: String, second: String, expected: Bool) {
        let (a, b) = (fingerprint("1", first), fingerprint("2", second))
        #expect(a.isDuplicate(of: b) == expected)
        #expect(b.isDuplicate(of: a) == expected)
        #expect(!a.isDuplicate(of: a))
    }

    @Test func duplicatesAlwaysShareABucket() {
        var generator = SeededGenerator(seed: 5)
        let words = (0..<40).map { "word\($0)x" }
        for _ in 0..<300 {
            let text = (0..<15).map { _ in words.randomElement(using: &generator) ?? "" }
            var other = text
            for _ in 0..<Int.random(in: 0...4, using: &generator) {
                other[Int.random(in: 0..<15, using: &generator)] = "other"
            }
            let (a, b) = (fingerprint("1", text.joined(separator: " ")), fingerprint("2", other.joined(separator: " ")))
            if a.isDuplicate(of: b) { #expect(!Set(a.buckets).isDisjoint(with: b.buckets)) }
        }
    }

    @Test func fingerprintsSurviveARoundTrip() throws {
        for text in ["a longer text to be remembered", "short"] {
            let original = fingerprint("1", text)
            #expect(try PipelineJSON.decode(Fingerprint.self, from: PipelineJSON.encode(original)) == original)
        }
        #expect(throws: DecodingError.self) {
            try PipelineJSON.decode(
                Fingerprint.self,
                from: #"{"id":"1","order":"1","exact":"1","figures":"","signature":"zz"}"#.utf8
            )
        }
    }

    @Test func aFullStoreRefusesOnlyNewFingerprints() async throws {
        let store = MemoryDeduplicationStore(capacity: 1)
        _ = try await store.insert(fingerprint("1", "a"))
        await #expect(throws: StoreError.full(capacity: 1)) { try await store.insert(fingerprint("2", "b")) }
        _ = try await store.insert(fingerprint("1", "a"))
    }

    @Test func theEarliestIsTheOriginal() {
        let text = "the very same words again and again and again, by everybody in town"
        let all = [("3", 30.0, text), ("1", 10, text), ("2", 20, text), ("4", 40, text + " today"), ("5", 50, "else")]
            .map { fingerprint($0.0, $0.2, at: $0.1) }
        let verdict = Deduplicator.judge(all[0], against: [all[4], all[3], all[2], all[1]])
        #expect(verdict.text == all[0].exact)
        #expect(verdict.duplicateOf == "1")
        #expect(verdict.duplicateOfOrder == all[1].order)
        #expect(verdict.supersedes == [all[3].exact])
        #expect(verdict.similarity == 1)
        // A later statement of the same text needs no mention: the text has the same original.
        #expect(Deduplicator.judge(all[1], against: [all[0]]).supersedes == [])
        #expect(Deduplicator.judge(all[1], against: []) == Verdict(order: all[1].order, text: all[1].exact))
    }

    @Test func marksNameTheEarliestOriginalOfEachTextOnce() {
        let statement = analysed("5", "a")
        func marks(_ verdict: Verdict) -> [OriginalMark] {
            JudgedStatement(analysed: statement, verdict: verdict).marks
        }
        func mark(_ text: String, _ order: String, _ id: String) -> OriginalMark {
            OriginalMark(text: text, order: order, id: id)
        }
        #expect(marks(Verdict(order: "5", text: "t")) == [mark("t", "5", "5")])
        #expect(marks(Verdict(order: "5")) == [mark("5", "5", "5")])
        #expect(
            marks(Verdict(order: "5", text: "t", original: ("3", "3"), supersedes: ["v", "u", "t", "v"]))
                == [mark("t", "3", "3"), mark("u", "5", "5"), mark("v", "5", "5")]
        )
        #expect(marks(Verdict(order: "5", text: "t", original: ("7", "7"))) == [mark("t", "5", "5")])
    }

    @Test func textsWithOtherFiguresShareNoBucket() {
        let texts = (0..<50).map { "Report \($0) of the day on the weather in the north, the south and the east" }
        let all = texts.enumerated().map { fingerprint("\($0)", $1) }
        #expect(all.allSatisfy { $0.buckets.count == 13 })
        #expect(Set(all.flatMap(\.buckets)).count == 50 * 13)
        #expect(fingerprint("1", "Thank you").buckets.isEmpty)
    }

    @Test func fingerprintsSurvivePacking() {
        for text in ["a longer text to be remembered", "short", "中国人民银行宣布下调存款准备金率以支持经济增长"] {
            let original = fingerprint("1", text)
            func unpack(_ bytes: [UInt8]) -> Fingerprint? {
                Fingerprint(
                    id: "1",
                    order: original.order,
                    packedSignature: bytes,
                    exact: original.exact,
                    figures: original.figures
                )
            }
            #expect(unpack(original.packedSignature) == original)
            #expect(unpack([1]) == nil)
            #expect(unpack(original.packedSignature + [1, 2, 3, 4]) == nil)
        }
    }

    /// Statements in groups of which some are similar, some the same, some of the same time or of none.
    private static let analysedCollection: [AnalysedStatement] = {
        let bases = [
            "New national poll numbers are looking good for everybody in the country today",
            "The central bank will decide on interest rates next week in a long meeting",
            "Thank you", "Jobs report comes out tomorrow morning, everybody is waiting for it",
        ]
        let endings = ["", "!", " https://t.co/x", " again", " again and again, folks", " #now"]
        return bases.enumerated().flatMap { number, base in
            endings.enumerated().map { position, ending in
                let time = position == 5 ? nil : Double((position * 7 + number) % 4) * 100
                return analysed("\(number * 10 + position * 3)", base + ending, at: time)
            }
        }
    }()

    // Judging is what the tests below are about, so that the texts are gone through only once.
    private static let fingerprints = Dictionary(
        uniqueKeysWithValues: analysedCollection.map { ($0.statement.id, Fingerprint($0)) }
    )

    private var collection: [AnalysedStatement] { Self.analysedCollection }

    private struct Content: Equatable {
        var counts: StatementCounts
        var items: [StoredStatement]
    }

    private func content(_ store: MemoryStatementStore) async throws -> Content {
        let page = await store.list(try StatementQuery(limit: 200, includesDuplicates: true))
        return Content(counts: await store.counts(), items: page.items)
    }

    private func judge(_ statement: AnalysedStatement, _ store: MemoryDeduplicationStore) async throws
        -> JudgedStatement
    {
        let fingerprint = Self.fingerprints[statement.statement.id] ?? Fingerprint(statement)
        let verdict = Deduplicator.judge(fingerprint, against: try await store.insert(fingerprint))
        return JudgedStatement(analysed: statement, verdict: verdict)
    }

    @Test func theContentDoesNotDependOnTheOrderOfArrival() async throws {
        var expected: Content?
        for seed in 0..<200 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            let deduplication = MemoryDeduplicationStore()
            let store = MemoryStatementStore()
            // Every statement is delivered once or twice to each layer, and the second layer has an order of its own.
            var deliveries = collection
            deliveries += collection.filter { _ in Bool.random(using: &generator) }
            var judged: [JudgedStatement] = []
            for statement in deliveries.shuffled(using: &generator) {
                judged.append(try await judge(statement, deduplication))
            }
            for statement in judged.shuffled(using: &generator) { try await store.apply(statement) }
            let found = try await content(store)
            #expect(found == expected ?? found)
            expected = found
            #expect(await deduplication.count() == Set(Self.fingerprints.values.map(\.exact)).count)
        }
        let counts = try #require(expected?.counts)
        #expect(counts.unique + counts.duplicates == collection.count)
        #expect(counts.duplicates > 8)
    }

    @Test(arguments: [2, 8])
    func theContentDoesNotDependOnInterleaving(workers: Int) async throws {
        var expected: Content?
        for round in 0..<20 as Range<UInt64> {
            let deduplication = MemoryDeduplicationStore()
            let store = MemoryStatementStore()
            var generator = SeededGenerator(seed: round)
            let deliveries = collection.shuffled(using: &generator)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for worker in 0..<workers {
                    group.addTask {
                        for index in stride(from: worker, to: deliveries.count, by: workers) {
                            try await store.apply(judge(deliveries[index], deduplication))
                        }
                    }
                }
                try await group.waitForAll()
            }
            let found = try await content(store)
            #expect(found == expected ?? found)
            expected = found
        }
    }

    @Test func judgedStatementsAreFlatJSON() throws {
        let judged = JudgedStatement(
            analysed: analysed("1", "a"),
            verdict: Verdict(order: "o", original: ("2", "n"), supersedes: ["3"], similarity: 1)
        )
        let bytes = try PipelineJSON.encode(judged)
        #expect(try PipelineJSON.decode(JudgedStatement.self, from: bytes) == judged)
        let json = String(decoding: bytes, as: UTF8.self)
        #expect(
            json.hasPrefix(#"{"analysis":{"#) && json.contains(#","statement":{"#)
                && json.contains(#","verdict":{"duplicate_of":"2""#)
        )
    }
}
