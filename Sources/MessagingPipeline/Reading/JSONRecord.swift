/// One JSON value of an input that holds many, not looked into yet.
public struct JSONRecord: Sendable, Hashable {
    /// The number of the value in the input, from 1.
    public let number: Int
    /// The number of the line on which the value starts, from 1.
    public let line: Int
    /// The bytes of the value.
    public let bytes: [UInt8]
}
