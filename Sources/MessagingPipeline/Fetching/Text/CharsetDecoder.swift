import Foundation

/// Makes UTF-8 of a text in whatever encoding it is really in.
///
/// A byte order mark decides first. Otherwise bytes that are valid UTF-8 and more than ASCII are UTF-8, whatever they
/// are declared to be, for texts in other encodings practically never are. Then the declaration of the transport counts,
/// then that of the document. Without a usable one the text is taken as UTF-8, and bytes that do not fit as windows-1252.
enum CharsetDecoder {
    /// Decodes a whole text.
    ///
    /// - Parameters:
    ///   - bytes: The text as it was received.
    ///   - transport: The `charset` of the `Content-Type`.
    /// - Returns: The text in valid UTF-8, without a byte order mark.
    static func utf8(_ bytes: [UInt8], transport: String?) -> [UInt8] {
        if let (encoding, length) = byteOrderMark(bytes) {
            let rest = bytes[length...]
            return encoding == .utf8 ? repaired(rest) : decoded(rest, encoding) ?? repaired(rest)
        }
        // Without a mark, the zero bytes around the first character give UTF-16 away.
        switch (bytes.first, bytes.dropFirst().first) {
        case (0x00, let second?) where second != 0x00:
            return decoded(bytes[...], .utf16BigEndian) ?? repaired(bytes[...])
        case (let first?, 0x00) where first != 0x00:
            return decoded(bytes[...], .utf16LittleEndian) ?? repaired(bytes[...])
        default: break
        }
        if isValid(bytes[...]) {
            // ASCII alone is valid in any of the encodings below but those with escape sequences.
            guard !bytes.contains(0x1B) || bytes.contains(where: { $0 >= 0x80 }) else {
                let label = transport ?? declaration(bytes)
                return label.flatMap(encoding).flatMap { decoded(bytes[...], $0) } ?? bytes
            }
            return bytes
        }
        for label in [transport, declaration(bytes)] {
            guard let label, let encoding = encoding(label) else { continue }
            if encoding == .windowsCP1252 { return Windows1252.utf8(bytes) }
            if encoding == .utf8 { continue }
            if let text = decoded(bytes[...], encoding) { return text }
        }
        return repaired(bytes[...])
    }

    /// The encoding that the XML declaration names, when there is one within the first bytes.
    static func declaration(_ bytes: [UInt8]) -> String? {
        let head = String(decoding: bytes.prefix(1024).filter { $0 < 0x80 }, as: UTF8.self)
        guard let start = head.range(of: "<?xml"),
            let end = head.range(of: "?>", range: start.upperBound..<head.endIndex),
            let name = head.range(of: "encoding", range: start.upperBound..<end.lowerBound)
        else { return nil }
        let value = head[name.upperBound..<end.lowerBound].drop { $0.isWhitespace || $0 == "=" }
        guard let quote = value.first, quote == "\"" || quote == "'" else { return nil }
        return String(value.dropFirst().prefix { $0 != quote })
    }

    private static func byteOrderMark(_ bytes: [UInt8]) -> (String.Encoding, Int)? {
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { return (.utf8, 3) }
        if bytes.starts(with: [0xFF, 0xFE, 0, 0]) { return (.utf32LittleEndian, 4) }
        if bytes.starts(with: [0, 0, 0xFE, 0xFF]) { return (.utf32BigEndian, 4) }
        if bytes.starts(with: [0xFF, 0xFE]) { return (.utf16LittleEndian, 2) }
        if bytes.starts(with: [0xFE, 0xFF]) { return (.utf16BigEndian, 2) }
        return nil
    }

    private static func decoded(_ bytes: ArraySlice<UInt8>, _ encoding: String.Encoding) -> [UInt8]? {
        if encoding == .utf16LittleEndian || encoding == .utf16BigEndian {
            return utf16(bytes, isLittle: encoding == .utf16LittleEndian)
        }
        return String(data: Data(bytes), encoding: encoding).map { Array($0.utf8) }
    }

    /// UTF-16 with broken surrogates replaced and an odd last byte dropped.
    private static func utf16(_ bytes: ArraySlice<UInt8>, isLittle: Bool) -> [UInt8] {
        var units: [UInt16] = []
        units.reserveCapacity(bytes.count / 2)
        var index = bytes.startIndex
        while index + 1 < bytes.endIndex {
            let first = UInt16(bytes[index])
            let second = UInt16(bytes[index + 1])
            units.append(isLittle ? second << 8 | first : first << 8 | second)
            index += 2
        }
        return Array(String(decoding: units, as: UTF16.self).utf8)
    }

    private static func isValid(_ bytes: ArraySlice<UInt8>) -> Bool {
        String(validating: bytes, as: UTF8.self) != nil
    }

    /// Keeps what is UTF-8 and takes every other byte as windows-1252.
    private static func repaired(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        if isValid(bytes) { return Array(bytes) }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + bytes.count / 8)
        var index = bytes.startIndex
        while index < bytes.endIndex {
            let length = sequenceLength(bytes[index])
            let end = min(index + length, bytes.endIndex)
            if length == 1 && bytes[index] < 0x80 {
                result.append(bytes[index])
            } else if length > 1, end - index == length, isValid(bytes[index..<end]) {
                result += bytes[index..<end]
            } else {
                result += String(Windows1252.scalar(bytes[index])).utf8
                index += 1
                continue
            }
            index = end
        }
        return result
    }

    private static func sequenceLength(_ byte: UInt8) -> Int {
        switch byte {
        case 0xC2...0xDF: 2
        case 0xE0...0xEF: 3
        case 0xF0...0xF4: 4
        default: 1
        }
    }

    /// The encoding of a label, as feeds and servers write it; nil when it is not known.
    static func encoding(_ label: String) -> String.Encoding? {
        guard label.utf8.count <= 40 else { return nil }
        return labels[label.trimmingCharacters(in: .whitespaces).lowercased()]
    }

    // What these labels mean is what https://encoding.spec.whatwg.org/#names-and-labels says. The encodings without a
    // constant of their own go by their number in Core Foundation.
    private static let labels: [String: String.Encoding] = {
        let foundation = { (number: UInt) in String.Encoding(rawValue: 0x8000_0000 | number) }
        let table: [(String, String.Encoding)] = [
            ("utf-8 utf8 unicode-1-1-utf-8", .utf8),
            ("utf-16le utf-16", .utf16LittleEndian), ("utf-16be", .utf16BigEndian),
            ("iso-8859-1 iso8859-1 iso_8859-1 latin1 latin-1 l1 windows-1252 cp1252 us-ascii ascii", .windowsCP1252),
            ("iso-8859-2 latin2", .isoLatin2), ("windows-1250 cp1250", .windowsCP1250),
            ("windows-1251 cp1251 win-1251", .windowsCP1251), ("windows-1253 cp1253", .windowsCP1253),
            ("iso-8859-9 latin5 windows-1254 cp1254", .windowsCP1254),
            ("windows-1255 cp1255", foundation(0x505)), ("windows-1256 cp1256", foundation(0x506)),
            ("windows-1257 cp1257", foundation(0x507)), ("windows-1258 cp1258", foundation(0x508)),
            ("iso-8859-5", foundation(0x205)), ("iso-8859-7", foundation(0x207)),
            ("iso-8859-15 latin-9", foundation(0x20F)),
            ("koi8-r koi8", foundation(0xA02)), ("koi8-u", foundation(0xA08)),
            ("shift_jis shift-jis sjis windows-31j", .shiftJIS), ("euc-jp", .japaneseEUC),
            ("iso-2022-jp", .iso2022JP), ("gb2312 gbk gb18030 x-gbk", foundation(0x632)), ("big5", foundation(0xA03)),
            ("euc-kr ks_c_5601-1987 windows-949", foundation(0x940)), ("macintosh mac", .macOSRoman),
        ]
        var labels: [String: String.Encoding] = [:]
        for (names, encoding) in table {
            for name in names.split(separator: " ") { labels[String(name)] = encoding }
        }
        return labels
    }()
}
