#if Redis
import Messaging
import TestSupport
import Testing

@testable import MessagingRedis

/// A reply as a tree, to compare with.
indirect enum Tree: Equatable, Sendable, CustomStringConvertible {
    case string([UInt8])
    case status(String)
    case error(String)
    case integer(Int64)
    case null
    case array([Tree])

    static func text(_ text: String) -> Tree { .string(Array(text.utf8)) }

    var encoded: [UInt8] {
        switch self {
        case .string(let bytes): Array("$\(bytes.count)\r\n".utf8) + bytes + Array("\r\n".utf8)
        case .status(let text): Array("+\(text)\r\n".utf8)
        case .error(let text): Array("-\(text)\r\n".utf8)
        case .integer(let value): Array(":\(value)\r\n".utf8)
        case .null: Array("$-1\r\n".utf8)
        case .array(let elements): Array("*\(elements.count)\r\n".utf8) + elements.flatMap(\.encoded)
        }
    }

    var description: String {
        switch self {
        case .string(let bytes):
            "$\(bytes.count > 100 ? "\(bytes.count) bytes" : String(decoding: bytes, as: UTF8.self))"
        case .status(let text): "+\(text)"
        case .error(let text): "-\(text)"
        case .integer(let value): ":\(value)"
        case .null: "null"
        case .array(let elements): "\(elements)"
        }
    }

    static func random(_ generator: inout SeededGenerator, depth: Int = 5) -> Tree {
        switch Int.random(in: 0..<(depth > 0 ? 8 : 6), using: &generator) {
        case 0, 1:
            let count = Int.random(in: 0...40, using: &generator)
            return .string((0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) })
        case 2: return .status("OK")
        case 3: return .error("ERR no such thing")
        case 4: return .integer(.random(in: .min ... .max, using: &generator))
        case 5: return .null
        default:
            return .array(
                (0..<Int.random(in: 0...4, using: &generator)).map { _ in random(&generator, depth: depth - 1) }
            )
        }
    }
}

extension RedisReply {
    /// The reply as a tree; `nil` when parts are missing or left over.
    var tree: Tree? {
        var rest = parts[...]
        guard let tree = Self.tree(self, &rest), rest.isEmpty else { return nil }
        return tree
    }

    private static func tree(_ reply: RedisReply, _ rest: inout ArraySlice<Part>) -> Tree? {
        guard let part = rest.popFirst() else { return nil }
        switch part.kind {
        case .string: return .string(Array(reply.slice(part)))
        case .status: return .status(reply.text(part))
        case .error: return .error(reply.text(part))
        case .integer: return .integer(part.value)
        case .null: return .null
        case .array:
            var elements: [Tree] = []
            for _ in 0..<part.value {
                guard let element = tree(reply, &rest) else { return nil }
                elements.append(element)
            }
            return .array(elements)
        }
    }

    /// Parses one reply.
    static func parsed(_ bytes: [UInt8]) throws -> RedisReply {
        let parser = try #require(ReplyParser())
        try parser.feed(bytes)
        return try #require(try parser.next())
    }

    static func parsed(_ tree: Tree) throws -> RedisReply { try parsed(tree.encoded) }
}

extension ReplyParser {
    func feed(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try feed($0) } }

    func all() throws -> [Tree] {
        var trees: [Tree] = []
        while let reply = try next() { trees.append(try #require(reply.tree)) }
        return trees
    }
}

@Suite("The reply parser")
struct ReplyParserTests {
    private static let replies: [Tree] = [
        .text("hello"), .text(""), .string([0, 13, 10, 255]), .status("OK"), .status(""), .error("ERR wrong"),
        .integer(0), .integer(-7), .integer(.max), .integer(.min), .null, .array([]), .array([.null, .text("a")]),
        .array([
            .array([.array([.array([.array([.integer(1), .text("deep")])])]), .status("x")]), .error("in"), .null,
        ]),
    ]

    @Test("every type of RESP 2", arguments: replies)
    func types(_ tree: Tree) throws {
        #expect(try RedisReply.parsed(tree).tree == tree)
    }

    @Test("an array that is null")
    func nullArray() throws {
        let reply = try RedisReply.parsed(Array("*-1\r\n".utf8))
        #expect(reply.isNull)
        var cursor = reply.cursor()
        #expect(try cursor.array() == nil)
    }

    @Test("replies that arrive one after the other, split at every byte")
    func split() throws {
        let bytes = Self.replies.flatMap(\.encoded)
        for position in 0...bytes.count {
            let parser = try #require(ReplyParser())
            try parser.feed(Array(bytes[..<position]))
            var trees = try parser.all()
            try parser.feed(Array(bytes[position...]))
            trees += try parser.all()
            #expect(trees == Self.replies, "split at \(position)")
        }
        let parser = try #require(ReplyParser())
        var trees: [Tree] = []
        for byte in bytes {
            try parser.feed([byte])
            trees += try parser.all()
        }
        #expect(trees == Self.replies)
        #expect(try parser.next() == nil)
    }

    @Test("a string of one megabyte, in pieces")
    func large() throws {
        var generator = SeededGenerator(seed: 4)
        let body = (0..<(1 << 20)).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let bytes = Tree.array([.string(body), .integer(1)]).encoded
        let parser = try #require(ReplyParser())
        for start in stride(from: 0, to: bytes.count, by: 10_007) {
            #expect(try parser.next() == nil)
            try parser.feed(Array(bytes[start..<min(start + 10_007, bytes.count)]))
        }
        let reply = try #require(try parser.next())
        #expect(reply.tree == .array([.string(body), .integer(1)]))
    }

    @Test("random replies in random pieces")
    func random() throws {
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<100 {
            let trees = (0..<10).map { _ in Tree.random(&generator) }
            var rest = trees.flatMap(\.encoded)[...]
            let parser = try #require(ReplyParser())
            var found: [Tree] = []
            while !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: 1...64, using: &generator))
                rest = rest.dropFirst(piece.count)
                try parser.feed(Array(piece))
                found += try parser.all()
            }
            #expect(found == trees)
        }
    }

    @Test(
        "what is no RESP is an error, again and again",
        arguments: ["hello\r\n", "HTTP/1.1 400 Bad Request\r\n", "\r\n\r\n", "$-9\r\n", "$x\r\n", "*y\r\n", "\u{0}"]
    )
    func malformed(_ text: String) throws {
        let parser = try #require(ReplyParser())
        for _ in 0..<2 {
            let error = #expect(throws: ReplyParser.Malformed.self) {
                try parser.feed(Array(text.utf8))
                _ = try parser.all()
            }
            #expect(error?.reason.isEmpty == false)
        }
    }

    @Test("what stands before the malformed bytes is still read")
    func malformedLater() throws {
        let parser = try #require(ReplyParser())
        try parser.feed(Array("+OK\r\nwhat\r\n".utf8))
        #expect(try parser.next()?.tree == .status("OK"))
        #expect(throws: ReplyParser.Malformed.self) { try parser.next() }
    }

    @Test("random bytes never crash it")
    func fuzz() throws {
        var generator = SeededGenerator(seed: 6)
        let alphabet = Array("+-:$*0123456789\r\n\r\n".utf8)
        for round in 0..<3000 {
            let parser = try #require(ReplyParser())
            let isWild = round % 3 == 0
            var bytes = (0..<Int.random(in: 1...120, using: &generator)).map { _ in
                isWild ? UInt8.random(in: 0...255, using: &generator) : alphabet.randomElement(using: &generator) ?? 0
            }
            if round % 3 == 2 {
                // A sound reply with one byte changed.
                bytes = Tree.random(&generator).encoded
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
            }
            do {
                for byte in bytes {
                    try parser.feed([byte])
                    while let reply = try parser.next() { _ = reply.parts.count }
                }
            } catch let error as ReplyParser.Malformed {
                #expect(!error.reason.isEmpty)
            }
        }
    }

    @Test("a cursor reads step by step and refuses what it does not expect")
    func cursor() throws {
        let reply = try RedisReply.parsed(.array([.text("12"), .integer(7), .status("s"), .null]))
        var cursor = reply.cursor()
        #expect(try cursor.array() == 4)
        #expect(try cursor.integer() == 12)
        #expect(try cursor.integer() == 7)
        #expect(try cursor.string() == "s")
        #expect(throws: RedisReplyCursor.Unexpected.self) { try cursor.bytes() }
        #expect(throws: RedisReplyCursor.Unexpected.self) { try cursor.part() }
        var wrong = reply.cursor()
        #expect(throws: RedisReplyCursor.Unexpected.self) { try wrong.integer() }
        var text = try RedisReply.parsed(.text("x")).cursor()
        #expect(throws: RedisReplyCursor.Unexpected.self) { try text.integer() }
        #expect(try RedisReply.parsed(.error("ERR x")).error == "ERR x")
        #expect(try RedisReply.parsed(.array([.text("a"), .integer(1), .text("b")])).strings == ["a", "b"])
        #expect(try RedisReply.parsed(.array([.text("a"), .integer(1), .integer(2)])).integers == [1, 2])
        #expect(try RedisReply.parsed(.array([.text("message"), .text("c"), .text("m")])).isPush)
        #expect(try !RedisReply.parsed(.array([.text("subscribe"), .text("c"), .integer(1)])).isPush)
    }
}
#endif
