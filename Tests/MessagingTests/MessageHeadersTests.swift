import Messaging
import Testing

@Suite("Message headers")
struct MessageHeadersTests {
    @Test("values are bytes; text only where they are UTF-8")
    func bytes() {
        var headers: MessageHeaders = ["a": "é"]
        headers.set("raw", [0xFF, 0x00, 0x0A])
        #expect(headers.bytes("a") == [0xC3, 0xA9])
        #expect(headers["a"] == "é")
        #expect(headers.bytes("raw") == [0xFF, 0x00, 0x0A])
        #expect(headers["raw"] == nil)
        #expect(headers["none"] == nil)
        #expect(headers.bytes("none") == nil)
        #expect(headers.map(\.text) == ["é", nil])
    }

    @Test("names are told apart by case")
    func letterCase() {
        let headers: MessageHeaders = ["Trace": "1", "trace": "2", "TRACE": "3"]
        #expect(headers.count == 3)
        #expect(headers["Trace"] == "1")
        #expect(headers["trace"] == "2")
        #expect(headers["TRACE"] == "3")
    }

    @Test("names that are only canonically equivalent are two names")
    func canonicalEquivalence() {
        let (composed, decomposed) = ("caf\u{E9}", "cafe\u{301}")
        #expect(composed == decomposed)
        var headers = MessageHeaders()
        headers[composed] = "1"
        headers[decomposed] = "2"
        #expect(headers.count == 2)
        #expect(headers[composed] == "1")
        #expect(headers[decomposed] == "2")
        headers[composed] = nil
        #expect(headers.map { Array($0.name.utf8) } == [Array(decomposed.utf8)])
    }

    @Test("headers keep their order; a replaced one keeps its place")
    func order() {
        var headers: MessageHeaders = ["c": "1", "a": "2", "b": "3"]
        headers["a"] = "4"
        #expect(headers.map(\.name) == ["c", "a", "b"])
        #expect(headers.map(\.text) == ["1", "4", "3"])
        headers["c"] = nil
        headers["d"] = "5"
        headers["none"] = nil
        #expect(headers.map(\.name) == ["a", "b", "d"])
    }

    @Test("of a name given twice the last value counts")
    func twice() {
        let headers = MessageHeaders([
            .init(name: "a", value: [1]), .init(name: "b", value: [2]), .init(name: "a", value: [3]),
        ])
        #expect(headers.map(\.name) == ["a", "b"])
        #expect(headers.bytes("a") == [3])
    }
}
