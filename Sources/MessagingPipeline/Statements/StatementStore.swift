/// What became of a judged statement that was applied to a store.
public enum StatementChange: String, Sendable, Hashable, Codable {
    /// The statement was not in the store before.
    case added
    /// The statement was in the store already.
    case unchanged
}

/// The statements that the API serves.
public protocol StatementStore: Sendable {
    /// Applies a judged statement.
    ///
    /// Applying the same one again changes nothing, and after all have been applied, in any order, the content is the same.
    /// Its ``JudgedStatement/marks`` hold for every statement of their texts, also for those that have not arrived yet. Of
    /// several originals of one text the earliest counts, and a statement is a duplicate unless it is the original of its
    /// text; of different contents under one id the one whose JSON comes first in lexicographic order counts.
    ///
    /// - Parameter judged: The statement and the verdict on it.
    /// - Returns: Whether the statement is new.
    /// - Throws: ``StoreError/full(capacity:)`` when there is no room for one more, and whatever keeps the store from
    ///   answering.
    @discardableResult
    func apply(_ judged: JudgedStatement) async throws -> StatementChange

    /// Finds one statement.
    ///
    /// - Parameter id: The id of the statement.
    /// - Returns: The statement, or nil when none with this id has been applied.
    /// - Throws: Whatever keeps the store from answering.
    func statement(id: String) async throws -> StoredStatement?

    /// Lists statements, newest first; those without a time come before all others.
    ///
    /// - Parameter query: Which ones are wanted.
    /// - Returns: One page of them.
    /// - Throws: Whatever keeps the store from answering.
    func list(_ query: StatementQuery) async throws -> StatementPage

    /// Counts the statements that have been applied.
    ///
    /// - Returns: The numbers of unique statements and of duplicates.
    /// - Throws: Whatever keeps the store from answering.
    func counts() async throws -> StatementCounts

    /// Lists statements in the order in which they were first applied.
    ///
    /// Positions grow in the order in which applied statements become visible, so that a reader who goes on behind the last
    /// position it has seen misses none.
    ///
    /// - Parameters:
    ///   - position: The position behind which to begin; 0 for the beginning.
    ///   - limit: The most statements.
    /// - Returns: The statements; none when there is no newer one.
    /// - Throws: Whatever keeps the store from answering.
    func changes(after position: Int64, limit: Int) async throws -> StatementChanges

    /// The position of the statement that was added last; 0 when there is none.
    ///
    /// - Returns: The position.
    /// - Throws: Whatever keeps the store from answering.
    func lastPosition() async throws -> Int64
}
