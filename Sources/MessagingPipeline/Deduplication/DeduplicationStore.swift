/// Remembers texts and answers, in one atomic step, which ones inserted before say the same.
///
/// Statements with the same normalised text are one text, and of each text the store remembers only the earliest
/// statement so far. A copy therefore costs the same whether it is the second or the millionth.
public protocol DeduplicationStore: Sendable {
    /// Inserts the fingerprint of a statement.
    ///
    /// A statement that is not the earliest one of its text is answered with that one alone: whatever says the same as its
    /// text has been, or will be, told by the verdict on the earliest. The earliest of its text, be it the first time or
    /// again, is answered with the earliest statements of other texts that say the same, of which the store may leave out
    ///
    /// - an earlier one that is not the earliest of all answered, and
    /// - a later one whose text has an earlier original already, by an insert before.
    ///
    /// Inserting again changes nothing, and may give a later answer. Every statement must have the verdict on at least one
    /// of its answers applied to the statement store; which one does not matter.
    ///
    /// - Parameter fingerprint: The fingerprint.
    /// - Returns: The fingerprints, in any order. Some may share no more than a bucket; ``Deduplicator`` decides.
    /// - Throws: ``StoreError/full(capacity:)`` when there is no room for one more text, and whatever keeps the store from
    ///   answering.
    func insert(_ fingerprint: Fingerprint) async throws -> [Fingerprint]

    /// The number of different texts that were inserted.
    ///
    /// - Returns: The number.
    /// - Throws: Whatever keeps the store from answering.
    func count() async throws -> Int
}
