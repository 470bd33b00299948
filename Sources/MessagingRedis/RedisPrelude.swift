#if Redis
/// The functions and values that scripts share.
///
/// Redis makes each of them anew with every call of a script, so a script gets those alone that it uses.
struct RedisPrelude {
    private struct Part {
        let name: String
        let text: String
    }

    private let parts: [Part]

    /// - Parameter text: Definitions of locals with their comments, each after an empty line.
    init(_ text: String) {
        parts = text.split(separator: "\n\n").compactMap { part in
            let lines = part.split(separator: "\n")
            guard let first = lines.first(where: { $0.hasPrefix("local ") }) else { return nil }
            let words = first.split(whereSeparator: { $0 == " " || $0 == "(" })
            guard let name = words.dropFirst(words.dropFirst().first == "function" ? 2 : 1).first else { return nil }
            return Part(name: String(name), text: String(part))
        }
    }

    /// Puts before a script what it names, and what that names.
    func completing(_ script: String) -> String {
        var text = script
        // Those that come later use those that come earlier, never the other way.
        for part in parts.reversed() where Self.words(text).contains(Substring(part.name)) {
            text = part.text + "\n" + text
        }
        return text
    }

    /// The words outside comments.
    private static func words(_ text: String) -> Set<Substring> {
        var words: Set<Substring> = []
        for line in text.split(separator: "\n") {
            let code = line.firstRange(of: "--").map { line[..<$0.lowerBound] } ?? line
            words.formUnion(code.split { !($0.isASCII && ($0.isLetter || $0.isNumber) || $0 == "_") })
        }
        return words
    }
}
#endif
