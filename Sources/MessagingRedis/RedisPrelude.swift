#if Redis
/// The functions and values that scripts share.
///
/// Redis makes each of them anew with every call of a script, so a script gets those alone that it uses.
struct RedisPrelude {
    private struct Part {
        let name: String
        let text: String
        /// What it names.
        let words: Set<String>
    }

    private let parts: [Part]

    /// - Parameter text: Definitions of locals with their comments, each after an empty line.
    init(_ text: String) {
        parts = text.split(separator: "\n\n").compactMap { part in
            let lines = part.split(separator: "\n")
            guard let first = lines.first(where: { $0.hasPrefix("local ") }) else { return nil }
            let words = first.split(whereSeparator: { $0 == " " || $0 == "(" })
            guard let name = words.dropFirst(words.dropFirst().first == "function" ? 2 : 1).first else { return nil }
            return Part(name: String(name), text: String(part), words: Self.words(part))
        }
    }

    /// Puts before a script what it names, and what that names.
    func completing(_ script: String) -> String {
        var text = script
        var words = Self.words(script)
        // Those that come later use those that come earlier, never the other way.
        for part in parts.reversed() where words.contains(part.name) {
            text = part.text + "\n" + text
            words.formUnion(part.words)
        }
        return text
    }

    /// The words outside comments; byte by byte, because every process begins with it.
    private static func words(_ text: some StringProtocol) -> Set<String> {
        var words: Set<String> = []
        for line in text.utf8.split(separator: UInt8(ascii: "\n")) {
            var word: [UInt8] = []
            var last: UInt8 = 0
            for byte in line {
                if byte == UInt8(ascii: "-"), last == byte { break }
                last = byte
                if isPartOfWord(byte) {
                    word.append(byte)
                } else if !word.isEmpty {
                    words.insert(String(decoding: word, as: UTF8.self))
                    word.removeAll(keepingCapacity: true)
                }
            }
            if !word.isEmpty { words.insert(String(decoding: word, as: UTF8.self)) }
        }
        return words
    }

    private static func isPartOfWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
#endif
