/// Reads the character references of XML and HTML.
enum CharacterReference {
    /// What stands at an ampersand.
    enum Found: Equatable {
        /// A reference to a character, `length` bytes long with its ampersand.
        case scalar(Unicode.Scalar, length: Int)
        /// A reference to something that no text may hold, `length` bytes long with its ampersand.
        case illegal(length: Int)
        /// No reference: the ampersand means itself.
        case none
    }

    /// Reads the reference at an index that holds an ampersand.
    ///
    /// A number without a semicolon counts, as in HTML. Numbers from 128 to 159 mean what windows-1252 has there, which
    /// is what their authors saw.
    static func read(_ bytes: [UInt8], at index: Int) -> Found {
        let bytes = bytes[(index + 1)...].prefix(16)
        guard let first = bytes.first else { return .none }
        guard first == UInt8(ascii: "#") else {
            let name = bytes.prefix(CharacterNames.longest).prefix(while: isLetterOrDigit)
            guard !name.isEmpty, bytes.dropFirst(name.count).first == UInt8(ascii: ";"),
                let scalar = CharacterNames.scalar(name)
            else { return .none }
            return .scalar(scalar, length: name.count + 2)
        }
        let isHexadecimal = bytes.dropFirst().first.map { $0 | 0x20 == UInt8(ascii: "x") } ?? false
        let rest = bytes.dropFirst(isHexadecimal ? 2 : 1)
        let digits = rest.prefix { digit($0, isHexadecimal) != nil }
        guard !digits.isEmpty else { return .none }
        let hasEnd = rest.dropFirst(digits.count).first == UInt8(ascii: ";")
        let length = 1 + (isHexadecimal ? 2 : 1) + digits.count + (hasEnd ? 1 : 0)
        let value = digits.reduce(UInt64(0)) { $0 * (isHexadecimal ? 16 : 10) + UInt64(digit($1, isHexadecimal) ?? 0) }
        if (0x80...0x9F).contains(value) { return .scalar(Windows1252.scalar(UInt8(value)), length: length) }
        guard let scalar = UInt32(exactly: value).flatMap(Unicode.Scalar.init), isLegal(scalar) else {
            return .illegal(length: length)
        }
        return .scalar(scalar, length: length)
    }

    /// Whether XML 1.0 allows the character.
    static func isLegal(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09, 0x0A, 0x0D, 0x20...0xFFFD, 0x10000...: scalar.value & 0xFFFE != 0xFFFE
        default: false
        }
    }

    static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20)
    }

    private static func digit(_ byte: UInt8, _ isHexadecimal: Bool) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46 where isHexadecimal: byte - 0x37
        case 0x61...0x66 where isHexadecimal: byte - 0x57
        default: nil
        }
    }
}
