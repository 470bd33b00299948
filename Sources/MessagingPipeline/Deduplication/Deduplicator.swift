/// Decides which statements are duplicates, in a way that does not depend on the order in which they arrive.
///
/// A statement is a duplicate exactly when an earlier one (by ``Fingerprint/order``) says the same. Whichever of the two
/// is inserted second is compared with the other, and its verdict settles the pair: it says that the statement is a
/// duplicate, or that it supersedes the one inserted before.
public enum Deduplicator {
    /// Judges one statement.
    ///
    /// - Parameters:
    ///   - fingerprint: The fingerprint of the statement.
    ///   - candidates: What ``DeduplicationStore/insert(_:)`` answered for it, in any order.
    /// - Returns: The verdict.
    public static func judge(_ fingerprint: Fingerprint, against candidates: [Fingerprint]) -> Verdict {
        let similar = candidates.filter { fingerprint.isDuplicate(of: $0) }.sorted { $0.order < $1.order }
        let original = similar.first.flatMap { $0.order < fingerprint.order ? $0 : nil }
        let later = similar.filter { $0.order > fingerprint.order }
        return Verdict(
            order: fingerprint.order,
            original: original.map { ($0.id, $0.order) },
            supersedes: later.map(\.id),
            similarity: original.map(fingerprint.similarity) ?? later.map(fingerprint.similarity).max() ?? 0
        )
    }
}
