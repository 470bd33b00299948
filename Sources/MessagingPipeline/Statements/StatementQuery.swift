import Foundation

/// Which statements are wanted.
public struct StatementQuery: Sendable, Hashable {
    /// How many statements a page may have.
    public static let limits = 1...200
    /// The longest text to look for, in Unicode scalars.
    public static let textLimit = 1024
    /// The longest cursor, in characters.
    public static let cursorLimit = 4096

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
        if let text, text.unicodeScalars.count > Self.textLimit { throw .textTooLong }
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
    /// - Returns: The order in lower-case hexadecimal, so that the form of a cursor can be described exactly.
    public static func cursor(after order: String) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: order.utf8.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] },
            as: UTF8.self
        )
    }

    /// The order that a cursor stands for: 15 digits, the kind of the id, and characters of ASCII.
    private static func order(ofCursor cursor: String) throws(StatementQueryError) -> String {
        let digits = Array(cursor.utf8)
        guard digits.count <= cursorLimit, digits.count.isMultiple(of: 2) else { throw .invalidCursor }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 2)
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = value(ofDigit: digits[index]), let low = value(ofDigit: digits[index + 1]) else {
                throw .invalidCursor
            }
            bytes.append(high << 4 | low)
        }
        guard bytes.count >= 16, bytes.prefix(15).allSatisfy({ (0x30...0x39).contains($0) }),
            [UInt8(ascii: "n"), UInt8(ascii: "t"), UInt8(ascii: "u")].contains(bytes[15]),
            bytes.allSatisfy({ (0x20...0x7E).contains($0) })
        else { throw .invalidCursor }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func value(ofDigit digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        default: nil
        }
    }

    private static func contains(_ text: [UInt8], _ part: [UInt8]) -> Bool {
        guard let first = part.first, text.count >= part.count else { return false }
        return (0...(text.count - part.count)).contains { start in
            text[start] == first && text[start..<(start + part.count)].elementsEqual(part)
        }
    }
}
