/// A statement as the store of the API holds it.
public struct StoredStatement: Sendable, Hashable, Codable {
    /// The statement.
    public let statement: Statement
    /// What was found out about it.
    public let analysis: Analysis
    /// The id of the earliest statement that says the same; nil for a unique one.
    ///
    /// That one may itself be a duplicate of a third one which is not similar enough to this one.
    public let duplicateOf: String?
    /// The ids of the stored statements whose ``duplicateOf`` is this one, sorted.
    public let duplicates: [String]

    private enum CodingKeys: String, CodingKey {
        case statement, analysis
        case duplicateOf = "duplicate_of"
        case duplicates
    }

    /// Creates a stored statement.
    ///
    /// - Parameters:
    ///   - analysed: The statement and what was found out about it.
    ///   - duplicateOf: The id of the statement it is a duplicate of.
    ///   - duplicates: The ids of its own duplicates, in any order.
    public init(_ analysed: AnalysedStatement, duplicateOf: String? = nil, duplicates: [String] = []) {
        statement = analysed.statement
        analysis = analysed.analysis
        self.duplicateOf = duplicateOf
        self.duplicates = duplicates.sorted()
    }
}
