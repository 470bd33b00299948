/// How a worker runs its handler.
public struct WorkerConfiguration: Sendable {
    /// The largest number of deliveries that are leased and handled at the same time.
    public var concurrency: Int
    /// How often and when a failed message is tried again.
    public var retryPolicy: RetryPolicy
    /// How long handlers may go on after shutdown has begun; then they are cancelled and their messages released.
    public var drainDeadline: Duration
    /// How long one `receive` waits before it asks again.
    public var receiveWait: Duration
    /// The longest pause between attempts to reach a broker that is unavailable.
    public var maxReconnectPause: Duration
    /// Whether a delivery must be settled.
    public var mode: ConsumerOptions.Mode

    /// Creates a configuration.
    ///
    /// - Parameters:
    ///   - concurrency: The largest number of deliveries handled at the same time, 1 to 1000; 16 by default.
    ///   - retryPolicy: How often and when a failed message is tried again.
    ///   - drainDeadline: How long handlers may go on after shutdown has begun; 25 s by default.
    ///   - receiveWait: How long one `receive` waits; 60 s by default.
    ///   - maxReconnectPause: The longest pause between attempts to reach the broker; 5 s by default.
    ///   - mode: Whether a delivery must be settled; at least once by default.
    public init(
        concurrency: Int = 16,
        retryPolicy: RetryPolicy = .default,
        drainDeadline: Duration = .seconds(25),
        receiveWait: Duration = .seconds(60),
        maxReconnectPause: Duration = .seconds(5),
        mode: ConsumerOptions.Mode = .atLeastOnce
    ) {
        self.concurrency = min(max(concurrency, 1), 1000)
        self.retryPolicy = retryPolicy
        self.drainDeadline = drainDeadline
        self.receiveWait = receiveWait
        self.maxReconnectPause = maxReconnectPause
        self.mode = mode
    }
}
