import Foundation

/// Brings texts that say the same into the same form, in any language and in time linear in their length.
///
/// In this order: HTML character references are decoded; a leading `RT @name:` and all addresses on the web are removed;
/// the text is put into Unicode normal form KC (https://www.unicode.org/reports/tr15/) and folded to lower case; marks on
/// letters stay, as do digits; apostrophes between letters, and commas and points between digits and the like give way to
/// nothing or a space; other punctuation, symbols and emoji become spaces; runs of spaces become one.
public enum TextNormalizer {
    /// The most marks on one letter that are kept.
    ///
    /// The Stream-Safe Text Format of UAX #15 has the same limit. Putting longer runs in order takes quadratic time.
    private static let markLimit = 30
    private static let pieceLength = 512

    /// Normalises a text.
    ///
    /// - Parameter text: The text as it was collected.
    /// - Returns: Letters, digits and single spaces; empty when the text has nothing else than what is removed.
    public static func normalize(_ text: String) -> String {
        let scalars = withoutAddresses(withoutRetweet(HTMLEntities.decode(text)[...]))
        if scalars.allSatisfy(\.isASCII) { return words(scalars) }
        let composed = pieces(scalars[...], \.precomposedStringWithCompatibilityMapping)
        let folded = fold(composed.unicodeScalars)
        // Folding may leave a letter and a mark that have a composed form: J̌ becomes ǰ, which is ǰ.
        return words(pieces(folded[...], \.precomposedStringWithCanonicalMapping).unicodeScalars)
    }

    /// Normalises piece by piece, for Foundation moves the rest of the text at every change.
    private static func pieces(_ scalars: ArraySlice<Unicode.Scalar>, _ normalize: (String) -> String) -> String {
        var result = ""
        var rest = scalars
        while !rest.isEmpty {
            let end = rest.dropFirst(pieceLength).firstIndex(where: isBoundary) ?? rest.endIndex
            result += normalize(string(rest[..<end]))
            rest = rest[end...]
        }
        return result
    }

    /// Whether a scalar surely does not compose with what is before it.
    private static func isBoundary(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return true }
        switch scalar.value {
        // The letters of Hangul do compose.
        case 0x1100...0x11FF, 0x3130...0x318F, 0xA960...0xA97F, 0xD7B0...0xD7FF, 0xFFA0...0xFFDF: return false
        default: break
        }
        switch scalar.properties.generalCategory {
        case .lowercaseLetter, .uppercaseLetter, .otherLetter: return true
        default: return false
        }
    }

    private static func string(_ scalars: some Sequence<Unicode.Scalar>) -> String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    /// Drops any number of `RT @name:` from the start.
    private static func withoutRetweet(_ text: ArraySlice<Unicode.Scalar>) -> ArraySlice<Unicode.Scalar> {
        var rest = text
        while true {
            let start = rest.drop(while: \.properties.isWhitespace)
            guard start.count > 4, start.prefix(2).elementsEqual("RT".unicodeScalars) else { return rest }
            let space = start.dropFirst(2)
            let at = space.drop(while: \.properties.isWhitespace)
            guard at.startIndex > space.startIndex, at.first == "@" else { return rest }
            let name = at.dropFirst()
            let end = name.drop { Tokenizer.isNamePart($0) }
            guard end.startIndex > name.startIndex, end.first == ":" else { return rest }
            rest = end.dropFirst()
        }
    }

    private static func withoutAddresses(_ text: ArraySlice<Unicode.Scalar>) -> [Unicode.Scalar] {
        var result: [Unicode.Scalar] = []
        result.reserveCapacity(text.count)
        var index = text.startIndex
        var marks = 0
        while index < text.endIndex {
            let isAtWordStart =
                index == text.startIndex || !text[index - 1].isASCII || !Tokenizer.isWordPart(text[index - 1])
            if isAtWordStart, let end = Tokenizer.endOfAddress(text[index...]) {
                result.append(" ")
                index = end
                continue
            }
            marks =
                text[index].isASCII || text[index].properties.canonicalCombiningClass == .notReordered ? 0 : marks + 1
            if marks <= markLimit { result.append(text[index]) }
            index += 1
        }
        return result
    }

    private static func fold(_ scalars: String.UnicodeScalarView) -> [Unicode.Scalar] {
        var result: [Unicode.Scalar] = []
        for scalar in scalars {
            switch scalar {
            case "ß", "ẞ": result += ["s", "s"]
            case "ς": result.append("σ")
            case _ where scalar.isASCII: result.append(lowercased(scalar))
            default: result += scalar.properties.lowercaseMapping.unicodeScalars
            }
        }
        return result
    }

    private static func lowercased(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
        ("A"..."Z").contains(scalar) ? Unicode.Scalar(UInt8(scalar.value) | 0x20) : scalar
    }

    private static func words(_ scalars: some BidirectionalCollection<Unicode.Scalar>) -> String {
        var result = String.UnicodeScalarView()
        var needsSpace = false
        var last: Unicode.Scalar = " "
        var index = scalars.startIndex
        while index < scalars.endIndex {
            let scalar = scalars[index]
            index = scalars.index(after: index)
            if isKept(scalar) {
                if needsSpace && !result.isEmpty { result.append(" ") }
                needsSpace = false
                result.append(lowercased(scalar))
            } else if !isDropped(scalar, after: last, before: index < scalars.endIndex ? scalars[index] : " ") {
                needsSpace = true
            }
            last = scalar
        }
        return String(result)
    }

    private static func isKept(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return Tokenizer.isWordPart(scalar) }
        // Variation selectors and the keycap sign are marks that only belong to emoji.
        if (0xFE00...0xFE0F).contains(scalar.value) || scalar.value == 0x20E3 { return false }
        return Tokenizer.isWordPart(scalar)
    }

    /// Whether what surrounds the scalar is one word: `don't`, `1,000`, soft hyphens and joiners.
    private static func isDropped(_ scalar: Unicode.Scalar, after: Unicode.Scalar, before: Unicode.Scalar) -> Bool {
        switch scalar {
        case "'", "’", "‘", "ʼ": return isKept(after) && isKept(before)
        case ",": return ("0"..."9").contains(after) && ("0"..."9").contains(before)
        case _ where scalar.isASCII: return false
        default: return scalar.properties.generalCategory == .format || (0xFE00...0xFE0F).contains(scalar.value)
        }
    }
}
