/// A statement and what was found out about it.
public struct AnalysedStatement: Sendable, Hashable, Codable {
    /// The statement.
    public let statement: Statement
    /// What was found out about it.
    public let analysis: Analysis

    /// Creates an analysed statement.
    ///
    /// - Parameters:
    ///   - statement: The statement.
    ///   - analysis: What was found out about it.
    public init(statement: Statement, analysis: Analysis) {
        self.statement = statement
        self.analysis = analysis
    }
}
