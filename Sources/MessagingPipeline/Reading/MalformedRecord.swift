/// A piece of the input that was skipped because it could not be understood, and where it was.
public struct MalformedRecord: Error, Sendable, Hashable, Codable, CustomStringConvertible {
    /// The name of the input, when it has one.
    public let source: String?
    /// The number of the record in the input, from 1; the header of a CSV file counts as a record.
    public let record: Int
    /// The number of the line on which the record starts, from 1.
    public let line: Int
    /// What is wrong, in a few words.
    public let reason: String

    /// Creates the description of a malformed record.
    ///
    /// - Parameters:
    ///   - source: The name of the input.
    ///   - record: The number of the record, from 1.
    ///   - line: The number of the line on which the record starts, from 1.
    ///   - reason: What is wrong.
    public init(source: String?, record: Int, line: Int, reason: String) {
        self.source = source
        self.record = record
        self.line = line
        self.reason = reason
    }

    /// One line for a log, such as `statements.csv:12: record 9: unterminated quoted field`.
    public var description: String {
        "\(source ?? "input"):\(line): record \(record): \(reason)"
    }
}
