/// What became of one record of an input.
public enum ReadResult: Sendable, Hashable {
    /// A statement was read.
    case statement(Statement)
    /// The record was skipped.
    case malformed(MalformedRecord)
}
