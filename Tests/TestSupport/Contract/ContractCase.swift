import Messaging

/// One law of the contract with the check that every backend must pass, in no test framework's terms.
public struct ContractCase: Sendable, CustomStringConvertible {
    /// The stable id, such as `lease.fence`.
    public let id: String
    /// The law in one line.
    public let law: String
    /// What a backend must be able to do for the law to apply.
    public let requires: [Capabilities.Feature]
    /// The check; it throws ``ContractFailure`` when the law is broken.
    public let run: @Sendable (any ContractHarness) async throws -> Void

    /// The id.
    public var description: String { id }

    init(
        _ id: String,
        _ law: String,
        requires: [Capabilities.Feature] = [],
        run: @escaping @Sendable (any ContractHarness) async throws -> Void
    ) {
        self.id = id
        self.law = law
        self.requires = requires
        self.run = run
    }

    /// Every case.
    public static let all: [ContractCase] =
        fidelity + publishing + settlement + leases + retries + deadLetters + ordering + groups + lifecycle + figures
}

/// A law that was broken.
public struct ContractFailure: Error, CustomStringConvertible {
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
    if !condition { throw ContractFailure(message()) }
}

/// Fails the case unless two values are equal.
func expectEqual<Value: Equatable>(_ value: Value, _ expected: Value, _ what: String) throws {
    if value != expected { throw ContractFailure("\(what) is \(value), expected \(expected)") }
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
    throw ContractFailure("\(what) did not throw; expected \(code)")
}
