/// An analysed statement and the verdict on it; in JSON an object with `statement`, `analysis` and `verdict`.
public struct JudgedStatement: Sendable, Hashable, Codable {
    /// The statement and what was found out about it.
    public let analysed: AnalysedStatement
    /// Whether it is a duplicate and what it supersedes.
    public let verdict: Verdict

    private enum CodingKeys: String, CodingKey {
        case verdict
    }

    /// Creates a judged statement.
    ///
    /// - Parameters:
    ///   - analysed: The statement and what was found out about it.
    ///   - verdict: The verdict on it.
    public init(analysed: AnalysedStatement, verdict: Verdict) {
        self.analysed = analysed
        self.verdict = verdict
    }

    /// Reads a judged statement from its JSON form.
    ///
    /// - Parameter decoder: The decoder to read from.
    /// - Throws: `DecodingError` when a member is missing or of the wrong type.
    public init(from decoder: any Decoder) throws {
        analysed = try AnalysedStatement(from: decoder)
        verdict = try decoder.container(keyedBy: CodingKeys.self).decode(Verdict.self, forKey: .verdict)
    }

    /// Writes the judged statement in its JSON form.
    ///
    /// - Parameter encoder: The encoder to write to.
    /// - Throws: What the encoder throws.
    public func encode(to encoder: any Encoder) throws {
        try analysed.encode(to: encoder)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(verdict, forKey: .verdict)
    }
}
