#if Redis
import Messaging
import NIOCore
import TestSupport
import Testing

@testable import MessagingRedis

extension RESPWriter {
    var bytes: [UInt8] { Array(buffer.readableBytesView) }
    var text: String { String(decoding: bytes, as: UTF8.self) }
}

@Suite("What is written to Redis")
struct RESPWriterTests {
    @Test("commands have exactly these bytes")
    func exact() {
        var writer = RESPWriter()
        writer.command(["SET", "é", ""])
        writer.command(3)
        writer.word([0, 13, 10, 255])
        writer.word(Int64.min)
        writer.word(42)
        #expect(writer.commands == 2)
        #expect(
            writer.bytes == Array("*3\r\n$3\r\nSET\r\n$2\r\né\r\n$0\r\n\r\n*3\r\n$4\r\n".utf8) + [0, 13, 10, 255]
                + Array("\r\n$20\r\n-9223372036854775808\r\n$2\r\n42\r\n".utf8)
        )
    }

    @Test("a script is called by its hash, or with its text when the server has forgotten it")
    func scripts() {
        let call = ScriptCall(.trim, keys: ["log", "meta"], ["x"])
        var hashes = Array(repeating: "", count: RedisScript.allCases.count)
        hashes[RedisScript.trim.rawValue] = "abc"
        let byHash = ScriptCall.encode([call, call], hashes: hashes)
        #expect(byHash.commands == 2)
        let one = "*6\r\n$7\r\nEVALSHA\r\n$3\r\nabc\r\n$1\r\n2\r\n$3\r\nlog\r\n$4\r\nmeta\r\n$1\r\nx\r\n"
        #expect(byHash.text == one + one)
        let byText = ScriptCall.encode([call], hashes: nil).text
        let source = String(decoding: RedisScript.trim.source, as: UTF8.self)
        #expect(byText.hasPrefix("*6\r\n$4\r\nEVAL\r\n$\(source.utf8.count)\r\n\(source)\r\n$1\r\n2\r\n"))
    }
}

@Suite("The wire format of Redis")
struct WireFormatTests {
    private let id = EntryID(milliseconds: 1_700_000_000_000, sequence: 3)

    /// Reads an entry back from the words that were written for it.
    private func read(_ fields: [Tree]) throws -> WireFormat.Entry {
        var cursor = try RedisReply.parsed(.array(fields)).cursor()
        return try WireFormat.read(&cursor, id: id)
    }

    private func read(_ fields: KeyValuePairs<String, String>) throws -> WireFormat.Entry {
        try read(fields.flatMap { [Tree.text($0.key), .text($0.value)] })
    }

    private func written(_ message: Message) throws -> Tree {
        var writer = RESPWriter()
        writer.command(WireFormat.words(message))
        WireFormat.write(message, &writer)
        // A command is an array of strings, as an entry is.
        return try #require(try RedisReply.parsed(writer.bytes).tree)
    }

    @Test("a message comes back as it was written")
    func roundTrip() throws {
        var headers: MessageHeaders = ["traceparent": "00-1-2-01", "X": "é"]
        headers.set("raw", [0xFF, 0])
        let messages = [
            Message(body: [], id: "1"),
            Message(
                body: [0, 255, 13, 10],
                id: "a/b é",
                key: "customer 7",
                headers: headers,
                contentType: "text/plain"
            ),
            Message(text: "x", id: "2", key: "", contentType: ""),
        ]
        for message in messages {
            guard case .array(let fields) = try written(message) else { continue }
            #expect(fields.count == WireFormat.words(message))
            let entry = try read(fields)
            #expect(entry.message == message)
            #expect(entry.problem == nil)
            #expect(entry.previousAttempts == 0)
        }
    }

    @Test(
        "names that dead letters use for themselves are escaped",
        arguments: [
            "payload", "retry_count", "original_message_id", "error", "failed_at",
        ]
    )
    func reserved(_ name: String) throws {
        let message = Message(text: "body", id: "1", headers: [name: "mine", "other": "2"])
        guard case .array(let fields) = try written(message) else { return }
        #expect(fields.contains(.text("mq-h-\(name)")))
        #expect(fields.count { $0 == .text(name) } == (name == "payload" ? 1 : 0))
        let entry = try read(fields)
        #expect(entry.message == message)
        #expect(entry.error == nil)
        #expect(entry.failedAt == nil)
        #expect(entry.previousAttempts == 0)
        #expect(entry.problem == nil)
    }

    @Test("an entry of another program is a message")
    func foreign() throws {
        let entry = try read(["payload": #"{"text":"hi"}"#, "lang": "en", "retry_count": "2"])
        #expect(entry.message.id == "1700000000000-3")
        #expect(entry.message.text == #"{"text":"hi"}"#)
        #expect(entry.message.headers == ["lang": "en"])
        #expect(entry.message.contentType == nil)
        #expect(entry.previousAttempts == 2)
        #expect(entry.problem == nil)
        // A dead letter that another program wrote.
        let letter = try read([
            "payload": "x", "original_message_id": "7-0", "error": "boom", "failed_at": "2026-01-31T00:00:00Z",
        ])
        #expect(letter.message.id == "7-0")
        #expect(letter.error == "boom")
        #expect(letter.failedAt == "2026-01-31T00:00:00Z")
        #expect(letter.group == nil)
        #expect(try read(["payload": "x", "retry_count": "-4"]).previousAttempts == 0)
        #expect(try read(["payload": "x", "retry_count": "9223372036854775807"]).previousAttempts == 1 << 53)
    }

    @Test("our own fields are read")
    func ours() throws {
        let history = #"[{"attempt":1,"at":5,"consumer":"c","error":"e"}]"#
        let entry = try read([
            "payload": "x", "mq-id": "id", "original_message_id": "other", "mq-key": "k", "mq-content-type": "t",
            "mq-due": "1000", "mq-published": "500", "mq-redrives": "3", "mq-history": history, "mq-group": "g",
            "mq-reason": "rejected", "mq-attempts": "4",
        ])
        #expect(entry.message.id == "id")
        #expect(entry.message.key == "k")
        #expect(entry.message.contentType == "t")
        #expect(entry.message.due == .at(UnixTime.date(1000)))
        #expect(entry.message.headers.isEmpty)
        #expect(entry.published == 500)
        #expect(entry.redrives == 3)
        #expect(entry.history == [Failure(attempt: 1, at: 5, consumer: "c", error: "e")])
        #expect(entry.group == "g")
        #expect(entry.reason == "rejected")
        #expect(entry.attempts == 4)
        #expect(try read(["payload": "x", "mq-history": "no JSON"]).history.isEmpty)
    }

    @Test("what is no message names its problem and keeps its bytes")
    func undecodable() throws {
        let cases: [([Tree], String)] = [
            ([], "'payload'"),
            ([.text("body"), .text("x")], "'payload'"),
            ([.text("payload"), .text("x"), .text("retry_count"), .text("two")], "'retry_count'"),
            ([.text("payload"), .text("x"), .text("retry_count"), .text("")], "'retry_count'"),
            ([.text("payload"), .text("x"), .text("mq-id"), .string([0xFF])], "'mq-id'"),
            ([.text("payload"), .text("x"), .text("mq-key"), .string([0xFF])], "'mq-key'"),
            ([.text("payload"), .text("x"), .string([0xFF]), .text("y")], "field name"),
        ]
        for (fields, problem) in cases {
            let entry = try read(fields)
            #expect(entry.problem?.contains(problem) == true, "\(entry.problem ?? "none")")
            if fields.first == .text("payload") { #expect(entry.message.text == "x") }
        }
        var deleted = try RedisReply.parsed(.null).cursor()
        #expect(try WireFormat.read(&deleted, id: id).problem?.contains("deleted") == true)
        // Binary bodies and errors are no problem.
        let binary = try read([.text("payload"), .string([0xFF, 0xFE]), .text("error"), .string([0xFF])])
        #expect(binary.problem == nil)
        #expect(binary.message.body == [0xFF, 0xFE])
    }

    @Test("entry ids are read and compared as numbers")
    func entryIDs() throws {
        let last = "18446744073709551615-18446744073709551615"
        for text in ["0-0", "1-2", "1700000000000-10", last] {
            #expect(EntryID(text.utf8)?.description == text)
        }
        let bad = [
            "", "-", "1", "12", "12-", "-12", "1-", "-1", "1--2", "1-2-3", "1-2-", "a-1", "1-a", " 1-2", "1-2 ", "+1-2",
            "18446744073709551616-0", "0-18446744073709551616", "$", "*", "١-٢",
        ]
        for text in bad { #expect(EntryID(text.utf8) == nil, "\(text)") }
        let order = ["0-0", "0-1", "0-10", "1-0", "9-9", "10-0", last]
        let ids = try order.map { try #require(EntryID($0.utf8)) }
        #expect(ids.shuffled().sorted() == ids)
        #expect(EntryID(ids[3].receipt(1)) == ids[3])
    }

    @Test("times of failures are read in the forms programs write them")
    func timestamps() throws {
        #expect(TimestampCoder.decode("1700000000") == UnixTime.date(1_700_000_000_000))
        #expect(TimestampCoder.decode("1700000000.5") == UnixTime.date(1_700_000_000_500))
        #expect(TimestampCoder.decode("1700000000500") == UnixTime.date(1_700_000_000_500))
        #expect(TimestampCoder.decode("2023-11-14T22:13:20Z") == UnixTime.date(1_700_000_000_000))
        let precise = try #require(TimestampCoder.decode("2023-11-14T22:13:20.500Z"))
        #expect(UnixTime.milliseconds(precise) == 1_700_000_000_500)
        #expect(TimestampCoder.decode("yesterday") == nil)
    }

    @Test("keys keep to one hash slot")
    func keys() {
        let keys = RedisKeys(queue: "queue:analysis")
        #expect(keys.log == "queue:analysis")
        #expect(keys.deadLetters == "queue:analysis:dlq")
        let own = keys.group("g")
        for key in [
            keys.meta, keys.due, keys.held, keys.wake, own.retry, own.due, own.held, own.seen,
        ] + keys.ids {
            #expect(key.hasPrefix("{queue:analysis}:"))
        }
    }

    @Test("large publishes are cut into bounded chunks that cover everything in order")
    func chunks() {
        func cut(_ sizes: [Int]) -> [Range<Int>] {
            RedisQueue.chunks(sizes.map { Message(body: Array(repeating: 0, count: $0), id: "1") }, first: 16)
        }
        #expect(cut([]) == [])
        #expect(cut([5]) == [0..<1])
        #expect(cut(Array(repeating: 1, count: 300)) == [0..<16, 16..<48, 48..<112, 112..<240, 240..<300])
        #expect(cut([1 << 20, 1, 1]) == [0..<1, 1..<3])
        #expect(cut([1, 2 << 20, 1]) == [0..<1, 1..<2, 2..<3])
    }
}
#endif
