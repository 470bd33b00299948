import Messaging

/// A law that was broken.
public struct ConformanceFailure: Error, Sendable, CustomStringConvertible {
    /// What was expected and what came instead.
    public let message: String

    /// Creates a failure.
    ///
    /// - Parameter message: What was expected and what came instead.
    public init(_ message: String) { self.message = message }

    /// The message.
    public var description: String { message }
}

/// Fails the case unless a condition holds.
func expect(_ condition: Bool, _ message: @autoclosure () -> String) throws {
    if !condition { throw ConformanceFailure(message()) }
}

/// Fails the case unless two values are equal.
func expectEqual<Value: Equatable>(_ value: Value, _ expected: Value, _ what: String) throws {
    if value != expected { throw ConformanceFailure("\(what) is \(value), expected \(expected)") }
}

/// Fails the case unless a call throws an error of a code.
func expectError<Result>(
    _ code: QueueError.Code,
    _ what: String,
    _ body: () async throws -> Result
) async throws {
    do {
        _ = try await body()
    } catch let error as QueueError {
        return try expectEqual(error.code, code, "the error of \(what)")
    }
    throw ConformanceFailure("\(what) did not throw; expected \(code)")
}
