/// Makes plain text of HTML.
///
/// Tags and comments go, what is not text (scripts, styles and the like) goes with its content, block elements end the
/// line, references become their characters, and runs of blanks become one space. It never fails and takes time in
/// proportion to the input.
struct HTMLText {
    /// What counts as a tag.
    enum Tags {
        /// Everything that looks like one: the text is known to be HTML.
        case all
        /// Only elements of HTML, for texts that may as well be plain and say `List<Int>`.
        case known
    }

    private let bytes: [UInt8]
    private let tags: Tags
    /// Where the last `>` is; a tag cannot begin behind it.
    private let lastEnd: Int
    private var writer = TextWriter()
    private var index = 0

    /// The plain text of HTML.
    static func plain(_ html: String, tags: Tags = .all) -> String {
        var reader = HTMLText(html, tags)
        return reader.read()
    }

    /// The text with its blanks tidied and nothing else changed.
    static func tidied(_ text: String) -> String {
        var writer = TextWriter()
        for byte in text.utf8 { writer.writePlain(byte) }
        return writer.text
    }

    private init(_ html: String, _ tags: Tags) {
        bytes = Array(html.utf8)
        self.tags = tags
        lastEnd = bytes.lastIndex(of: UInt8(ascii: ">")) ?? -1
    }

    private mutating func read() -> String {
        while index < bytes.count {
            switch bytes[index] {
            case UInt8(ascii: "<"): readMarkup()
            case UInt8(ascii: "&"): readReference()
            default:
                writer.write(bytes[index])
                index += 1
            }
        }
        return writer.text
    }

    private mutating func readReference() {
        switch CharacterReference.read(bytes, at: index) {
        case .scalar(let scalar, let length):
            for byte in String(scalar).utf8 { writer.write(byte) }
            index += length
        case .illegal(let length):
            index += length
        case .none:
            writer.write(bytes[index])
            index += 1
        }
    }

    private mutating func readMarkup() {
        let rest = bytes[(index + 1)...]
        guard index < lastEnd, let first = rest.first else { return writeLess() }
        if rest.starts(with: Array("!--".utf8)) { return skip(past: Array("-->".utf8), from: index + 4) }
        if first == UInt8(ascii: "!") || first == UInt8(ascii: "?") {
            return skip(past: [UInt8(ascii: ">")], from: index)
        }
        let isEnd = first == UInt8(ascii: "/")
        let name = rest.dropFirst(isEnd ? 1 : 0).prefix(32).prefix {
            CharacterReference.isLetterOrDigit($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ":")
        }
        guard let letter = name.first, (0x61...0x7A).contains(letter | 0x20) else { return writeLess() }
        let element = String(decoding: name.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
        guard tags == .all || HTMLElements.known.contains(element), let end = endOfTag(from: name.endIndex) else {
            return writeLess()
        }
        index = end + 1
        if HTMLElements.blocks.contains(element) {
            writer.breakLine()
        } else if HTMLElements.cells.contains(element) {
            writer.write(0x20)
        }
        let isEmpty = bytes[end - 1] == UInt8(ascii: "/")
        if !isEnd, !isEmpty, HTMLElements.dropped.contains(element) {
            skip(past: Array("</\(element)".utf8), from: index)
            if index < bytes.count { skip(past: [UInt8(ascii: ">")], from: index) }
        }
    }

    private mutating func writeLess() {
        writer.write(UInt8(ascii: "<"))
        index += 1
    }

    /// Goes behind the next occurrence of a pattern in any case, or to the end.
    private mutating func skip(past pattern: [UInt8], from start: Int) {
        var position = start
        while position + pattern.count <= bytes.count {
            if pattern.indices.allSatisfy({ matches(bytes[position + $0], pattern[$0]) }) {
                index = position + pattern.count
                return
            }
            position += 1
        }
        index = bytes.count
    }

    private func matches(_ byte: UInt8, _ lower: UInt8) -> Bool {
        byte == lower || ((0x41...0x5A).contains(byte) && byte | 0x20 == lower)
    }

    /// The index of the `>` that ends a tag; nil when another tag begins first or none ends it.
    private func endOfTag(from start: Int) -> Int? {
        var position = start
        var quote: UInt8?
        while position <= lastEnd {
            let byte = bytes[position]
            if let open = quote {
                if byte == open { quote = nil }
            } else if byte == UInt8(ascii: ">") {
                return position
            } else if byte == UInt8(ascii: "<") {
                return nil
            } else if (byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'")) && position > start {
                // A quote that opens a value follows an equals sign; elsewhere it is a typing error.
                if isAfterEquals(position, start) { quote = byte }
            }
            position += 1
        }
        // The quote was never closed: the tag ends at the first `>` all the same.
        return quote == nil ? nil : bytes[start...].prefix(4096).firstIndex(of: UInt8(ascii: ">"))
    }

    private func isAfterEquals(_ position: Int, _ start: Int) -> Bool {
        let before = bytes[max(start, position - 8)..<position]
        return before.last { $0 != 0x20 && $0 != 0x09 && $0 != 0x0A && $0 != 0x0D } == UInt8(ascii: "=")
    }
}
