import Foundation
import Messaging
import Testing

@testable import MessagingPipeline

@Suite struct StatementParserTests {
    private func read(_ text: String, _ format: StatementParser.Format? = nil) -> (good: [Statement], bad: [String]) {
        var parser = StatementParser(format: format, source: "s")
        var good: [Statement] = []
        var bad: [String] = []
        for result in parser.feed(Array(text.utf8)) + parser.finish() {
            switch result {
            case .statement(let statement): good.append(statement)
            case .malformed(let malformed): bad.append(malformed.description)
            }
        }
        return (good, bad)
    }

    private let expected = Statement(
        id: "765629939811020802",
        createdAt: Date(timeIntervalSince1970: 1_471_375_377),
        text: "It's \"close\",\n38%",
        source: "s"
    )

    @Test(arguments: [
        "id,created_at,text\r\n765629939811020802,8/16/2016 19:22:57,\"It's \"\"close\"\",\n38%\"\r\n",
        "\u{FEFF}\n Message ,GUID,Date\n\"It's \"\"close\"\",\n38%\",765629939811020802,2016-08-16T21:22:57+02:00",
        #" [{"tweet_id":765629939811020802,"Content":"It's \"close\",\n38%","time":"2016-08-16 19:22:57","x":[{}]}]"#,
        #"{"id":"765629939811020802","text":"It's \"close\",\n38%","timestamp":1471375377}"#,
        #"{"id":null,"guid":"765629939811020802","text":" ","body":"It's \"close\",\n38%","date":1471375377000}"#
            + "\n",
    ])
    func everyNotationGivesTheSameStatement(input: String) {
        let (good, bad) = read(input)
        #expect(good == [expected])
        #expect(bad.isEmpty)
    }

    @Test(arguments: [
        ("text,id\nhello,1\n  ,2\nx,3\n", "s:3: record 3: empty text", 2),
        ("text,id\na,1\nb\nc,3\n", "s:3: record 3: 2 fields are expected, not 1", 2),
        ("text,date\na,soon\nb,\n", "s:2: record 2: date not understood: \"soon\"", 1),
        (
            "[{\"text\":\"a\"},{\"text\":},{\"text\":\"b\"}]",
            "s:1: record 2: invalid JSON: a value is expected at byte 9", 2
        ),
        ("{\"text\":\"a\"}\n7\n", "s:2: record 2: not a JSON object", 1),
        ("{\"id\":true,\"text\":\"a\"}", "s:1: record 1: id is neither a string nor null", 0),
        ("{\"id\":\"a\\nb\",\"text\":\"a\"}", "s:1: record 1: id with a control character", 0),
        (
            "{\"id\":\"\(String(repeating: "x", count: 257))\",\"text\":\"a\"}",
            "s:1: record 1: id longer than 256 bytes", 0
        ),
    ])
    func malformedRecordsAreSkipped(input: String, reason: String, good: Int) {
        let result = read(input)
        #expect(result.bad == [reason])
        #expect(result.good.count == good)
    }

    @Test(arguments: [
        ("id,date\n1,2\n3,4\n", "s:1: record 1: the header has no column for the text"),
        ("te\"xt\na\n", "s:1: record 1: the header is malformed: quote inside an unquoted field"),
    ])
    func anUnusableHeaderIsReportedOnce(input: String, reason: String) {
        let result = read(input)
        #expect(result.bad == [reason])
        #expect(result.good.isEmpty)
        var parser = StatementParser(format: .csv, source: "s")
        let results = input.utf8.flatMap { parser.feed([$0]) } + parser.finish()
        #expect(results.count == 1)
    }

    @Test func emptyInput() {
        #expect(read("").bad.isEmpty)
        #expect(read(" \n").bad.isEmpty)
        #expect(read("", .jsonArray).bad.count == 1)
        #expect(read("", .csv).bad.isEmpty)
    }

    @Test func recordsWithoutAnIDGetOneThatDependsOnTimeAndText() {
        let ids = read("text,date\na,2016-01-01\na,2016-01-02\n a ,2016-01-01\nb,2016-01-01\n").good.map(\.id)
        #expect(ids.count == 4)
        #expect(ids.allSatisfy { $0.hasPrefix("h-") && $0.utf8.count == 34 })
        #expect(ids[0] == ids[2])
        #expect(Set(ids).count == 3)
        // Any change of the derivation would make old statements new ones.
        #expect(Statement.derivedID(createdAt: nil, text: "a") == Statement.derivedID(createdAt: nil, text: " a\n"))
        #expect(StableHash.hex128("".utf8) == "6c62272e07bb014262b821756295c58d")
        #expect(StableHash.hex128("a".utf8) == "d228cb696f1a8caf78912b704e4a8964")
        #expect(StableHash.hash64("a".utf8) == 0xaf63_dc4c_8601_ec8c)
    }

    @Test func roundedIDsAreReplaced() {
        let ids = read("id,text\n7.02608E+17,a\n7.02608E+17,b\n12e5,c\n1.5,d\n").good.map(\.id)
        #expect(ids[0] != ids[1])
        #expect(ids[0].hasPrefix("h-"))
        #expect(ids[2...] == ["12e5", "1.5"])
    }

    @Test func theSourceOfARecordCountsOnlyWithoutAnother() {
        var parser = StatementParser(format: nil, source: nil)
        let results = parser.feed(Array(#"{"text":"a","source":"feed"}"#.utf8)) + parser.finish()
        guard case .statement(let statement) = results.first else {
            Issue.record("no statement")
            return
        }
        #expect(statement.source == "feed")
    }

    @Test(arguments: StatementParser.Format.allCases, 0..<40 as Range<UInt64>)
    func randomBytesCutAnywhereGiveTheSame(format: StatementParser.Format, seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let starts: [StatementParser.Format: String] = [
            .csv: "id,text\n1,\"a\nb\"\n", .jsonArray: "[{\"text\":\"a\"},", .jsonLines: "{\"text\":\"a\"}\n",
        ]
        let pieces =
            ["{\"text\":\"a\"}", ",", "\n", "\"", "{", "]", "1,b", "\u{0}", "é", " "].map { Array($0.utf8) } + [[0xFF]]
        var bytes = Array((starts[format] ?? "").utf8)
        for _ in 0..<150 { bytes += pieces.randomElement(using: &generator) ?? [] }
        var whole = StatementParser(format: format, source: "s")
        var single = StatementParser(format: format, source: "s")
        let expected = whole.feed(bytes) + whole.finish()
        #expect(bytes.flatMap { single.feed([$0]) } + single.finish() == expected)
        #expect(!expected.isEmpty)
    }
}
