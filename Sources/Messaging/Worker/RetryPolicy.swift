/// How often and when a message whose handler failed is tried again.
public struct RetryPolicy: Sendable, Hashable {
    /// How long to wait before each retry.
    public enum Backoff: Sendable, Hashable {
        /// The same time before each retry.
        case fixed(Duration)
        /// `base × 2^(retry − 1)`, at most `cap`. With jitter a random part of up to this fraction (0…1) is taken off,
        /// so that messages that failed together do not come back together.
        case exponential(base: Duration, cap: Duration, jitter: Double)
    }

    /// How often a message is tried, the first time included.
    public var maxAttempts: Int
    /// How long to wait before each retry.
    public var backoff: Backoff

    /// Creates a policy.
    ///
    /// - Parameters:
    ///   - maxAttempts: How often a message is tried, the first time included; at least 1.
    ///   - backoff: How long to wait before each retry.
    public init(maxAttempts: Int, backoff: Backoff) {
        self.maxAttempts = max(1, maxAttempts)
        self.backoff = backoff
    }

    /// Three retries, `min(2^n, 60)` seconds before the n-th: 2 s, 4 s, 8 s.
    public static let `default` = RetryPolicy(
        maxAttempts: 4,
        backoff: .exponential(base: .seconds(2), cap: .seconds(60), jitter: 0)
    )

    /// A failure is final.
    public static let never = RetryPolicy(maxAttempts: 1, backoff: .fixed(.zero))

    /// Returns the wait before a retry.
    ///
    /// - Parameters:
    ///   - retry: Which retry, from 1.
    ///   - random: A number from 0 to 1 that decides the jitter.
    /// - Returns: The wait; never negative.
    public func delay(beforeRetry retry: Int, random: Double = 0) -> Duration {
        switch backoff {
        case .fixed(let delay): return max(delay, .zero)
        case .exponential(let base, let cap, let jitter):
            var delay = max(base, .zero)
            // Doubling stops at the cap, so no retry number can overflow.
            var step = 1
            while step < retry, cap > delay, delay > .zero {
                delay += delay
                step += 1
            }
            delay = min(delay, max(cap, .zero))
            return delay * (1 - min(max(jitter, 0), 1) * min(max(random, 0), 1))
        }
    }

    /// Decides how a delivery ends whose handler failed.
    ///
    /// - Parameters:
    ///   - error: The handler's error; one that is ``RetryAdvising`` decides itself.
    ///   - attempt: Which attempt failed, from 1.
    ///   - random: A number from 0 to 1 that decides the jitter.
    /// - Returns: A retry or a rejection.
    public func settlement(after error: any Error, attempt: Int, random: Double = 0) -> Settlement {
        let text = Failure.shortened(Self.describe(error))
        switch (error as? any RetryAdvising)?.retryAdvice ?? .byPolicy {
        case .never(let reason): return .reject(reason: reason, error: text)
        case .after(let delay):
            return attempt >= maxAttempts
                ? .reject(reason: .attemptsExhausted, error: text) : .retry(after: max(delay, .zero), error: text)
        case .byPolicy:
            return attempt >= maxAttempts
                ? .reject(reason: .attemptsExhausted, error: text)
                : .retry(after: delay(beforeRetry: attempt, random: random), error: text)
        }
    }

    /// The text that history and dead letters show for an error.
    private static func describe(_ error: any Error) -> String {
        if error is CancellationError { return "the handler was cancelled" }
        return String(describing: error)
    }
}

/// What an error says about trying its message again.
public enum RetryAdvice: Sendable, Hashable {
    /// The policy decides.
    case byPolicy
    /// Trying again cannot help; the message goes to the dead letters with this reason.
    case never(DeadLetterReason)
    /// Try again after this time, as long as the policy allows another attempt.
    case after(Duration)
}

/// An error of a handler that knows whether trying again can help.
public protocol RetryAdvising: Error {
    /// What the worker should do with the message.
    var retryAdvice: RetryAdvice { get }
}

/// Thrown by a handler to say that trying again cannot help.
public struct RejectMessage: RetryAdvising, CustomStringConvertible {
    /// The reason for the dead letters.
    public let reason: DeadLetterReason
    /// What went wrong.
    public let description: String

    /// Creates the error.
    ///
    /// - Parameters:
    ///   - description: What went wrong.
    ///   - reason: The reason for the dead letters; `rejected` by default.
    public init(_ description: String, reason: DeadLetterReason = .rejected) {
        self.description = description
        self.reason = reason
    }

    /// Never.
    public var retryAdvice: RetryAdvice { .never(reason) }
}

/// Thrown by a handler to be tried again after a time of its choice.
public struct RetryLater: RetryAdvising, CustomStringConvertible {
    /// How long to wait.
    public let delay: Duration
    /// What went wrong.
    public let description: String

    /// Creates the error.
    ///
    /// - Parameters:
    ///   - delay: How long to wait.
    ///   - description: What went wrong.
    public init(after delay: Duration, _ description: String) {
        self.delay = delay
        self.description = description
    }

    /// After the delay.
    public var retryAdvice: RetryAdvice { .after(delay) }
}
