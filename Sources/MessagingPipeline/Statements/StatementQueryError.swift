/// What is wrong with a query.
public enum StatementQueryError: Error, Sendable, Hashable {
    /// The limit is not in ``StatementQuery/limits``.
    case limitOutOfRange(Int)
    /// The cursor is not one that a page gave.
    case invalidCursor
    /// The text to look for is longer than ``StatementQuery/textLimit``.
    case textTooLong
}
