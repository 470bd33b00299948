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
    /// What it supersedes is remembered for statements that have not arrived yet. Of several originals of one statement the
    /// earliest counts; of different contents under one id the one whose JSON comes first in lexicographic order.
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
}
