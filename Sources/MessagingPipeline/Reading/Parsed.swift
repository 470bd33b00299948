/// What a parser made of one record of its input.
public enum Parsed<Record: Sendable & Hashable>: Sendable, Hashable {
    /// The record was understood.
    case record(Record)
    /// The record was skipped.
    case malformed(MalformedRecord)
}
