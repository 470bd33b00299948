/// Percent-encoding as in RFC 3986 section 2.1, read strictly.
enum PercentEncoding {
    /// The text that bytes of an address stand for.
    ///
    /// - Parameters:
    ///   - bytes: The bytes as they were sent.
    ///   - plusIsSpace: Whether `+` is a space, as forms write it.
    /// - Returns: The text; `nil` when a byte is not of ASCII, `%` is not followed by two hexadecimal digits, or the
    ///   result is not UTF-8.
    static func decode(_ bytes: some Sequence<UInt8>, plusIsSpace: Bool = false) -> String? {
        var decoded: [UInt8] = []
        var iterator = bytes.makeIterator()
        while let byte = iterator.next() {
            switch byte {
            case UInt8(ascii: "%"):
                guard let high = iterator.next().flatMap(value(ofDigit:)),
                    let low = iterator.next().flatMap(value(ofDigit:))
                else {
                    return nil
                }
                decoded.append(high << 4 | low)
            case UInt8(ascii: "+") where plusIsSpace: decoded.append(UInt8(ascii: " "))
            case 0x21...0x7E: decoded.append(byte)
            default: return nil
            }
        }
        return String(validating: decoded, as: UTF8.self)
    }

    private static func value(ofDigit digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
