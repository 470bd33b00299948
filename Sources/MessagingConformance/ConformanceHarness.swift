import Messaging

/// What the cases need from a backend under test.
public protocol ConformanceHarness: Sendable {
    /// Returns a further client of the same broker.
    func makeQueue() async throws -> any MessageQueue

    /// Returns a name that nothing else on the broker has.
    func uniqueName(_ prefix: String) -> String

    /// The unit of leases and delays: one second on a manual clock, a few hundred milliseconds on a live broker.
    var timeUnit: Duration { get }

    /// How much later than planned something may come.
    var tolerance: Duration { get }

    /// The time by which delays are judged.
    var now: Duration { get }

    /// Lets time pass: moves a manual clock or sleeps.
    func advance(by duration: Duration) async throws

    /// Writes a record with a client that knows nothing of this library.
    ///
    /// - Parameters:
    ///   - body: The body, any bytes.
    ///   - queue: A declared queue.
    /// - Returns: Whether there is such a client; without one, what needs it is not possible here.
    /// - Throws: What kept that client from writing.
    func injectForeign(body: [UInt8], into queue: String) async throws -> Bool

    /// What can be broken, for the cases of the fault tier; `nil` when nothing can.
    var faults: (any FaultControl)? { get }
}

extension ConformanceHarness {
    /// The time of the machine's clock, for live brokers.
    public var now: Duration { QueueClock.system.now() }

    /// Lets time pass on the machine's clock, for live brokers.
    ///
    /// - Parameter duration: How long.
    /// - Throws: `CancellationError` when the task is cancelled.
    public func advance(by duration: Duration) async throws { try await Task.sleep(for: duration) }

    /// No such client, by default.
    ///
    /// - Parameters:
    ///   - body: The body, any bytes.
    ///   - queue: A declared queue.
    /// - Returns: `false`.
    /// - Throws: Never.
    public func injectForeign(body: [UInt8], into queue: String) async throws -> Bool { false }

    /// Nothing can be broken, by default.
    public var faults: (any FaultControl)? { nil }
}
