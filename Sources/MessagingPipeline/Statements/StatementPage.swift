/// A part of an answer with many statements.
public struct StatementPage: Sendable, Hashable, Codable {
    /// The statements, newest first.
    public let items: [StoredStatement]
    /// The cursor with which to ask for the next page; nil on the last one.
    public let nextCursor: String?

    private enum CodingKeys: String, CodingKey {
        case items
        case nextCursor = "next_cursor"
    }

    /// Creates a page.
    ///
    /// - Parameters:
    ///   - items: The statements, newest first.
    ///   - nextCursor: The cursor of the next page.
    public init(items: [StoredStatement], nextCursor: String? = nil) {
        self.items = items
        self.nextCursor = nextCursor
    }
}
