/// Repairs the XML of feeds as far as its meaning is clear, so that a strict parser can read it.
///
/// What stands before the first element goes, a late XML declaration and the document type with it, and so do comments
/// and processing instructions. Characters that XML forbids go. Names of characters that HTML knows and XML does not
/// become numbers, and an ampersand or a less-than sign that begins nothing is escaped. Line breaks stay, so that the
/// numbers of lines do too. A document that declares entities of its own is refused, for their expansion has no bound;
/// nothing outside the document is ever named to the parser.
struct XMLCleaner {
    /// Why a document is refused.
    struct Refused: Error, Equatable {
        let reason: String
    }

    private let bytes: [UInt8]
    private var output: [UInt8] = []
    private var index = 0

    /// Repairs a document.
    ///
    /// - Parameter bytes: The document in valid UTF-8.
    /// - Returns: The document without its type, with the same lines.
    /// - Throws: `Refused` when it declares entities of its own.
    static func clean(_ bytes: [UInt8]) throws(Refused) -> [UInt8] {
        var cleaner = XMLCleaner(bytes)
        try cleaner.run()
        return cleaner.output
    }

    private init(_ bytes: [UInt8]) {
        self.bytes = bytes
        output.reserveCapacity(bytes.count)
    }

    private mutating func run() throws(Refused) {
        // A blank line, a warning of the server's own program: nothing before the first tag is XML.
        while index < bytes.count, bytes[index] != UInt8(ascii: "<") { drop() }
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "<"): try readMarkup()
            case UInt8(ascii: "&"): copyReference()
            default: copy()
            }
        }
    }

    // MARK: Markup

    private mutating func readMarkup() throws(Refused) {
        if isAt("<![CDATA[") { return copyCharacterData() }
        if isAt("<!--") { return drop(past: "-->", from: index + 4) }
        if isAt("<?") { return drop(past: "?>", from: index + 2) }
        if isAt("<!") { return try dropDeclaration() }
        let next = index + 1 < bytes.count ? bytes[index + 1] : 0
        let isName = (0x61...0x7A).contains(next | 0x20) || next == UInt8(ascii: "_") || next >= 0x80
        guard isName || next == UInt8(ascii: "/") else {
            output += "&lt;".utf8
            index += 1
            return
        }
        copyTag()
    }

    private mutating func copyTag() {
        var quote: UInt8?
        output.append(bytes[index])
        index += 1
        while index < bytes.count {
            let byte = bytes[index]
            if let open = quote {
                switch byte {
                case open:
                    quote = nil
                    copy()
                case UInt8(ascii: "&"): copyReference()
                case UInt8(ascii: "<"):
                    output += "&lt;".utf8
                    index += 1
                default: copy()
                }
            } else {
                if byte == UInt8(ascii: "<") { return }
                if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") { quote = byte }
                copy()
                if byte == UInt8(ascii: ">") { return }
            }
        }
    }

    private mutating func copyCharacterData() {
        while index < bytes.count {
            if isAt("]]>") {
                output += "]]>".utf8
                index += 3
                return
            }
            copy()
        }
    }

    /// Goes past `<!DOCTYPE …>` or another declaration.
    private mutating func dropDeclaration() throws(Refused) {
        var quote: UInt8?
        var depth = 0
        while index < bytes.count {
            let byte = bytes[index]
            if let open = quote {
                if byte == open { quote = nil }
            } else if isAt("<!--") {
                drop(past: "-->", from: index + 4)
                continue
            } else {
                switch byte {
                case UInt8(ascii: "\""), UInt8(ascii: "'"): quote = byte
                case UInt8(ascii: "<"):
                    if isAt("<!ENTITY") && !declaresParameter {
                        throw Refused(reason: "it declares entities of its own")
                    }
                    depth += 1
                case UInt8(ascii: ">"): depth -= 1
                default: break
                }
            }
            drop()
            if depth == 0 { return }
        }
    }

    /// Whether the entity that is declared here is one for the document type itself, which is not read.
    private var declaresParameter: Bool {
        bytes[(index + 8)...].first { $0 != 0x20 && $0 != 0x09 && $0 != 0x0A && $0 != 0x0D } == UInt8(ascii: "%")
    }

    // MARK: Characters

    private mutating func copyReference() {
        switch CharacterReference.read(bytes, at: index) {
        case .scalar(let scalar, let length):
            // A number serves for every character, those with a meaning in XML included.
            output += "&#\(scalar.value);".utf8
            index += length
        case .illegal(let length):
            index += length
        case .none:
            output += "&amp;".utf8
            index += 1
        }
    }

    /// Copies a byte that XML allows.
    private mutating func copy() {
        let byte = bytes[index]
        switch byte {
        case 0x00...0x08, 0x0B, 0x0C, 0x0E...0x1F: break
        case 0xEF:
            // U+FFFE and U+FFFF are no characters; U+FEFF is a byte order mark in the middle.
            if index + 2 < bytes.count {
                let rest = (bytes[index + 1], bytes[index + 2])
                if rest == (0xBF, 0xBE) || rest == (0xBF, 0xBF) || rest == (0xBB, 0xBF) {
                    index += 3
                    return
                }
            }
            output.append(byte)
        default: output.append(byte)
        }
        index += 1
    }

    private mutating func drop() {
        if bytes[index] == 0x0A { output.append(0x0A) }
        index += 1
    }

    private mutating func drop(past end: StaticString, from start: Int) {
        while index < min(start, bytes.count) { drop() }
        while index < bytes.count {
            if isAt(end) {
                index += end.utf8CodeUnitCount
                return
            }
            drop()
        }
    }

    private func isAt(_ word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard index + count <= bytes.count else { return false }
        return word.withUTF8Buffer { buffer in
            for offset in 0..<count where bytes[index + offset] != buffer[offset] { return false }
            return true
        }
    }
}
