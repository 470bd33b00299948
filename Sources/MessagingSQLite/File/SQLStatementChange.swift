#if SQLite
/// A change of the text of the statements that write, by which a test shows what finds a mistake in one of them.
package struct SQLStatementChange: Sendable, Hashable {
    /// The text that is replaced, wherever it stands.
    package let find: String
    /// What stands there instead.
    package let replacement: String

    /// Creates a change.
    ///
    /// - Parameters:
    ///   - find: The text that is replaced.
    ///   - replacement: What stands there instead.
    package init(_ find: String, _ replacement: String) {
        self.find = find
        self.replacement = replacement
    }

    static func apply(_ changes: [SQLStatementChange], to sql: String) -> String {
        changes.reduce(sql) { $0.replacing($1.find, with: $1.replacement) }
    }
}
#endif
