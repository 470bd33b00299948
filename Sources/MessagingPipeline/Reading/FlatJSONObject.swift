/// The members of a JSON object, with numbers kept as they are written.
///
/// Foundation reads a number as a `Double` or an integer of 64 bits; an id has to keep all its digits, whatever it is.
/// Nested arrays and objects are checked and left out. The grammar is that of RFC 8259.
struct FlatJSONObject {
    enum Value: Equatable {
        case string(String)
        case number(String)
        case bool(Bool)
        case null
        case nested
    }

    /// What is wrong with the bytes.
    struct Failure: Error {
        let reason: String
    }

    /// The values by lower-case name; of members with the same name the last one counts.
    private(set) var members: [String: Value] = [:]

    private static let depthLimit = 512
    /// Longer names are left out, in bytes.
    static let nameLimit = 64
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) throws(Failure) {
        self.bytes = bytes
        skipWhitespace()
        guard peek == UInt8(ascii: "{") else { throw Failure(reason: "not a JSON object") }
        try readObject(depth: 0) { (self, name, value) in
            if name.utf8.count <= Self.nameLimit { self.members[name.lowercased()] = value }
        }
        skipWhitespace()
        guard peek == nil else { throw Failure(reason: "text after the JSON object") }
    }

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipWhitespace() {
        while let byte = peek, JSONArrayParser.isWhitespace(byte) { position += 1 }
    }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: scalar) else { return false }
        position += 1
        return true
    }

    private func invalid(_ what: String) -> Failure {
        Failure(reason: peek == nil ? "invalid JSON: it ends early" : "invalid JSON: \(what) at byte \(position + 1)")
    }

    private mutating func readObject(depth: Int, _ store: (inout Self, String, Value) -> Void) throws(Failure) {
        position += 1
        skipWhitespace()
        if take("}") { return }
        repeat {
            skipWhitespace()
            guard peek == UInt8(ascii: "\"") else { throw invalid("a name is expected") }
            let name = try readString()
            skipWhitespace()
            guard take(":") else { throw invalid("a colon is expected") }
            let value = try readValue(depth: depth + 1)
            store(&self, name, value)
            skipWhitespace()
        } while take(",")
        guard take("}") else { throw invalid("a comma or brace is expected") }
    }

    private mutating func readArray(depth: Int) throws(Failure) {
        position += 1
        skipWhitespace()
        if take("]") { return }
        repeat {
            _ = try readValue(depth: depth + 1)
            skipWhitespace()
        } while take(",")
        guard take("]") else { throw invalid("a comma or bracket is expected") }
    }

    private mutating func readValue(depth: Int) throws(Failure) -> Value {
        guard depth <= Self.depthLimit else { throw Failure(reason: "nested deeper than \(Self.depthLimit) brackets") }
        skipWhitespace()
        switch peek {
        case UInt8(ascii: "{"):
            try readObject(depth: depth) { _, _, _ in }
            return .nested
        case UInt8(ascii: "["):
            try readArray(depth: depth)
            return .nested
        case UInt8(ascii: "\""): return .string(try readString())
        case UInt8(ascii: "t"): return try readLiteral("true", .bool(true))
        case UInt8(ascii: "f"): return try readLiteral("false", .bool(false))
        case UInt8(ascii: "n"): return try readLiteral("null", .null)
        default: return .number(try readNumber())
        }
    }

    private mutating func readLiteral(_ word: String, _ value: Value) throws(Failure) -> Value {
        guard bytes[position...].starts(with: word.utf8) else { throw invalid("a value is expected") }
        position += word.utf8.count
        return value
    }

    private mutating func readNumber() throws(Failure) -> String {
        let start = position
        _ = take("-")
        if !take("0") { try readDigits() }
        if take(".") { try readDigits() }
        if take("e") || take("E") {
            _ = take("+") || take("-")
            try readDigits()
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func readDigits() throws(Failure) {
        let start = position
        while let byte = peek, (0x30...0x39).contains(byte) { position += 1 }
        guard position > start else { throw invalid("a value is expected") }
    }

    private mutating func readString() throws(Failure) -> String {
        position += 1
        var text: [UInt8] = []
        while let byte = peek {
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: text, as: UTF8.self) else {
                    throw Failure(reason: "invalid UTF-8")
                }
                return string
            case UInt8(ascii: "\\"):
                text.append(contentsOf: Array(String(try readEscape()).utf8))
            case 0..<0x20:
                throw invalid("a control character in a string")
            default:
                text.append(byte)
            }
        }
        throw invalid("")
    }

    private mutating func readEscape() throws(Failure) -> Unicode.Scalar {
        guard let byte = peek else { throw invalid("") }
        position += 1
        switch byte {
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "u"):
            let first = try readUnit()
            if let scalar = Unicode.Scalar(first) { return scalar }
            guard first < 0xDC00, take("\\"), take("u") else { throw invalid("half a surrogate pair") }
            let second = try readUnit()
            guard (0xDC00...0xDFFF).contains(second),
                let scalar = Unicode.Scalar(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
            else { throw invalid("half a surrogate pair") }
            return scalar
        default: throw invalid("an unknown escape")
        }
    }

    private mutating func readUnit() throws(Failure) -> UInt32 {
        var unit: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80
            else { throw invalid("four hexadecimal digits are expected") }
            unit = unit << 4 | UInt32(digit)
            position += 1
        }
        return unit
    }
}
