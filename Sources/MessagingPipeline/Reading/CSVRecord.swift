/// One record of a CSV input.
public struct CSVRecord: Sendable, Hashable {
    /// The number of the record in the input, from 1.
    public let number: Int
    /// The number of the line on which the record starts, from 1.
    public let line: Int
    /// The fields, without the quotes around them.
    public let fields: [String]
}
