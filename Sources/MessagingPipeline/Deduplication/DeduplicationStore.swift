/// Remembers fingerprints and answers, in one atomic step, which ones inserted before share a bucket.
public protocol DeduplicationStore: Sendable {
    /// Inserts a fingerprint once.
    ///
    /// Inserting an id again changes nothing and gives the same answer as the first time: only fingerprints inserted
    /// before the id was. A delivery can therefore be handled again without any harm.
    ///
    /// - Parameter fingerprint: The fingerprint.
    /// - Returns: The fingerprints that share a bucket with it and were inserted before it, each once, in the order in
    ///   which they were inserted.
    /// - Throws: ``StoreError/full(capacity:)`` when there is no room for one more, and whatever keeps the store from
    ///   answering.
    func insert(_ fingerprint: Fingerprint) async throws -> [Fingerprint]

    /// The number of fingerprints that were inserted.
    ///
    /// - Returns: The number.
    /// - Throws: Whatever keeps the store from answering.
    func count() async throws -> Int
}
