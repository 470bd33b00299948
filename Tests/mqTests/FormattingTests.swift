import Foundation
import Messaging
import Testing

@testable import mq

@Suite("Formatting and parsing")
struct FormattingTests {
    @Test(
        "reads durations",
        arguments: [
            ("500ms", 500), ("5s", 5000), ("2m", 120_000), ("1h", 3_600_000), ("1.5s", 1500), ("0s", 0),
            ("7d", 604_800_000), ("0.5ms", 1), ("366d", 31_622_400_000),
        ]
    )
    func duration(text: String, milliseconds: Int) throws {
        #expect(try DurationArgument.parse(text) == .milliseconds(milliseconds))
    }

    @Test(
        "refuses what is no duration",
        arguments: ["", "5", "s", "-5s", "5 s", "5S", "1e3s", "5us", "1..5s", "367d", "infs", "nans", "٥s", "5s5"]
    )
    func noDuration(text: String) {
        #expect(throws: (any Error).self) { try DurationArgument.parse(text) }
    }

    @Test(
        "shows ages in two units at most",
        arguments: [
            (0, "0ms"), (350, "350ms"), (12_999, "12s"), (200_000, "3m 20s"), (180_000, "3m"), (7_260_000, "2h 1m"),
            (187_200_000, "2d 4h"),
        ]
    )
    func age(milliseconds: Int, text: String) {
        #expect(Format.age(.milliseconds(milliseconds)) == text)
    }

    @Test("shows figures with their grade")
    func figures() {
        #expect(Format.figure(.exact(3)) == "3")
        #expect(Format.figure(.estimate(3)) == "~3")
        #expect(Format.figure(.unavailable("no")) == "-")
    }

    @Test(
        "reads points in time",
        arguments: ["2030-01-31T09:00:00Z", "2030-01-31T09:00:00.000Z", "2030-01-31T10:00:00+01:00"]
    )
    func date(text: String) throws {
        let date = try #require(Format.readDate(text))
        #expect(Format.date(date) == "2030-01-31T09:00:00.000Z")
    }

    @Test("refuses what is no point in time", arguments: ["", "tomorrow", "2030", "2030-01-31", "09:00"])
    func noDate(text: String) { #expect(Format.readDate(text) == nil) }

    @Test("splits headers at the first equals sign")
    func header() throws {
        #expect(try PublishCommand.header("a=b=c") == MessageHeaders.Header(name: "a", value: Array("b=c".utf8)))
        #expect(try PublishCommand.header("a=").value.isEmpty)
        #expect(throws: (any Error).self) { try PublishCommand.header("=b") }
    }

    @Test("writes JSON in the order given and escapes what must be")
    func json() {
        let value: JSON = [
            "b": 1, "a": ["x", nil, true], "text": "q\" b\\ n\n t\t e\u{1B} ü", "age": .seconds(1.0625),
            "old": .seconds(-0.5),
        ]
        #expect(
            value.text
                == #"{"b":1,"a":["x",null,true],"text":"q\" b\\ n\n t\t e\u001b ü","age":1.063,"old":-0.500}"#
        )
        #expect(JSON.seconds(.nan).text == "null")
    }

    @Test("aligns a table on a terminal and separates it by tabs elsewhere")
    func table() {
        var table = Table(["NAME", "COUNT"], numeric: [1])
        table.rows = [["a", "1"], ["longer\tname", "12345"]]
        #expect(table.lines(.none) == ["NAME\tCOUNT", "a\t1", "longer name\t12345"])
        let terminal = Terminal(isTerminal: true, hasColor: false, columns: 80)
        #expect(table.lines(terminal) == ["NAME         COUNT", "a                1", "longer name  12345"])
        let narrow = Terminal(isTerminal: true, hasColor: true, columns: 10)
        #expect(table.lines(narrow).last == "longer na…")
        #expect(table.lines(narrow).first == "\u{1B}[1mNAME     …\u{1B}[0m")
    }

    @Test("uses no colours when told so")
    func colors() {
        #expect(Terminal.allowsColor(noColor: false, environment: ["TERM": "xterm"]))
        #expect(Terminal.allowsColor(noColor: false, environment: ["NO_COLOR": ""]))
        #expect(!Terminal.allowsColor(noColor: true, environment: [:]))
        #expect(!Terminal.allowsColor(noColor: false, environment: ["NO_COLOR": "1"]))
        #expect(!Terminal.allowsColor(noColor: false, environment: ["TERM": "dumb"]))
    }

    @Test("splits lines across chunks")
    func lines() throws {
        var splitter = LineSplitter(maxLength: 5)
        #expect(try splitter.add(Array("ab\nc".utf8)) == [Array("ab".utf8)])
        #expect(try splitter.add(Array("d\n\nef".utf8)) == [Array("cd".utf8), []])
        #expect(try splitter.finish() == Array("ef".utf8))
        #expect(try splitter.finish() == nil)
    }

    @Test("refuses a line that is too long, also before it ends")
    func longLine() throws {
        var ended = LineSplitter(maxLength: 5)
        #expect(throws: CLIError.self) { try ended.add(Array("a\n123456\n".utf8)) }
        var open = LineSplitter(maxLength: 5)
        #expect(throws: CLIError.self) { try open.add(Array("123456".utf8)) }
    }

    @Test("names estimates and reasons in the figures' JSON")
    func status() {
        let group = GroupStatistics(
            group: "g",
            ready: .unavailable("moved"),
            inFlight: .exact(1),
            delayed: .exact(2),
            dead: .estimate(3),
            consumers: .exact(4),
            oldestAge: .milliseconds(1500)
        )
        let statistics = QueueStatistics(queue: "q", groups: [group], scheduled: .exact(0), stored: .exact(9))
        #expect(StatusReport.table([statistics]).rows == [["q", "g", "-", "1", "2", "~3", "4", "1s", "-"]])
        #expect(
            StatusReport.json(statistics).text == """
                {"queue":"q","scheduled":0,"stored":9,"estimates":[],"unavailable":{},"groups":[{"group":"g",\
                "ready":null,"in_flight":1,"delayed":2,"dead":3,"consumers":4,"lag":null,"oldest_age_seconds":1.500,\
                "estimates":["dead"],"unavailable":{"ready":"moved","lag":"moved"}}]}
                """
        )
    }

    @Test("shows a delivery as JSON, with bytes that are no text as base64")
    func delivery() {
        let message = Message(body: [0xFF, 0x00], id: "m1", key: "k", headers: ["a": "b"])
        let delivery = Delivery(
            message: message,
            queue: "q",
            group: "g",
            attempt: 2,
            receipt: Receipt(high: 0, low: 0, fence: 0, source: 0)
        )
        #expect(
            MessageJSON.delivery(delivery).text == """
                {"id":"m1","queue":"q","group":"g","attempt":2,"redrives":0,"published_at":null,"key":"k",\
                "content_type":null,"headers":{"a":"b"},"body_base64":"/wA="}
                """
        )
    }
}
