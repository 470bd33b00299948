#if RabbitMQ
/// A value of a header table, as AMQP 0-9-1 with RabbitMQ's additions has them.
indirect enum AMQPValue: Sendable, Equatable {
    /// A long string: text by convention, any bytes in truth.
    case text([UInt8])
    case bytes([UInt8])
    case bool(Bool)
    /// A whole number with the type it had on the wire, so that a copy is the same.
    case number(Int64, kind: UInt8)
    case double(Double, kind: UInt8)
    case decimal(places: UInt8, value: UInt32)
    case timestamp(UInt64)
    case void
    case array([AMQPValue])
    case table(AMQPTable)

    static func text(_ string: String) -> AMQPValue { .text(Array(string.utf8)) }
    static func number(_ value: Int64) -> AMQPValue { .number(value, kind: UInt8(ascii: "l")) }

    /// The value as a whole number, if it is one or the text of one.
    var integer: Int64? {
        switch self {
        case .number(let value, _): value
        case .timestamp(let value): Int64(clamping: value)
        case .text(let bytes), .bytes(let bytes): Int64(String(decoding: bytes, as: UTF8.self))
        default: nil
        }
    }

    /// The value as text, if it is a string of UTF-8.
    var string: String? {
        switch self {
        case .text(let bytes), .bytes(let bytes): String(validating: bytes, as: UTF8.self)
        default: nil
        }
    }

    /// What an application sees of it: a string's bytes, everything else as text; arrays and tables like JSON.
    var headerBytes: [UInt8] {
        switch self {
        case .text(let bytes), .bytes(let bytes): bytes
        default: Array(shown.utf8)
        }
    }

    private var shown: String {
        switch self {
        case .text(let bytes), .bytes(let bytes): Self.quoted(String(decoding: bytes, as: UTF8.self))
        case .bool(let value): String(value)
        case .number(let value, _): String(value)
        case .double(let value, _): String(value)
        case .decimal(let places, let value): "\(value)e-\(places)"
        case .timestamp(let value): String(value)
        case .void: ""
        case .array(let values): "[" + values.map(\.shown).joined(separator: ",") + "]"
        case .table(let table):
            "{" + table.map { Self.quoted($0.name) + ":" + $0.value.shown }.joined(separator: ",") + "}"
        }
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case "\u{0}"..<" ": result += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    /// How many bytes it takes on the wire, without the byte of its type.
    var encodedSize: Int {
        switch self {
        case .text(let bytes), .bytes(let bytes): 4 + bytes.count
        case .bool: 1
        case .number, .double, .timestamp: 8
        case .decimal: 5
        case .void: 0
        case .array(let values): 4 + values.reduce(0) { $0 + 1 + $1.encodedSize }
        case .table(let table): table.encodedSize
        }
    }
}

/// One entry of a header table.
struct AMQPHeader: Sendable, Equatable {
    var name: String
    var value: AMQPValue

    init(_ name: String, _ value: AMQPValue) {
        self.name = name
        self.value = value
    }
}

typealias AMQPTable = [AMQPHeader]

extension AMQPTable {
    var encodedSize: Int { reduce(4) { $0 + 2 + $1.name.utf8.count + $1.value.encodedSize } }

    func value(_ name: String) -> AMQPValue? { first { $0.name == name }?.value }
}

/// The properties of a message.
struct AMQPProperties: Sendable, Equatable {
    var contentType: String?
    var contentEncoding: String?
    var headers: AMQPTable = []
    var correlationID: String?
    var replyTo: String?
    var messageID: String?
    /// Seconds since 1970.
    var timestamp: UInt64?
    var type: String?
    var appID: String?

    /// How many bytes they take in a header frame.
    var encodedSize: Int {
        var size = 32 + headers.encodedSize
        for text in [contentType, contentEncoding, correlationID, replyTo, messageID, type, appID] {
            if let text { size += 1 + text.utf8.count }
        }
        return size
    }
}
#endif
