/// What the comparison of a statement with those inserted before it gave.
public struct Verdict: Sendable, Hashable, Codable {
    /// The order of the judged statement itself.
    public let order: String
    /// The earliest of the statements compared that is earlier and says the same; nil when there is none so far.
    public let duplicateOf: String?
    /// The order of that statement, by which a store finds the earliest one of several verdicts.
    public let duplicateOfOrder: String?
    /// The later statements among those compared that say the same, earliest first: they turn out to be duplicates.
    public let supersedes: [String]
    /// The similarity to the statement `duplicateOf` names, or else the greatest one to a superseded statement; from 0 to
    /// 1, and 0 without either.
    public let similarity: Double

    private enum CodingKeys: String, CodingKey {
        case order
        case duplicateOf = "duplicate_of"
        case duplicateOfOrder = "duplicate_of_order"
        case supersedes, similarity
    }

    /// Creates a verdict.
    ///
    /// - Parameters:
    ///   - order: The order of the judged statement.
    ///   - original: The id and the order of the earliest statement it is a duplicate of.
    ///   - supersedes: The ids of its later duplicates.
    ///   - similarity: How much it has in common with them, from 0 to 1.
    public init(
        order: String,
        original: (id: String, order: String)? = nil,
        supersedes: [String] = [],
        similarity: Double = 0
    ) {
        self.order = order
        self.duplicateOf = original?.id
        self.duplicateOfOrder = original?.order
        self.supersedes = supersedes
        self.similarity = similarity
    }
}
