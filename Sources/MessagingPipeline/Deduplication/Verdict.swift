/// What the comparison of a statement with those inserted before it gave.
public struct Verdict: Sendable, Hashable, Codable {
    /// The order of the judged statement itself.
    public let order: String
    /// The name of its normalised text, ``Fingerprint/exact``; statements with the same one have the same original.
    ///
    /// A statement without it stands alone, under its id.
    public let text: String?
    /// The earliest of the statements compared that is earlier and says the same; nil when there is none so far.
    public let duplicateOf: String?
    /// The order of that statement, by which a store finds the earliest one of several verdicts.
    public let duplicateOfOrder: String?
    /// The names of other texts that say the same and whose statements are later: all of them turn out to be duplicates.
    public let supersedes: [String]
    /// The similarity to the statement `duplicateOf` names, or else the greatest one to a superseded text; from 0 to 1,
    /// and 0 without either.
    public let similarity: Double

    private enum CodingKeys: String, CodingKey {
        case order, text
        case duplicateOf = "duplicate_of"
        case duplicateOfOrder = "duplicate_of_order"
        case supersedes, similarity
    }

    /// Creates a verdict.
    ///
    /// - Parameters:
    ///   - order: The order of the judged statement.
    ///   - text: The name of its normalised text.
    ///   - original: The id and the order of the earliest statement it is a duplicate of.
    ///   - supersedes: The names of the texts that turn out to be duplicates of it.
    ///   - similarity: How much it has in common with them, from 0 to 1.
    public init(
        order: String,
        text: String? = nil,
        original: (id: String, order: String)? = nil,
        supersedes: [String] = [],
        similarity: Double = 0
    ) {
        self.order = order
        self.text = text
        self.duplicateOf = original?.id
        self.duplicateOfOrder = original?.order
        self.supersedes = supersedes
        self.similarity = similarity
    }
}
