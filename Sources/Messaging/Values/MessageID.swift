import Synchronization

/// Identifies a message for as long as it exists, on every backend it passes through.
///
/// The publisher mints the id before its first attempt, so that an attempt whose outcome is unknown can be repeated
/// without a second message appearing. Ids minted here are UUIDs of version 7 (RFC 9562 §5.7): they sort by time, and those
/// of one process in the order they were minted.
public struct MessageID: Hashable, Sendable, RawRepresentable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The text of the id.
    public let rawValue: String

    /// Creates an id from text that the caller guarantees to be unique for the message.
    ///
    /// - Parameter rawValue: 1 to 512 bytes of UTF-8; `publish` refuses other lengths.
    public init(rawValue: String) { self.rawValue = rawValue }

    /// Creates an id from text that the caller guarantees to be unique for the message.
    ///
    /// - Parameter rawValue: 1 to 512 bytes of UTF-8; `publish` refuses other lengths.
    public init(_ rawValue: String) { self.rawValue = rawValue }

    /// Creates an id from a literal.
    ///
    /// - Parameter value: The text of the id.
    public init(stringLiteral value: String) { self.rawValue = value }

    private static let mint = Mutex(Mint())

    /// Mints a new id: a UUID of version 7, 36 characters.
    ///
    /// - Returns: An id that no other call returns, in any process, for practical purposes.
    public static func make() -> MessageID {
        let now = UnixTime.milliseconds()
        return mint.withLock { mint in
            var generator = SystemRandomNumberGenerator()
            return mint.next(milliseconds: now, using: &generator)
        }
    }

    /// Draws a random start in each millisecond and counts on from it (RFC 9562 §6.2, method 2): randomness of the system
    /// costs more than the rest of an id.
    package struct Mint: Sendable {
        /// By how much the clock may be set back without ids going back with it.
        private static let tolerance: Int64 = 10_000

        private var last = Int64.min
        private var high: UInt64 = 0
        private var low: UInt64 = 0

        package init() {}

        package mutating func next(
            milliseconds: Int64,
            using generator: inout some RandomNumberGenerator
        ) -> MessageID {
            if milliseconds > last || milliseconds < last - Self.tolerance {
                last = milliseconds
                let time = UInt64(truncatingIfNeeded: milliseconds) & 0xFFFF_FFFF_FFFF
                high = time << 16 | 0x7000 | generator.next() & 0x0FFF
                // The highest of the 62 bits is left for counting; nobody mints 2^61 ids in a millisecond.
                low = 0x8000_0000_0000_0000 | generator.next() >> 3
            } else {
                low += 1
            }
            return MessageID(MessageID.text(high, low))
        }
    }

    private static func text(_ high: UInt64, _ low: UInt64) -> String {
        String(unsafeUninitializedCapacity: 36) { buffer in
            var position = 0
            for index in 0..<32 {
                if index == 8 || index == 12 || index == 16 || index == 20 {
                    buffer[position] = UInt8(ascii: "-")
                    position += 1
                }
                let word = index < 16 ? high : low
                let digit = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * (index % 16))) & 0xF
                buffer[position] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
                position += 1
            }
            return position
        }
    }

    /// The text of the id.
    public var description: String { rawValue }
}
