/// Tells bodies apart that were published under one id.
///
/// Backends keep digests; a change of this function makes what they have kept look like other bodies.
package enum BodyDigest {
    /// FNV-1a (Fowler, Noll, Vo) over words of eight bytes, lowest byte first, and then over the rest, with shifts that carry
    /// high bits down.
    package static func of(_ body: [UInt8]) -> UInt64 { body.withUnsafeBytes { of($0) } }

    /// The same of a text's UTF-8.
    package static func of(_ text: String) -> UInt64 {
        var text = text
        return text.withUTF8 { of(UnsafeRawBufferPointer($0)) }
    }

    private static func of(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        let prime: UInt64 = 0x100_0000_01B3
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325 ^ UInt64(bytes.count)
        var offset = 0
        while offset + 8 <= bytes.count {
            hash = (hash ^ UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
            hash = (hash ^ (hash >> 32)) &* prime
            offset += 8
        }
        while offset < bytes.count {
            hash = (hash ^ UInt64(bytes[offset])) &* prime
            offset += 1
        }
        return hash ^ (hash >> 29)
    }
}
