/// An amount, a share or a day that a statement mentions.
public struct Mention: Sendable, Hashable, Codable {
    /// What a mention is of.
    public enum Kind: String, Sendable, Hashable, Codable, CaseIterable {
        /// An amount of money, a share or a difference of shares, a day.
        case money, percent, date
    }

    /// What is mentioned.
    public let kind: Kind
    /// The words of the statement.
    public let text: String
    /// The number; of `$1.5 billion` 1500000000, of `38%` 38, of a date nothing.
    public let value: Double?
    /// The currency of an amount (ISO 4217), and `percent`, `points` or `basis_points` of a share.
    public let unit: String?

    /// Creates a mention.
    ///
    /// - Parameters:
    ///   - kind: What is mentioned.
    ///   - text: The words of the statement.
    ///   - value: The number, in `unit`.
    ///   - unit: What the number counts.
    public init(kind: Kind, text: String, value: Double? = nil, unit: String? = nil) {
        self.kind = kind
        self.text = text
        self.value = value
        self.unit = unit
    }
}
