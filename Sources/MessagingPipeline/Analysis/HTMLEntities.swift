/// Decodes the character references of HTML that are usual in collected text.
enum HTMLEntities {
    // The names XML knows and those that feeds use most:
    // https://html.spec.whatwg.org/multipage/named-characters.html
    private static let named: [String: Unicode.Scalar] = [
        "amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'", "nbsp": "\u{A0}", "ndash": "–", "mdash": "—",
        "lsquo": "‘", "rsquo": "’", "ldquo": "“", "rdquo": "”", "hellip": "…", "euro": "€", "pound": "£", "yen": "¥",
        "cent": "¢", "copy": "©", "reg": "®", "trade": "™", "deg": "°", "middot": "·", "bull": "•", "laquo": "«",
        "raquo": "»", "eacute": "é", "egrave": "è", "agrave": "à", "auml": "ä", "ouml": "ö", "uuml": "ü", "szlig": "ß",
        "ntilde": "ñ", "ccedil": "ç", "shy": "\u{AD}", "zwj": "\u{200D}", "zwnj": "\u{200C}",
    ]

    /// The scalars of the text with `&amp;`, `&#39;`, `&#x27;` and the like replaced; anything else stays as it is.
    static func decode(_ text: String) -> [Unicode.Scalar] {
        let scalars = Array(text.unicodeScalars)
        guard scalars.contains("&") else { return scalars }
        var result: [Unicode.Scalar] = []
        result.reserveCapacity(scalars.count)
        var index = 0
        while index < scalars.count {
            if scalars[index] == "&", let (scalar, length) = reference(scalars[(index + 1)...]) {
                result.append(scalar)
                index += 1 + length
            } else {
                result.append(scalars[index])
                index += 1
            }
        }
        return result
    }

    /// The scalar that a reference stands for, and the length of the reference after its `&`.
    private static func reference(_ rest: ArraySlice<Unicode.Scalar>) -> (Unicode.Scalar, Int)? {
        guard let end = rest.prefix(10).firstIndex(of: ";") else { return nil }
        let name = rest[rest.startIndex..<end]
        guard name.first == "#" else {
            return named[String(String.UnicodeScalarView(name))].map { ($0, name.count + 1) }
        }
        let isHexadecimal = name.dropFirst().first == "x" || name.dropFirst().first == "X"
        let digits = String(String.UnicodeScalarView(name.dropFirst(isHexadecimal ? 2 : 1)))
        guard let value = UInt32(digits, radix: isHexadecimal ? 16 : 10), value > 0, let scalar = Unicode.Scalar(value)
        else { return nil }
        return (scalar, name.count + 1)
    }
}
