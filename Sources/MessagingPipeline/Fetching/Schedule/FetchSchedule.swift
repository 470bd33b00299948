import Messaging

/// Decides when a source is read again.
struct FetchSchedule: Sendable {
    let configuration: FetchConfiguration

    /// Decides about the next attempt after a successful one.
    ///
    /// - Parameters:
    ///   - every: The interval of the source.
    ///   - random: A number from 0 to 1 that decides the jitter.
    /// - Returns: The time from the beginning of the one to that of the next; nil when there is none.
    func delay(every: Duration?, random: Double) -> Duration? {
        every.map { $0 * (1 + configuration.jitter * (2 * min(max(random, 0), 1) - 1)) }
    }

    /// Decides about the next attempt after a failed one.
    ///
    /// - Parameters:
    ///   - failures: How many attempts have failed in a row, from 1.
    ///   - retryAfter: How long the server wants to be left alone.
    ///   - random: A number from 0 to 1 that decides the jitter.
    /// - Returns: The time from the end of the one to the beginning of the next.
    func delay(failures: Int, retryAfter: Duration?, random: Double) -> Duration {
        let policy = RetryPolicy(
            maxAttempts: 1,
            backoff: .exponential(base: configuration.backoff.base, cap: configuration.backoff.cap, jitter: 0.5)
        )
        let delay = policy.delay(beforeRetry: max(1, failures), random: random)
        guard let retryAfter else { return delay }
        return max(delay, min(max(retryAfter, .zero), configuration.maxRetryAfter))
    }
}
