/// How many statements a store holds.
public struct StatementCounts: Sendable, Hashable, Codable {
    /// The number of statements that are not duplicates.
    public let unique: Int
    /// The number of duplicates.
    public let duplicates: Int

    /// Creates the counts.
    ///
    /// - Parameters:
    ///   - unique: The number of statements that are not duplicates.
    ///   - duplicates: The number of duplicates.
    public init(unique: Int, duplicates: Int) {
        self.unique = unique
        self.duplicates = duplicates
    }
}
