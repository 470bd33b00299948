import Foundation

/// One public statement as it was collected: who said it is not known, only what, when and where it was found.
public struct Statement: Sendable, Hashable, Codable {
    /// The name of the statement, the same whenever the same statement is collected again.
    public let id: String
    /// When the statement was made, to the millisecond; nil when that is not known.
    public let createdAt: Date?
    /// What was said, as it was collected.
    public let text: String
    /// Where the statement was found, for example the name of a file or the address of a feed.
    public let source: String?

    /// Creates a statement.
    ///
    /// - Parameters:
    ///   - id: The name of the statement.
    ///   - createdAt: When it was made; rounded to a millisecond.
    ///   - text: What was said.
    ///   - source: Where it was found.
    public init(id: String, createdAt: Date? = nil, text: String, source: String? = nil) {
        self.id = id
        self.createdAt = createdAt.map { StatementDate.date(milliseconds: StatementDate.milliseconds($0)) }
        self.text = text
        self.source = source
    }

    private enum CodingKeys: String, CodingKey {
        case id
        case createdAt = "created_at"
        case text, source
    }

    /// Reads a statement from its JSON form.
    ///
    /// - Parameter decoder: The decoder to read from.
    /// - Throws: `DecodingError` when a member is missing or of the wrong type, or `created_at` is not a date that
    ///   ``StatementDate/parse(_:)`` understands.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let written = try container.decodeIfPresent(String.self, forKey: .createdAt)
        let date = written.flatMap(StatementDate.parse)
        if written != nil && date == nil {
            throw DecodingError.dataCorruptedError(forKey: .createdAt, in: container, debugDescription: "not a date")
        }
        self.init(
            id: try container.decode(String.self, forKey: .id),
            createdAt: date,
            text: try container.decode(String.self, forKey: .text),
            source: try container.decodeIfPresent(String.self, forKey: .source)
        )
    }

    /// Writes the statement in its JSON form, `created_at` being an ISO 8601 string in UTC.
    ///
    /// - Parameter encoder: The encoder to write to.
    /// - Throws: What the encoder throws.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(id, forKey: .id)
        try container.encodeIfPresent(createdAt.map(StatementDate.string(from:)), forKey: .createdAt)
        try container.encode(text, forKey: .text)
        try container.encodeIfPresent(source, forKey: .source)
    }
}

extension Statement {
    /// A string of ASCII characters that sorts statements from the earliest to the latest.
    ///
    /// It is made of the time in milliseconds (a statement without one counts as made in `Date.distantFuture`) and,
    /// among statements of the same millisecond, the id: ids of digits first, shorter ones before longer ones, then
    /// other ids in lexicographic order. Two statements have the same key only when time and id are the same.
    public var orderKey: String {
        let time = StatementDate.milliseconds(createdAt ?? .distantFuture) - StatementDate.earliest
        let bytes = id.utf8
        let idKey =
            if !bytes.isEmpty && bytes.allSatisfy({ (0x30...0x39).contains($0) }) {
                "n" + StatementDate.pad(Int64(bytes.count), 7) + id
            } else if bytes.allSatisfy({ (0x20...0x7E).contains($0) }) {
                "t" + id
            } else {
                // Hexadecimal keeps the order of the bytes and leaves nothing to how a store compares text.
                "u" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            }
        return StatementDate.pad(time, 15) + idKey
    }

    /// Tells whether this statement comes before another one, by ``orderKey``.
    ///
    /// - Parameter other: The other statement.
    /// - Returns: Whether this one is earlier, or of the same millisecond and has the smaller id.
    public func precedes(_ other: Statement) -> Bool {
        orderKey < other.orderKey
    }

    /// The id of a record that brings none: `h-` and the 128-bit FNV-1a hash of its time and text, in hexadecimal.
    ///
    /// The text is taken without whitespace around it. The hash does not resist an attacker who looks for two texts with
    /// the same one.
    ///
    /// - Parameters:
    ///   - createdAt: When the statement was made.
    ///   - text: What was said.
    /// - Returns: The id, 34 characters.
    public static func derivedID(createdAt: Date?, text: String) -> String {
        let time = createdAt.map(StatementDate.string(from:)) ?? ""
        let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
        return "h-" + StableHash.hex128((time + "\n" + trimmed).utf8)
    }
}
