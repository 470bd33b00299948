/// Puts a text together with single blanks in it and none around it.
struct TextWriter {
    private var bytes: [UInt8] = []
    private var needsSpace = false
    private var needsBreak = false
    private var lineBreaks = 0
    private var holdsC2 = false

    /// The text so far.
    var text: String {
        var writer = self
        writer.release()
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    /// Ends the line, unless it is empty.
    mutating func breakLine() {
        release()
        needsBreak = true
    }

    /// Adds the next byte of UTF-8; line breaks are blanks, and a no-break space is one too.
    mutating func write(_ byte: UInt8) {
        if holdsC2 {
            holdsC2 = false
            if byte == 0xA0 { return needsSpace = true }
            if (0x80...0x9F).contains(byte) { return }
            append(0xC2)
        }
        switch byte {
        case 0xC2: holdsC2 = true
        case 0x09...0x0D, 0x20: needsSpace = true
        case 0x00..<0x20, 0x7F: break
        default: append(byte)
        }
    }

    /// Adds the next byte of a text that is not HTML, where an empty line ends a paragraph.
    mutating func writePlain(_ byte: UInt8) {
        if byte == 0x0A {
            lineBreaks += 1
            if lineBreaks > 1 { breakLine() }
        } else if byte > 0x20 {
            lineBreaks = 0
        }
        write(byte)
    }

    private mutating func release() {
        if holdsC2 {
            holdsC2 = false
            append(0xC2)
        }
    }

    private mutating func append(_ byte: UInt8) {
        if !bytes.isEmpty {
            if needsBreak { bytes.append(0x0A) } else if needsSpace { bytes.append(0x20) }
        }
        needsSpace = false
        needsBreak = false
        bytes.append(byte)
    }
}
