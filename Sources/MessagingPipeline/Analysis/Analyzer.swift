/// Finds out what a statement is about.
///
/// The default is ``LexiconAnalyzer``; another one may call a model or a service.
public protocol Analyzer: Sendable {
    /// Analyses one statement.
    ///
    /// - Parameter statement: The statement.
    /// - Returns: What was found; the same every time for the same statement, for statements may be analysed again.
    /// - Throws: Whatever keeps the analyser from an answer. The statement is then tried again later.
    func analyse(_ statement: Statement) async throws -> Analysis
}
