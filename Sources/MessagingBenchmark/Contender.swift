/// Who is measured: this library on a backend, or a client library alone.
public protocol Contender: Sendable {
    /// What it is called beside its figures.
    var name: String { get }

    /// Publishes so many messages and waits until all are confirmed.
    ///
    /// - Parameter count: How many.
    /// - Returns: The time that it took.
    /// - Throws: When a message is not confirmed, or the task is cancelled.
    func publish(_ count: Int) async throws -> Duration

    /// Consumes and acknowledges messages.
    ///
    /// - Parameter count: How many; several consumers may end up with a few more.
    /// - Returns: How many it were, and the time that it took.
    /// - Throws: When messages are missing, or the task is cancelled.
    func consume(_ count: Int) async throws -> Taken

    /// Gives up what it holds, and closes it.
    func close() async
}

/// What was consumed and acknowledged, and in which time.
public struct Taken: Sendable, Hashable {
    /// How many messages.
    public var count: Int
    /// The time that it took.
    public var time: Duration

    /// Creates a result.
    ///
    /// - Parameters:
    ///   - count: How many messages.
    ///   - time: The time that it took.
    public init(count: Int, time: Duration) {
        self.count = count
        self.time = time
    }

    var rate: Double { time > .zero ? Double(count) / (time / .seconds(1)) : 0 }
}
