import Messaging

/// A queue that is broken on purpose, in one way: what proves that a case can fail.
///
/// It is a decorator around a queue that keeps the contract, so it runs on any backend; the tests of this package run each
/// on the memory queue, and each case that it names must fail there.
public struct Mutant: Sendable, CustomStringConvertible {
    /// The stable id, such as `renew-does-nothing`.
    public let id: String
    /// What it breaks, in one line.
    public let law: String
    /// The ids of the cases that must fail on it; others may fail as well.
    public let killedBy: [String]
    private let change: @Sendable (inout MutantQueue) -> Void

    /// Creates a mutant.
    ///
    /// - Parameters:
    ///   - id: The id, in lower case with hyphens.
    ///   - law: What it breaks.
    ///   - killedBy: The ids of the cases that must fail.
    ///   - change: Sets what differs from the queue inside; called once for each client, whose own state it may make.
    init(
        _ id: String,
        _ law: String,
        killedBy: [String],
        _ change: @escaping @Sendable (inout MutantQueue) -> Void
    ) {
        self.id = id
        self.law = law
        self.killedBy = killedBy
        self.change = change
    }

    /// The id.
    public var description: String { id }

    /// Breaks a client of a broker.
    ///
    /// - Parameter base: A client that keeps the contract.
    /// - Returns: The broken client around it.
    public func wrap(_ base: any MessageQueue) -> any MessageQueue {
        var queue = MutantQueue(base: base)
        change(&queue)
        return queue
    }

    /// Breaks a backend under test: every client that its harness makes.
    ///
    /// - Parameter harness: The harness of a backend that keeps the contract.
    /// - Returns: The harness of the broken backend.
    public func wrap(_ harness: any ConformanceHarness) -> any ConformanceHarness {
        MutantHarness(mutant: self, base: harness)
    }
}

/// A harness whose clients are all broken in the same way.
private struct MutantHarness: ConformanceHarness {
    let mutant: Mutant
    let base: any ConformanceHarness

    var timeUnit: Duration { base.timeUnit }
    var tolerance: Duration { base.tolerance }
    var now: Duration { base.now }

    func makeQueue() async throws -> any MessageQueue { mutant.wrap(try await base.makeQueue()) }
    func uniqueName(_ prefix: String) -> String { base.uniqueName(prefix) }
    func advance(by duration: Duration) async throws { try await base.advance(by: duration) }
    var faults: (any FaultControl)? { base.faults.map { MutantFaults(mutant: mutant, base: $0) } }

    func injectForeign(body: [UInt8], into queue: String) async throws -> Bool {
        try await base.injectForeign(body: body, into: queue)
    }
}
