/// Removes credentials from text that is about to be shown.
///
/// It errs on the safe side: a password that was not percent-encoded can put an `@`, a `/` or a `?` anywhere, so
/// everything before the last `@` of a word goes, and so does a URL's query.
enum Redacted {
    /// Returns text without the user information and queries of the URLs in it, broken ones too.
    static func text(_ text: String) -> String {
        var result = ""
        var word = ""
        for character in text {
            if isBoundary(character) {
                result += redactedWord(word)
                result.append(character)
                word = ""
            } else {
                word.append(character)
            }
        }
        return result + redactedWord(word)
    }

    /// Returns text in one line without control characters, for a terminal that must not be taken over.
    static func line(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }
            )
        )
    }

    private static func redactedWord(_ word: String) -> String {
        let scheme = word.firstRange(of: "://")
        let head = scheme.map { word[..<$0.upperBound] } ?? ""
        var rest = word[head.endIndex...]
        var isSecret = false
        if let at = rest.lastIndex(of: "@") {
            rest = rest[rest.index(after: at)...]
            isSecret = true
        }
        guard scheme != nil else { return isSecret ? "***@" + rest : word }
        if let query = rest.firstIndex(of: "?") { rest = rest[..<query] + "?***" }
        return head + (isSecret ? "***@" : "") + rest
    }

    private static func isBoundary(_ character: Character) -> Bool {
        character.isWhitespace || character == "'" || character == "\"" || character == ";"
    }
}
