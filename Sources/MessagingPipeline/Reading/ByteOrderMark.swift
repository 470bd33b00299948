/// Takes the byte order mark of UTF-8 off the start of an input that comes in pieces of any size.
struct ByteOrderMark {
    private static let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
    private var matched = 0
    private var isDecided = false

    /// The bytes to go on with; while it is undecided whether there is a mark, its bytes are held back.
    mutating func strip(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        let bytes = Array(bytes)
        if isDecided { return bytes }
        for (index, byte) in bytes.enumerated() {
            guard byte == Self.mark[matched] else { return finish() + bytes[index...] }
            matched += 1
            if matched == Self.mark.count {
                isDecided = true
                return Array(bytes[(index + 1)...])
            }
        }
        return []
    }

    /// The bytes held back, when the input ends or goes on differently.
    mutating func finish() -> [UInt8] {
        defer { isDecided = true }
        return isDecided ? [] : Array(Self.mark.prefix(matched))
    }
}
