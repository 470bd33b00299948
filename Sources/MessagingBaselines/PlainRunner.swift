import Dispatch
import Messaging

/// Runs a plain client on a thread of its own and times it there, so that no switch of threads is measured.
public actor PlainRunner {
    private nonisolated let executor = BlockingExecutor()
    private let library: PlainLibrary
    private let settings: PlainSettings
    private var client: (any PlainClient)?
    private var isClosed = false

    /// Where the client runs.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// Creates a runner; the first call connects.
    ///
    /// - Parameters:
    ///   - library: What to connect with.
    ///   - settings: What to work with.
    public init(_ library: PlainLibrary, _ settings: PlainSettings) {
        self.library = library
        self.settings = settings
    }

    /// Publishes so many messages and waits until all are confirmed.
    ///
    /// - Parameter count: How many.
    /// - Returns: The time that it took, without connecting.
    /// - Throws: `QueueError` as the client.
    public func publish(_ count: Int) throws -> Duration {
        let client = try open()
        return try ContinuousClock().measure { try client.publish(count) }
    }

    /// Consumes and acknowledges so many messages.
    ///
    /// - Parameter count: How many.
    /// - Returns: The time that it took, without connecting.
    /// - Throws: `QueueError` as the client.
    public func consume(_ count: Int) throws -> Duration {
        let client = try open()
        return try ContinuousClock().measure { try client.consume(count) }
    }

    /// Deletes what the client has made, and closes it; closing twice is fine.
    public func close() {
        isClosed = true
        client?.close()
        client = nil
    }

    private func open() throws -> any PlainClient {
        if let client { return client }
        guard !isClosed else { throw QueueError(.closed, "the plain \(library.name) client has been closed") }
        let client = try library.connect(settings)
        self.client = client
        return client
    }
}

/// One thread at a time for work that blocks, away from the threads that tasks share.
private final class BlockingExecutor: SerialExecutor {
    private let queue = DispatchQueue(label: "mq.plain-client")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
}
