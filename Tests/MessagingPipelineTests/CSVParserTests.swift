import Messaging
import Testing

@testable import MessagingPipeline

@Suite struct CSVParserTests {
    private func parse(_ bytes: some Sequence<UInt8>, limit: Int = 1 << 20) -> [Parsed<CSVRecord>] {
        var parser = CSVParser(source: "s.csv", recordLimit: limit)
        return parser.feed(bytes) + parser.finish()
    }

    private func fields(_ text: String) -> [[String]] {
        parse(text.utf8).compactMap { if case .record(let record) = $0 { record.fields } else { nil } }
    }

    private func malformed(_ results: [Parsed<CSVRecord>]) -> [String] {
        results.compactMap { if case .malformed(let malformed) = $0 { malformed.description } else { nil } }
    }

    @Test(arguments: [
        ("a,b\nc,d\n", [["a", "b"], ["c", "d"]]),
        ("a,b\r\nc,d", [["a", "b"], ["c", "d"]]),
        ("a,b\rc,d\r", [["a", "b"], ["c", "d"]]),
        ("\u{FEFF}a,b", [["a", "b"]]),
        ("\"x \"\"y\"\" z\",\"1\n2\r\n3\"\n", [["x \"y\" z", "1\n2\r\n3"]]),
        ("a,\n,\n\"\"\n", [["a", ""], ["", ""], [""]]),
        ("\n\r\n\na\n\n", [["a"]]),
        ("a,", [["a", ""]]),
        ("ä,中文,🙂", [["ä", "中文", "🙂"]]),
        ("", []),
    ])
    func grammar(input: String, expected: [[String]]) {
        #expect(fields(input) == expected)
    }

    @Test func recordsKnowTheirNumberAndLine() {
        let records = parse("h\r\n\"1\r\n2\"\r\n\r\nx\r\n".utf8).compactMap {
            if case .record(let record) = $0 { record } else { nil }
        }
        #expect(records.map(\.number) == [1, 2, 3])
        #expect(records.map(\.line) == [1, 2, 5])
    }

    @Test(arguments: [
        ("a\nb,\"c\n\nd", ["s.csv:2: record 2: unterminated quoted field"], 1),
        ("a\nb\"c,\"\nd\n", ["s.csv:2: record 2: quote inside an unquoted field"], 2),
        ("a\n\"b\"c,\"\nd\n", ["s.csv:2: record 2: text after the closing quote of a field"], 2),
        ("1,\"a\n2,\"b\"\n3,c\n", ["s.csv:1: record 1: text after the closing quote of a field"], 1),
    ])
    func malformedRecordsAreSkipped(input: String, expected: [String], good: Int) {
        let results = parse(input.utf8)
        #expect(malformed(results) == expected)
        #expect(results.count - expected.count == good)
    }

    @Test func invalidUTF8IsMalformed() {
        let results = parse([0x61, 0x0A, 0xFF, 0x0A, 0x62])
        #expect(malformed(results) == ["s.csv:2: record 2: invalid UTF-8"])
        #expect(results.count == 3)
    }

    @Test func aRecordOverTheLimitIsSkippedToItsEnd() {
        let results = parse("a,b\n\"12345\n67\",x\nc\n".utf8, limit: 8)
        #expect(malformed(results) == ["s.csv:2: record 2: record larger than 8 bytes"])
        #expect(results.last == .record(CSVRecord(number: 3, line: 4, fields: ["c"])))
        #expect(malformed(parse("12345678\n".utf8, limit: 8)).isEmpty)
        #expect(malformed(parse("123456789\n".utf8, limit: 8)).count == 1)
    }

    @Test func bytesAfterTheEndAreIgnored() {
        var parser = CSVParser()
        #expect(parser.feed("a".utf8).isEmpty)
        #expect(parser.finish().count == 1)
        #expect(parser.feed("b\n".utf8).isEmpty)
        #expect(parser.finish().isEmpty)
    }

    @Test(arguments: 0..<200 as Range<UInt64>)
    func randomBytesCutAnywhereGiveTheSame(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let alphabet = Array("a,\"\r\n ".utf8) + [0xEF, 0xBB, 0xBF, 0xFF]
        let bytes = (0..<300).map { _ in alphabet.randomElement(using: &generator) ?? 0 }
        let whole = parse(bytes, limit: 40)
        var parser = CSVParser(source: "s.csv", recordLimit: 40)
        #expect(bytes.flatMap { parser.feed([$0]) } + parser.finish() == whole)
    }
}
