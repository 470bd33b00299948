extension StatementQuery {
    /// Tells whether a statement, and with it every one that a listing has behind it, is older than wanted.
    ///
    /// - Parameter statement: The statement.
    /// - Returns: Whether a listing, newest first, can end before it.
    public func isBelow(_ statement: Statement) -> Bool {
        guard let since, let createdAt = statement.createdAt else { return false }
        return createdAt < since
    }
}
