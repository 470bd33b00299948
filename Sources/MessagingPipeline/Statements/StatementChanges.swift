/// Statements in the order in which they were first applied to a store.
public struct StatementChanges: Sendable, Hashable {
    /// One statement with its place.
    public struct Item: Sendable, Hashable {
        /// Its place: greater than that of every statement applied before.
        public let position: Int64
        /// The statement, as the store holds it now.
        public let statement: StoredStatement

        /// Creates an item.
        ///
        /// - Parameters:
        ///   - position: Its place.
        ///   - statement: The statement.
        public init(position: Int64, statement: StoredStatement) {
            self.position = position
            self.statement = statement
        }
    }

    /// The statements, those applied first before the others.
    public let items: [Item]

    /// Creates a list of changes.
    ///
    /// - Parameter items: The statements, those applied first before the others.
    public init(items: [Item]) {
        self.items = items
    }
}
