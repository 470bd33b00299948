/// Cuts texts into words, numbers, names with signs, addresses and symbols, in time linear in their length.
enum Tokenizer {
    /// The longest word and name, in scalars; what is longer is cut, or is no name.
    ///
    /// Comparing strings puts runs of marks in order, which takes quadratic time.
    private static let wordLimit = 128

    static func tokens(_ text: String) -> [Token] {
        let scalars = HTMLEntities.decode(text)[...]
        var tokens: [Token] = []
        var index = scalars.startIndex
        var hasSpace = true
        while index < scalars.endIndex {
            if scalars[index].properties.isWhitespace {
                hasSpace = true
                index += 1
                continue
            }
            let (kind, start, end) = next(scalars[index...])
            let raw = string(scalars[start..<end])
            let key = kind == .word ? raw.lowercased().replacingApostrophes() : raw
            tokens.append(Token(kind: kind, text: raw, key: key, hasSpaceBefore: hasSpace))
            hasSpace = false
            index = end
        }
        return tokens
    }

    /// Letters, marks and numbers.
    static func isWordPart(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return isASCIILetter(scalar) || isDigit(scalar) }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .nonspacingMark,
            .spacingMark, .enclosingMark, .decimalNumber, .letterNumber, .otherNumber:
            return true
        default:
            return false
        }
    }

    /// Parts of the names of handles and hashtags.
    static func isNamePart(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "_" || isWordPart(scalar)
    }

    /// Where an address that begins the text ends; nil when none does.
    ///
    /// An address ends before a space, a quote, an angle bracket or anything that is not ASCII (RFC 3986 has only ASCII),
    /// and without the punctuation of the sentence behind it. One that was cut off (`htt…`) is an address, too.
    static func endOfAddress(_ text: ArraySlice<Unicode.Scalar>) -> Int? {
        guard let first = text.first, first == "h" || first == "w" || first == "H" || first == "W" else { return nil }
        let start = text.prefix(8).map { isASCIILetter($0) ? Unicode.Scalar(UInt8($0.value) | 0x20) : $0 }
        let scheme = ["https://", "http://", "www."].first { start.starts(with: $0.unicodeScalars) }
        guard scheme != nil else {
            let cut = start.prefix { $0 != "…" }
            let isScheme = ["https://", "http://"].contains { $0.unicodeScalars.starts(with: cut) }
            let isCut = cut.count >= 3 && cut.count < start.count && isScheme
            return isCut ? text.startIndex + cut.count + 1 : nil
        }
        let address = text.prefix { $0.isASCII && $0.value > 0x20 && $0 != "\"" && $0 != "<" && $0 != ">" }
        var end = address.endIndex
        while end > address.startIndex, ".,;:!?')]}".unicodeScalars.contains(address[end - 1]) { end -= 1 }
        if end < text.endIndex, text[end] == "…" { end += 1 }
        return end
    }

    static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }

    private static func isASCIILetter(_ scalar: Unicode.Scalar) -> Bool {
        ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar)
    }

    private static func string(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    private static func next(_ text: ArraySlice<Unicode.Scalar>) -> (kind: Token.Kind, start: Int, end: Int) {
        let start = text.startIndex
        let first = text[start]
        let rest = text.dropFirst()
        switch first {
        case "@", "#":
            let end = rest.drop(while: isNamePart).startIndex
            let name = text[(start + 1)..<end]
            // #1 and # 5 are numbers, not names.
            if name.count <= wordLimit, name.contains(where: { !isDigit($0) }) {
                return (first == "@" ? .handle : .hashtag, start + 1, end)
            }
        case "$":
            let end = rest.drop(while: isNamePart).startIndex
            let name = text[(start + 1)..<end]
            if (1...5).contains(name.count), name.allSatisfy({ ("A"..."Z").contains($0) }) {
                return (.ticker, start + 1, end)
            }
        case _ where isDigit(first):
            return (.number, start, endOfNumber(text))
        case _ where isWordPart(first):
            if let end = endOfAddress(text) { return (.url, start, end) }
            return (.word, start, endOfWord(text))
        default:
            break
        }
        return (.symbol, start, start + 1)
    }

    private static func endOfNumber(_ text: ArraySlice<Unicode.Scalar>) -> Int {
        var end = text.startIndex
        while end < text.endIndex {
            let isSeparator =
                (text[end] == "," || text[end] == ".") && end + 1 < text.endIndex && isDigit(text[end + 1])
            guard isDigit(text[end]) || isSeparator else { break }
            end += 1
        }
        return end
    }

    private static func endOfWord(_ text: ArraySlice<Unicode.Scalar>) -> Int {
        var end = text.startIndex
        while end < min(text.endIndex, text.startIndex + wordLimit) {
            let isApostrophe =
                (text[end] == "'" || text[end] == "’") && end + 1 < text.endIndex && isWordPart(text[end + 1])
            guard isWordPart(text[end]) || isApostrophe else { break }
            // In Chinese or Japanese an address may follow without a space.
            if end > text.startIndex, !text[end - 1].isASCII, endOfAddress(text[end...]) != nil { break }
            end += 1
        }
        return end
    }
}

extension String {
    /// With typewriter apostrophes, and without a possessive at the end.
    fileprivate func replacingApostrophes() -> String {
        guard !utf8.allSatisfy({ $0 < 0x80 && $0 != 0x27 }) else { return self }
        var view = String.UnicodeScalarView()
        view.append(contentsOf: unicodeScalars.map { $0 == "’" ? "'" : $0 })
        if view.count > 2, view.suffix(2).elementsEqual("'s".unicodeScalars) { view.removeLast(2) }
        return String(view)
    }
}
