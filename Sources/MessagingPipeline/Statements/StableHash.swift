/// FNV-1a, a hash that is the same in every process and on every machine, unlike `Hasher`.
///
/// The constants are those of http://www.isthe.com/chongo/tech/comp/fnv/. It does not resist somebody who looks for
/// collisions on purpose.
enum StableHash {
    /// The 64-bit hash of the bytes, or of what `start` is the hash of with the bytes behind it.
    static func hash64(_ bytes: some Sequence<UInt8>, from start: UInt64 = 0xcbf2_9ce4_8422_2325) -> UInt64 {
        bytes.reduce(start) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    /// The 128-bit hash of the bytes, as 32 hexadecimal digits.
    static func hex128(_ bytes: some Sequence<UInt8>) -> String {
        let prime: UInt128 = (1 << 88) + 0x13b
        let hash: UInt128 = bytes.reduce(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d) { ($0 ^ UInt128($1)) &* prime }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 32 - digits.utf8.count) + digits
    }
}
