import Foundation

/// Which statements are wanted.
public struct StatementQuery: Sendable, Hashable {
    /// How many statements a page may have.
    public static let limits = 1...200
    /// The longest text to look for, in bytes of UTF-8.
    public static let textLimit = 1024
    private static let cursorLimit = 4096

    /// The most statements on the page.
    public let limit: Int
    /// The ``Statement/orderKey`` after which, towards earlier ones, the page begins; nil for the first page.
    public let before: String?
    /// The time from which on statements are wanted; one without a time counts as made in `Date.distantFuture`.
    public let since: Date?
    /// The topic the statements have.
    public let topic: String?
    /// What their normalised text contains, itself normalised; empty when nothing is left of it, which matches nothing.
    public let text: String?
    /// Whether duplicates are wanted, too.
    public let includesDuplicates: Bool

    /// Creates a query.
    ///
    /// - Parameters:
    ///   - limit: The most statements on the page, 1 to 200.
    ///   - cursor: The cursor of the page before, for the next page.
    ///   - since: The time from which on statements are wanted.
    ///   - topic: The topic they have.
    ///   - text: What their text contains, regardless of case and punctuation.
    ///   - includesDuplicates: Whether duplicates are wanted, too.
    /// - Throws: ``StatementQueryError`` when the limit is out of range, the cursor is not one that a page gave, or the text
    ///   is too long.
    public init(
        limit: Int = 50,
        cursor: String? = nil,
        since: Date? = nil,
        topic: String? = nil,
        text: String? = nil,
        includesDuplicates: Bool = false
    ) throws(StatementQueryError) {
        guard Self.limits.contains(limit) else { throw .limitOutOfRange(limit) }
        if let text, text.utf8.count > Self.textLimit { throw .textTooLong }
        self.limit = limit
        self.since = since
        self.topic = topic
        self.text = text.map(TextNormalizer.normalize)
        self.includesDuplicates = includesDuplicates
        if let cursor {
            before = try Self.order(ofCursor: cursor)
        } else {
            before = nil
        }
    }

    /// Tells whether a statement is wanted, whatever page it is on.
    ///
    /// - Parameters:
    ///   - analysed: The statement.
    ///   - isDuplicate: Whether it is a duplicate.
    /// - Returns: Whether it has everything the query asks for.
    public func matches(_ analysed: AnalysedStatement, isDuplicate: Bool) -> Bool {
        if isDuplicate && !includesDuplicates { return false }
        if let since, analysed.statement.createdAt ?? .distantFuture < since { return false }
        if let topic, !analysed.analysis.topics.contains(topic) { return false }
        if let text { return Self.contains(Array(analysed.analysis.normalizedText.utf8), Array(text.utf8)) }
        return true
    }

    /// The cursor of the page behind a statement.
    ///
    /// - Parameter order: The ``Statement/orderKey`` of the last statement on a page.
    /// - Returns: A text of letters, digits, `-` and `_`, for it is part of addresses.
    public static func cursor(after order: String) -> String {
        Data(order.utf8).base64EncodedString()
            .replacingOccurrences(of: "+", with: "-")
            .replacingOccurrences(of: "/", with: "_")
            .replacingOccurrences(of: "=", with: "")
    }

    private static func order(ofCursor cursor: String) throws(StatementQueryError) -> String {
        guard cursor.utf8.count <= cursorLimit else { throw .invalidCursor }
        let padded =
            cursor.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
            + String(repeating: "=", count: (4 - cursor.utf8.count % 4) % 4)
        guard let bytes = Data(base64Encoded: padded), let order = String(validating: bytes, as: UTF8.self),
            order.utf8.count >= 16, order.utf8.allSatisfy({ (0x20...0x7E).contains($0) }),
            Self.cursor(after: order) == cursor
        else { throw .invalidCursor }
        return order
    }

    private static func contains(_ text: [UInt8], _ part: [UInt8]) -> Bool {
        guard let first = part.first, text.count >= part.count else { return false }
        return (0...(text.count - part.count)).contains { start in
            text[start] == first && text[start..<(start + part.count)].elementsEqual(part)
        }
    }
}
