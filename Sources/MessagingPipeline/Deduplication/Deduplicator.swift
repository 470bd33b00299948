/// Decides which statements are duplicates, in a way that does not depend on the order in which they arrive.
///
/// A statement is a duplicate exactly when an earlier one (by ``Fingerprint/order``) says the same. Whether two statements
/// say the same depends on their normalised texts alone, so all statements of one text have the same original: the
/// earliest statement among those of the text and of the texts that say the same. A verdict tells of originals of texts,
/// each no later than the one before, and a ``StatementStore`` keeps the earliest it has heard of. That gives the same
/// whatever comes first, twice or at the same time, as long as the earliest statement of each text is judged at least once:
/// of two texts that say the same the one judged second is compared with the other, and its verdict names the original
/// of both.
public enum Deduplicator {
    /// Judges one statement.
    ///
    /// - Parameters:
    ///   - fingerprint: The fingerprint of the statement.
    ///   - candidates: What ``DeduplicationStore/insert(_:)`` answered for it, in any order.
    /// - Returns: The verdict.
    public static func judge(_ fingerprint: Fingerprint, against candidates: [Fingerprint]) -> Verdict {
        let similar = candidates.filter(fingerprint.saysTheSame).sorted { $0.order < $1.order }
        let original = similar.first.flatMap { $0.order < fingerprint.order ? $0 : nil }
        let later = similar.filter { $0.order > fingerprint.order && $0.exact != fingerprint.exact }
        return Verdict(
            order: fingerprint.order,
            text: fingerprint.exact,
            original: original.map { ($0.id, $0.order) },
            supersedes: later.map(\.exact),
            similarity: original.map(fingerprint.similarity) ?? later.map(fingerprint.similarity).max() ?? 0
        )
    }
}
