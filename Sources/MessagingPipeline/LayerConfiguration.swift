import Messaging

/// How one layer runs, where it differs from the other layers; `nil` is as the others.
public struct LayerConfiguration: Sendable {
    /// How many workers the layer has in this process.
    public var workers: Int?
    /// How many statements each worker handles at the same time.
    public var concurrency: Int?
    /// How often and when a failed statement is tried again.
    public var retryPolicy: RetryPolicy?
    /// How long a delivery belongs to its worker; the same in every process.
    public var lease: Duration?

    /// Creates a configuration.
    ///
    /// - Parameters:
    ///   - workers: How many workers the layer has in this process.
    ///   - concurrency: How many statements each worker handles at the same time.
    ///   - retryPolicy: How often and when a failed statement is tried again.
    ///   - lease: How long a delivery belongs to its worker.
    public init(
        workers: Int? = nil,
        concurrency: Int? = nil,
        retryPolicy: RetryPolicy? = nil,
        lease: Duration? = nil
    ) {
        self.workers = workers
        self.concurrency = concurrency
        self.retryPolicy = retryPolicy
        self.lease = lease
    }
}
