import Crypto
import Messaging

/// What a message is, whatever carries it: SHA-256 over its id, key, body and headers.
///
/// What brokers and this library add is not part of it, so a message has the same hash on both sides of a migration.
public struct CanonicalHash: Sendable, Hashable, CustomStringConvertible {
    /// The 32 bytes as hexadecimal digits.
    public let description: String

    /// Reads a hash back.
    ///
    /// - Parameter text: The 64 hexadecimal digits; `nil` comes of anything else.
    public init?(_ text: String) {
        guard text.utf8.count == 64, text.utf8.allSatisfy(Self.digits.contains) else { return nil }
        description = text
    }

    /// Computes the hash of a message.
    ///
    /// - Parameter message: The message; its due time is not part of it.
    public init(_ message: Message) {
        var hash = SHA256()
        Self.add(Array(message.id.rawValue.utf8), to: &hash)
        // A missing key is another one than an empty key.
        hash.update(data: [message.key == nil ? 0 : 1])
        Self.add(Array((message.key ?? "").utf8), to: &hash)
        Self.add(message.body, to: &hash)
        hash.update(data: [message.contentType == nil ? 0 : 1])
        Self.add(Array((message.contentType ?? "").utf8), to: &hash)
        let headers = message.headers.filter { !$0.name.hasPrefix("mq-") }
            .sorted { Array($0.name.utf8).lexicographicallyPrecedes(Array($1.name.utf8)) }
        for header in headers {
            Self.add(Array(header.name.utf8), to: &hash)
            Self.add(header.value, to: &hash)
        }
        description = Self.hexadecimal(hash.finalize())
    }

    /// Adds a field with its length before it, so that no two lists of fields give the same bytes.
    private static func add(_ bytes: [UInt8], to hash: inout SHA256) {
        withUnsafeBytes(of: UInt64(bytes.count).bigEndian) { hash.update(bufferPointer: $0) }
        hash.update(data: bytes)
    }

    private static let digits = Array("0123456789abcdef".utf8)

    static func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
        var text: [UInt8] = []
        text.reserveCapacity(64)
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The hash of a text, for names made from several parts.
    static func digest(of text: String) -> String { hexadecimal(SHA256.hash(data: Array(text.utf8))) }

    /// The first bytes of a text's hash as a number, the same on every machine.
    static func number(of text: String) -> UInt64 {
        SHA256.hash(data: Array(text.utf8)).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
