import Messaging

/// Decides which messages have gone over to the new side: by key, so that a key is on one side at a time.
public enum KeyBucket {
    /// How many buckets there are; one is a percent.
    public static let count = 100

    /// The bucket of a message: that of its key, or of its id when it has none.
    ///
    /// - Parameter message: The message.
    /// - Returns: A number from 0 to 99, the same in every process.
    public static func of(_ message: Message) -> Int {
        let text = message.key.map { "k\($0)" } ?? "i\(message.id.rawValue)"
        return Int(CanonicalHash.number(of: text) % UInt64(count))
    }

    /// The steps in which producers go over.
    ///
    /// - Parameter isOrdered: Whether the queue keeps the order per key; then all keys go at once.
    /// - Returns: Percents, rising to 100.
    public static func steps(isOrdered: Bool) -> [Int] { isOrdered ? [100] : [1, 10, 50, 100] }
}
