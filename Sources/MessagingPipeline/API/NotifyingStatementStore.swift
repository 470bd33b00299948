/// A store that tells the streams of this process at once about what is applied through it.
///
/// Give it to the pipeline and to ``StatementsAPI``. What other processes apply to the same store the streams find by
/// themselves, a second later.
public struct NotifyingStatementStore: StatementStore {
    private let base: any StatementStore
    let signal: StatementSignal

    /// Wraps a store.
    ///
    /// - Parameter base: The store.
    public init(_ base: any StatementStore) {
        self.base = base
        signal = StatementSignal()
    }

    /// Applies a judged statement, and tells the streams when it is new.
    ///
    /// - Parameter judged: The statement and the verdict on it.
    /// - Returns: Whether the statement is new.
    /// - Throws: As the store.
    @discardableResult
    public func apply(_ judged: JudgedStatement) async throws -> StatementChange {
        let change = try await base.apply(judged)
        if change == .added { signal.send() }
        return change
    }

    /// Finds one statement.
    ///
    /// - Parameter id: The id of the statement.
    /// - Returns: The statement, or nil when none with this id has been applied.
    /// - Throws: As the store.
    public func statement(id: String) async throws -> StoredStatement? { try await base.statement(id: id) }

    /// Lists statements, newest first.
    ///
    /// - Parameter query: Which ones are wanted.
    /// - Returns: One page of them.
    /// - Throws: As the store.
    public func list(_ query: StatementQuery) async throws -> StatementPage { try await base.list(query) }

    /// Counts the statements that have been applied.
    ///
    /// - Returns: The numbers of unique statements and of duplicates.
    /// - Throws: As the store.
    public func counts() async throws -> StatementCounts { try await base.counts() }

    /// Lists statements in the order in which they were first applied.
    ///
    /// - Parameters:
    ///   - position: The position after which to begin.
    ///   - limit: The most statements to list.
    /// - Returns: The statements behind the position.
    /// - Throws: As the store.
    public func changes(after position: Int64, limit: Int) async throws -> StatementChanges {
        try await base.changes(after: position, limit: limit)
    }

    /// The position of the statement that was applied last.
    ///
    /// - Returns: The position; 0 when there is none.
    /// - Throws: As the store.
    public func lastPosition() async throws -> Int64 { try await base.lastPosition() }
}
