/// How sources are read over the network, and where that ends.
public struct FetchConfiguration: Sendable, Hashable {
    /// The largest answer that is read, in bytes after decompression; 16 MiB by default.
    public var maxBytes: Int
    /// How long one attempt may take, from the name of the host to the last byte and over all redirects; 30 s by default.
    public var timeout: Duration
    /// How many redirects are followed; 5 by default.
    public var maxRedirects: Int
    /// Whether a redirect may lead from https to http; not by default.
    public var allowsDowngrade: Bool
    /// How many sources are read at the same time; 8 by default.
    public var maxConcurrent: Int
    /// The fraction by which intervals vary at random, up and down, so that sources do not fall into step; 0.1 by default.
    public var jitter: Double
    /// How long to wait after failures: an exponential wait from 30 s to an hour by default.
    public var backoff: RetryBackoff
    /// The longest time that a `Retry-After` is obeyed; a day by default.
    public var maxRetryAfter: Duration
    /// How the collector calls itself to servers.
    public var userAgent: String

    /// An exponential wait.
    public struct RetryBackoff: Sendable, Hashable {
        /// The wait after the first failure.
        public var base: Duration
        /// The longest wait.
        public var cap: Duration

        /// Creates a wait.
        ///
        /// - Parameters:
        ///   - base: The wait after the first failure, doubled with each further one.
        ///   - cap: The longest wait.
        public init(base: Duration = .seconds(30), cap: Duration = .seconds(3600)) {
            self.base = base
            self.cap = cap
        }
    }

    /// Creates a configuration.
    ///
    /// - Parameters:
    ///   - maxBytes: The largest answer that is read, in bytes after decompression; 16 MiB by default.
    ///   - timeout: How long one attempt may take in all; 30 s by default.
    ///   - maxRedirects: How many redirects are followed; 5 by default.
    ///   - allowsDowngrade: Whether a redirect may lead from https to http; not by default.
    ///   - maxConcurrent: How many sources are read at the same time; 8 by default.
    ///   - jitter: The fraction by which intervals vary at random, from 0 to 0.5; 0.1 by default.
    ///   - backoff: How long to wait after failures; 30 s, doubled up to an hour, by default.
    ///   - maxRetryAfter: The longest time that a `Retry-After` is obeyed; a day by default.
    ///   - userAgent: How the collector calls itself to servers.
    public init(
        maxBytes: Int = 16 << 20,
        timeout: Duration = .seconds(30),
        maxRedirects: Int = 5,
        allowsDowngrade: Bool = false,
        maxConcurrent: Int = 8,
        jitter: Double = 0.1,
        backoff: RetryBackoff = RetryBackoff(),
        maxRetryAfter: Duration = .seconds(86_400),
        userAgent: String = "swift-message-queue"
    ) {
        self.maxBytes = max(1, maxBytes)
        self.timeout = max(.milliseconds(1), timeout)
        self.maxRedirects = max(0, maxRedirects)
        self.allowsDowngrade = allowsDowngrade
        self.maxConcurrent = max(1, maxConcurrent)
        self.jitter = min(max(jitter, 0), 0.5)
        self.backoff = backoff
        self.maxRetryAfter = max(.zero, maxRetryAfter)
        self.userAgent = userAgent
    }
}
