/// A case that cannot be checked in this environment, which is neither a pass nor a failure.
public struct NotPossible: Error, Sendable, CustomStringConvertible {
    /// What is missing here.
    public let reason: String

    /// Creates the error.
    ///
    /// - Parameter reason: What is missing here.
    public init(_ reason: String) { self.reason = reason }

    /// The reason.
    public var description: String { reason }
}
