#if Redis
import Messaging
@testable import MessagingRedis
import NIOCore
import Testing

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

@Suite("What one call of the publish script takes")
struct PublishPlanTests {
    @Test("messages with the same field names and due time travel together, in order")
    func runs() {
        let messages = [
            Message(text: "0", id: "0"), Message(text: "1", id: "1"), Message(text: "2", id: "2", key: "k"),
            Message(text: "3", id: "3", headers: ["a": "1"]), Message(text: "4", id: "4", headers: ["a": "2"]),
            Message(text: "5", id: "5", headers: ["b": "2"]), Message(text: "6", id: "6", due: .after(.seconds(1))),
            Message(text: "7", id: "7", due: .after(.seconds(1))),
            Message(text: "8", id: "8", due: .at(Date(timeIntervalSince1970: 2))),
            Message(text: "9", id: "9", due: .after(.zero)),
            Message(text: "10", id: "10", contentType: "text/plain"), Message(text: "11", id: "11"),
        ]
        let plan = PublishPlan(messages, Array(messages.indices.dropLast()))
        #expect(plan.runs.map(\.indices) == [[0, 1], [2], [3, 4], [5], [6, 7], [8], [9], [10]])
        #expect(plan.runs.map(\.due) == ["", "", "", "", "r1000", "a2000", "", ""])
        #expect(plan.runs[1].names == ["payload", "mq-id", "mq-key"])
        #expect(plan.runs[2].names == ["payload", "mq-id", "a"])
        #expect(plan.runs[7].names == ["payload", "mq-id", "mq-content-type"])
    }

    @Test("it writes as many words as it says, with names that other programs read renamed")
    func words() throws {
        let messages = (0..<7).map { number in
            Message(
                text: "\(number)",
                id: MessageID("\(number)"),
                key: number > 3 ? "k" : nil,
                headers: number > 1 ? ["error": "none", "x": "y"] : [:]
            )
        }
        let plan = PublishPlan(messages, Array(messages.indices))
        var writer = RESPWriter()
        writer.command(plan.words)
        plan.write(messages, &writer)
        let parser = try #require(ReplyParser())
        try writer.buffer.withUnsafeReadableBytes { try parser.feed($0) }
        let reply = try #require(try parser.next())
        #expect(reply.parts.count == plan.words + 1)
        #expect(reply.strings.contains("mq-h-error") && !reply.strings.contains("error"))
        #expect(try parser.next() == nil)
    }
}

@Suite("Commands as bytes")
struct CommandBytesTests {
    @Test("lengths of every number of digits", arguments: [0, 1, 9, 10, 99, 100, 999, 1000, 9999, 10_000, 123_456])
    func lengths(count: Int) throws {
        var writer = RESPWriter()
        writer.command(2)
        writer.word([UInt8](repeating: 120, count: count))
        writer.word("ü")
        let text = "*2\r\n$\(count)\r\n" + String(repeating: "x", count: count) + "\r\n$2\r\nü\r\n"
        #expect(String(buffer: writer.buffer) == text)
    }

    @Test(
        "ids of entries, the largest too",
        arguments: ["0-0", "1795301745890-199", "18446744073709551615-18446744073709551615"]
    )
    func entryIDs(text: String) throws {
        var writer = RESPWriter()
        writer.word(try #require(EntryID(text.utf8)))
        #expect(String(buffer: writer.buffer) == "$\(text.utf8.count)\r\n\(text)\r\n")
    }

    @Test("hexadecimal numbers have all their digits")
    func hexadecimal() {
        for (number, text) in [
            (UInt64(0), "0000000000000000"), (0x0123_4567_89AB_CDEF, "0123456789abcdef"), (.max, "ffffffffffffffff"),
            (0x9999_AAAA_0F0F_F0F0, "9999aaaa0f0ff0f0"),
        ] {
            var writer = RESPWriter()
            writer.word(hexadecimal: number)
            #expect(String(buffer: writer.buffer) == "$16\r\n\(text)\r\n")
        }
    }
}

@Suite("Batches that stand or fall together")
struct BatchRepliesTests {
    private let lost = QueueError(.indeterminate, "lost")
    private let down = QueueError(.unavailable, "down")

    private func result(_ parts: [Result<[RedisReply], QueueError>]) -> Result<[RedisReply], QueueError>? {
        var batches = BatchReplies()
        return parts.enumerated().map { batches.add($1, isFirst: $0 == 0) }.last
    }

    @Test("all replies in order")
    func replies() throws {
        let parts = try [1, 2, 3].map { try RedisReply.parsed(.integer($0)) }
        let all = try result([.success([parts[0], parts[1]]), .success([parts[2]])])?.get()
        #expect(all?.map(\.integer) == [1, 2, 3])
    }

    @Test("what was not written leaves those before it unknown, and nothing unknown when nothing was written")
    func failures() throws {
        func code(_ parts: [Result<[RedisReply], QueueError>]) -> QueueError.Code? {
            if case .failure(let error)? = result(parts) { error.code } else { nil }
        }
        #expect(code([.failure(down), .failure(down)]) == .unavailable)
        #expect(code([.success([]), .failure(down)]) == .indeterminate)
        #expect(code([.success([]), .failure(lost)]) == .indeterminate)
        #expect(code([.failure(lost), .failure(down)]) == .indeterminate)
    }
}

@Suite("What scripts share")
struct RedisPreludeTests {
    private let prelude = RedisPrelude(
        """
        -- What all begin with.
        local function first(x)
          return x
        end

        -- A limit.
        local limit = 4

        local function second()
          return first(limit)
        end

        local function third() return second() end
        """
    )

    @Test("a script gets what it names and what that names, in their order")
    func needed() {
        #expect(prelude.completing("return 1") == "return 1")
        let one = prelude.completing("return first(2)")
        #expect(one == "-- What all begin with.\nlocal function first(x)\n  return x\nend\nreturn first(2)")
        let two = prelude.completing("return second()")
        #expect(two.contains("local limit") && two.contains("first(x)") && !two.contains("third"))
        #expect(two.firstRange(of: "first(x)")!.lowerBound < two.firstRange(of: "function second")!.lowerBound)
    }

    @Test("a word of a comment is no use, and part of a word is not the word")
    func comments() {
        #expect(prelude.completing("-- second\nreturn firsts.limits") == "-- second\nreturn firsts.limits")
    }

    @Test("each script has what it uses, and no unused function")
    func scripts() {
        for script in RedisScript.allCases {
            let text = String(decoding: script.source, as: UTF8.self)
            #expect(!text.isEmpty)
            for part in text.matches(of: /local function (\w+)/) {
                #expect(text.ranges(of: String(part.1)).count > 1, "\(script): \(part.1)")
            }
        }
        #expect(!String(decoding: RedisScript.renew.source, as: UTF8.self).contains("function trim"))
        #expect(String(decoding: RedisScript.tick.source, as: UTF8.self).contains("function trim"))
    }
}
#endif
