import Messaging
import Testing

@testable import MessagingPipeline

@Suite struct JSONParsersTests {
    private func array(_ bytes: some Sequence<UInt8>, limit: Int = 1 << 20) -> [Parsed<JSONRecord>] {
        var parser = JSONArrayParser(source: "s", elementLimit: limit)
        return parser.feed(bytes) + parser.finish()
    }

    private func lines(_ bytes: some Sequence<UInt8>, limit: Int = 1 << 20) -> [Parsed<JSONRecord>] {
        var parser = JSONLinesParser(source: "s", lineLimit: limit)
        return parser.feed(bytes) + parser.finish()
    }

    /// `line:number:value`, or the description of what is malformed.
    private func summary(_ results: [Parsed<JSONRecord>]) -> [String] {
        results.map { result in
            switch result {
            case .record(let record): "\(record.line):\(record.number):" + String(decoding: record.bytes, as: UTF8.self)
            case .malformed(let malformed): malformed.description
            }
        }
    }

    @Test(arguments: [
        ("[]", []),
        (" [ ] \n", []),
        ("\u{FEFF}[1, \"a,]\\\"\" ,{\"b\":[1,{}]}\n]", ["1:1:1", "1:2:\"a,]\\\"\"", "1:3:{\"b\":[1,{}]}"]),
        ("[\r\n{},\r\n{}\r\n]", ["2:1:{}", "3:2:{}"]),
        ("[1,,2]", ["1:1:1", "s:1: record 2: empty element", "1:3:2"]),
        ("[1,]", ["1:1:1", "s:1: record 2: empty element"]),
        ("[{},{\"a\":1], {}]", ["1:1:{}", "s:1: record 2: brackets do not match", "1:3:{}"]),
        ("[{\"a\":[1}, {}]", ["s:1: record 1: brackets do not match", "1:2:{}"]),
        ("[{\"a\":\"b},\n{}\n]", ["s:1: record 1: unterminated string", "2:2:{}"]),
        ("[{},{\"a\"", ["1:1:{}", "s:1: record 2: the array ends inside this element"]),
        ("[{},\n12", ["1:1:{}", "s:2: record 2: the array ends inside this element"]),
        ("[{}", ["1:1:{}", "s:1: record 2: the array is not closed"]),
        ("[{},", ["1:1:{}", "s:1: record 2: the array is not closed"]),
        ("[1]\nx]y", ["1:1:1", "s:2: record 2: text after the end of the array"]),
        ("\n{}", ["s:2: record 1: not a JSON array"]),
        ("", ["s:1: record 1: not a JSON array: the input is empty"]),
    ])
    func arrays(input: String, expected: [String]) {
        #expect(summary(array(input.utf8)) == expected)
    }

    @Test func anElementOverTheLimitIsSkipped() {
        let results = summary(array("[\"123456789\", [1]]".utf8, limit: 8))
        #expect(results == ["s:1: record 1: element larger than 8 bytes", "1:2:[1]"])
    }

    @Test func deepNestingIsMalformed() {
        let deep = String(repeating: "[", count: 5000) + String(repeating: "]", count: 5000)
        #expect(summary(array("[\(deep),1]".utf8)) == ["s:1: record 1: nested deeper than 512 brackets", "1:2:1"])
    }

    @Test(arguments: [
        ("{}\n\n [1] \r\n{}", ["1:1:{}", "3:2:[1]", "4:3:{}"]),
        ("\u{FEFF}{}\n", ["1:1:{}"]),
        ("", []),
    ])
    func linesAreSplit(input: String, expected: [String]) {
        #expect(summary(lines(input.utf8)) == expected)
    }

    @Test func aLineOverTheLimitIsSkipped() {
        #expect(
            summary(lines("123456789\n1\n".utf8, limit: 8)) == ["s:1: record 1: line larger than 8 bytes", "2:2:1"]
        )
    }

    @Test(arguments: 0..<200 as Range<UInt64>)
    func randomBytesCutAnywhereGiveTheSame(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let alphabet = Array("[]{}\",:\\1a\r\n ".utf8) + [0xEF, 0xBB, 0xBF, 0xFF]
        let bytes = Array("[".utf8) + (0..<300).map { _ in alphabet.randomElement(using: &generator) ?? 0 }
        var arrayParser = JSONArrayParser(source: "s", elementLimit: 40)
        #expect(bytes.flatMap { arrayParser.feed([$0]) } + arrayParser.finish() == array(bytes, limit: 40))
        var linesParser = JSONLinesParser(source: "s", lineLimit: 40)
        #expect(bytes.flatMap { linesParser.feed([$0]) } + linesParser.finish() == lines(bytes, limit: 40))
        _ = try? FlatJSONObject(Array("{\"a\":".utf8) + bytes)
    }

    @Test func objectsKeepNumbersAsTheyAreWritten() throws {
        let json =
            #"{"ID":765629939811020802,"n":-1.50e+3,"s":"a\n\u00e4\ud83d\ude42\/","t":true,"z":null,"o":{"x":[1]}}"#
        let members = try FlatJSONObject(Array(json.utf8)).members
        #expect(members["id"] == .number("765629939811020802"))
        #expect(members["n"] == .number("-1.50e+3"))
        #expect(members["s"] == .string("a\nä🙂/"))
        #expect(members["t"] == .bool(true))
        #expect(members["z"] == .null)
        #expect(members["o"] == .nested)
    }

    @Test(arguments: [
        "", "[]", "{", "{}x", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":01}", "{\"a\":1.}", "{\"a\":nul}", "{a:1}",
        "{\"a\":\"\\ud83d\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\n\"}", "{\"a\":\"b", "{\"a\":[1,]}", "{\"a\":\"\\u00e\"}",
    ])
    func invalidObjectsAreRefused(json: String) {
        #expect(throws: FlatJSONObject.Failure.self) { try FlatJSONObject(Array(json.utf8)) }
    }
}
