import Foundation
import Messaging
import Testing

@testable import MessagingPipeline

@Suite struct StatementDateTests {
    @Test(arguments: [
        ("2016-08-16T19:22:57Z", 1_471_375_377_000),
        ("2016-08-16T19:22:57.25Z", 1_471_375_377_250),
        ("2016-08-16T19:22:57.9996Z", 1_471_375_378_000),
        ("2016-08-16T21:22:57+02:00", 1_471_375_377_000),
        ("2016-08-16t14:22:57,5-0500", 1_471_375_377_500),
        ("2016-08-16T19:22", 1_471_375_320_000),
        ("2016-08-16 19:22:57", 1_471_375_377_000),
        ("2016-08-16 19:22:57 +00", 1_471_375_377_000),
        (" 2016-08-16\n", 1_471_305_600_000),
        ("8/16/2016 19:22:57", 1_471_375_377_000),
        ("08/16/2016 7:22:57 PM", 1_471_375_377_000),
        ("8/16/2016 12:00 am", 1_471_305_600_000),
        ("7/9/2016 2:23:06", 1_468_030_986_000),
        ("8/16/2016", 1_471_305_600_000),
        ("Tue, 16 Aug 2016 19:22:57 +0000", 1_471_375_377_000),
        ("16 Aug 16 14:22 EST", 1_471_375_320_000),
        ("Tuesday, 16 August 2016 19:22:57 GMT", 1_471_375_377_000),
        ("Wed Aug 27 13:08:45 +0000 2008", 1_219_842_525_000),
        ("Wed Aug 27 13:08:45 2008", 1_219_842_525_000),
        ("Sat Mar  1 00:00:00 2008", 1_204_329_600_000),
        ("1471375377", 1_471_375_377_000),
        ("1471375377.5", 1_471_375_377_500),
        ("1471375377250", 1_471_375_377_250),
        ("2016-02-29", 1_456_704_000_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("1969-12-31T23:59:59.500Z", -500),
        ("0001-01-01", -62_135_596_800_000),
    ])
    func understood(text: String, milliseconds: Int64) {
        #expect(StatementDate.parse(text).map(StatementDate.milliseconds) == milliseconds)
    }

    @Test(arguments: [
        "", " ", "soon", "2015-02-29", "2016-13-01", "2016-00-10", "2016-1-1", "0000-01-01", "2016-08-16T24:00:00Z",
        "2016-08-16T19:22:57Zx", "2016-08-16T", "2016-08-16T19:60", "13/1/2016", "8/16/16", "8/16/2016 13:00 PM",
        "12345678",
        "123456789012345", "1471375377250.5", "Wed", "Xyz Aug 27 13:08:45 2008", "Wed, 32 Aug 2008 13:08:45 +0000",
        "2016-08-16T19:22:57+2", "2016-08-16T19:22:57+02:", "-1", "٢٠١٦-٠٨-١٦", String(repeating: "1", count: 100),
    ])
    func notUnderstood(text: String) {
        #expect(StatementDate.parse(text) == nil)
    }

    @Test(arguments: [
        (0, "1970-01-01T00:00:00Z"), (-1, "1969-12-31T23:59:59.999Z"), (951_782_400_000, "2000-02-29T00:00:00Z"),
        (Int64.max, "9999-12-31T23:59:59.999Z"), (Int64.min, "0001-01-01T00:00:00Z"),
        (1_471_375_377_050, "2016-08-16T19:22:57.050Z"),
    ])
    func written(milliseconds: Int64, text: String) {
        #expect(StatementDate.string(from: StatementDate.date(milliseconds: milliseconds)) == text)
    }

    @Test func everyDateSurvivesARoundTrip() {
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<2000 {
            let milliseconds = Int64.random(in: StatementDate.earliest...StatementDate.latest, using: &generator)
            let text = StatementDate.string(from: StatementDate.date(milliseconds: milliseconds))
            #expect(StatementDate.parse(text).map(StatementDate.milliseconds) == milliseconds)
        }
    }

    @Test func datesThatAreNoNumbersDoNoHarm() {
        for value in [Double.nan, .infinity, -.infinity] {
            #expect(StatementDate.string(from: Date(timeIntervalSince1970: value)).hasSuffix("Z"))
        }
    }

    @Test func statementsSurviveARoundTripAsTheSameBytes() throws {
        let statement = Statement(
            id: "1",
            createdAt: Date(timeIntervalSince1970: 1.23456),
            text: "a/b \u{2028}ä",
            source: "s"
        )
        let bytes = try PipelineJSON.encode(statement)
        #expect(
            String(decoding: bytes, as: UTF8.self).hasPrefix(#"{"created_at":"1970-01-01T00:00:01.235Z","id":"1","#)
        )
        let decoded = try PipelineJSON.decode(Statement.self, from: bytes)
        #expect(decoded == statement)
        #expect(try PipelineJSON.encode(decoded) == bytes)
        #expect(throws: DecodingError.self) {
            try PipelineJSON.decode(Statement.self, from: #"{"id":"1","text":"a","created_at":"soon"}"#.utf8)
        }
    }

    @Test func orderIsByTimeThenNumberThenText() {
        let ids = ["9", "10", "011", "99", "B", "a", "é"]
        let sorted = ids.map { Statement(id: $0, text: "") }.shuffled().sorted { $0.precedes($1) }
        #expect(sorted.map(\.id) == ["9", "10", "99", "011", "B", "a", "é"])
        let dated = Statement(id: "z", createdAt: Date(timeIntervalSince1970: 4e9), text: "")
        #expect(dated.precedes(Statement(id: "1", text: "")))
        #expect(Statement(id: "z", createdAt: Date(timeIntervalSince1970: -5), text: "").precedes(dated))
    }
}
