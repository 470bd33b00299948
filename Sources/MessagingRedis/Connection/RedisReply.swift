#if Redis
/// One reply of Redis, flat: its parts in the order they arrived, the bytes of all strings in one array.
///
/// An array part stands before its elements, so that a reply of a thousand entries needs two allocations and not ten
/// thousand.
struct RedisReply: Sendable {
    enum Kind: UInt8, Sendable { case string, status, error, integer, null, array }

    struct Part: Sendable {
        var kind: Kind
        /// The integer, the count of an array, or where a string begins.
        var value: Int64
        /// The length of a string.
        var length: Int
    }

    var parts: [Part] = []
    var bytes: [UInt8] = []

    init() {}

    /// An empty one with room for as much as another one has: what a connection answers is mostly alike.
    init(like other: RedisReply) {
        if other.parts.count > 1 { parts.reserveCapacity(min(other.parts.count, Self.mostReserved)) }
        if !other.bytes.isEmpty { bytes.reserveCapacity(min(other.bytes.count, Self.mostReserved)) }
    }

    /// More room is made when it is needed.
    private static let mostReserved = 1 << 17

    /// The text of an error reply.
    var error: String? {
        guard let first = parts.first, first.kind == .error else { return nil }
        return text(first)
    }

    var isNull: Bool { parts.first?.kind == .null }

    var integer: Int64? {
        guard let first = parts.first, first.kind == .integer else { return nil }
        return first.value
    }

    var string: String? {
        guard let first = parts.first, first.kind == .string || first.kind == .status else { return nil }
        return text(first)
    }

    func text(_ part: Part) -> String { String(decoding: slice(part), as: UTF8.self) }

    func slice(_ part: Part) -> ArraySlice<UInt8> {
        let start = Int(part.value)
        return bytes[start..<(start + part.length)]
    }

    /// Whether it is a message of a subscription, which no command asked for.
    var isPush: Bool {
        parts.count == 4 && parts[0].kind == .array && parts[1].kind == .string && text(parts[1]) == "message"
    }

    /// Reads the parts one after the other.
    func cursor() -> RedisReplyCursor { RedisReplyCursor(reply: self) }

    /// The reply as integers, for replies that are a flat array of them.
    var integers: [Int64] { parts.dropFirst().compactMap { $0.kind == .integer ? $0.value : nil } }

    /// The reply as texts, for replies that are a flat array of them.
    var strings: [String] {
        parts.dropFirst().compactMap { $0.kind == .string || $0.kind == .status ? text($0) : nil }
    }
}

/// Reads a reply part by part.
///
/// Every step checks what it finds: a reply comes from outside.
struct RedisReplyCursor {
    let reply: RedisReply
    private var index = 0

    init(reply: RedisReply) { self.reply = reply }

    struct Unexpected: Error {}

    mutating func part() throws(Unexpected) -> RedisReply.Part {
        guard index < reply.parts.count else { throw Unexpected() }
        defer { index += 1 }
        return reply.parts[index]
    }

    /// The count of the array that begins here; `nil` for null.
    mutating func array() throws(Unexpected) -> Int? {
        let part = try part()
        switch part.kind {
        case .array: return Int(part.value)
        case .null: return nil
        default: throw Unexpected()
        }
    }

    mutating func bytes() throws(Unexpected) -> ArraySlice<UInt8> {
        let part = try part()
        guard part.kind == .string || part.kind == .status else { throw Unexpected() }
        return reply.slice(part)
    }

    mutating func string() throws(Unexpected) -> String {
        String(decoding: try bytes(), as: UTF8.self)
    }

    /// An integer, or a string that is one.
    mutating func integer() throws(Unexpected) -> Int64 {
        let part = try part()
        switch part.kind {
        case .integer: return part.value
        case .string:
            guard let value = Int64(reply.text(part)) else { throw Unexpected() }
            return value
        default: throw Unexpected()
        }
    }
}
#endif
