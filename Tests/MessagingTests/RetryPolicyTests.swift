import Messaging
import TestSupport
import Testing

@Suite("The retry policy")
struct RetryPolicyTests {
    private struct Advice: RetryAdvising, CustomStringConvertible {
        let retryAdvice: RetryAdvice
        let description = "advice"
    }

    @Test("the default tries again after 2, 4 and 8 seconds, then gives up")
    func standard() {
        let settlements = (1...5).map { RetryPolicy.default.settlement(after: HandlerFailed("no"), attempt: $0) }
        #expect(
            settlements == [
                .retry(after: .seconds(2), error: "no"), .retry(after: .seconds(4), error: "no"),
                .retry(after: .seconds(8), error: "no"), .reject(reason: .attemptsExhausted, error: "no"),
                .reject(reason: .attemptsExhausted, error: "no"),
            ]
        )
    }

    @Test("an exponential delay doubles up to its cap, and no retry number overflows it")
    func exponential() {
        let policy = RetryPolicy(
            maxAttempts: 2000,
            backoff: .exponential(base: .seconds(2), cap: .seconds(60), jitter: 0)
        )
        #expect((1...8).map { policy.delay(beforeRetry: $0) } == [2, 4, 8, 16, 32, 60, 60, 60].map { .seconds($0) })
        #expect(policy.delay(beforeRetry: 1000) == .seconds(60))
        #expect(policy.delay(beforeRetry: .max) == .seconds(60))
        #expect(policy.delay(beforeRetry: 0) == .seconds(2))
        #expect(policy.delay(beforeRetry: -5) == .seconds(2))
        let odd = RetryPolicy(maxAttempts: 2, backoff: .exponential(base: .zero, cap: .seconds(60), jitter: 0))
        #expect(odd.delay(beforeRetry: 1000) == .zero)
        let capped = RetryPolicy(maxAttempts: 2, backoff: .exponential(base: .seconds(9), cap: .seconds(5), jitter: 0))
        #expect(capped.delay(beforeRetry: 1) == .seconds(5))
        let negative = RetryPolicy(
            maxAttempts: 2,
            backoff: .exponential(base: .seconds(-9), cap: .seconds(-5), jitter: 0)
        )
        #expect(negative.delay(beforeRetry: 3) == .zero)
    }

    @Test("jitter only shortens, by no more than its part", arguments: [0.1, 0.5, 1])
    func jitter(_ part: Double) {
        var generator = SeededGenerator(seed: 3)
        let policy = RetryPolicy(
            maxAttempts: 9,
            backoff: .exponential(base: .seconds(1), cap: .seconds(60), jitter: part)
        )
        for retry in 1...10 {
            let full = min(Double(1 << (retry - 1)), 60)
            for _ in 0..<100 {
                let delay = policy.delay(beforeRetry: retry, random: .random(in: 0...1, using: &generator)).inSeconds
                #expect(delay <= full)
                #expect(delay >= full * (1 - part) - 1e-9)
            }
            #expect(policy.delay(beforeRetry: retry, random: 0).inSeconds == full)
        }
        // What is out of range counts as the nearest that is not.
        #expect(policy.delay(beforeRetry: 1, random: -3) == .seconds(1))
        #expect(policy.delay(beforeRetry: 1, random: 7) == policy.delay(beforeRetry: 1, random: 1))
    }

    @Test("a fixed delay is the same every time and never negative")
    func fixed() {
        let policy = RetryPolicy(maxAttempts: 3, backoff: .fixed(.seconds(7)))
        #expect(
            [1, 2, 1000].map { policy.delay(beforeRetry: $0, random: 1) } == Array(repeating: .seconds(7), count: 3)
        )
        #expect(RetryPolicy(maxAttempts: 3, backoff: .fixed(.seconds(-7))).delay(beforeRetry: 1) == .zero)
    }

    @Test("errors can advise: never, after a delay, by policy")
    func advice() {
        let policy = RetryPolicy.default
        let reason = DeadLetterReason(rawValue: "no-such-customer")
        #expect(
            policy.settlement(after: Advice(retryAdvice: .never(reason)), attempt: 1)
                == .reject(reason: reason, error: "advice")
        )
        #expect(
            policy.settlement(after: Advice(retryAdvice: .after(.seconds(33))), attempt: 3)
                == .retry(after: .seconds(33), error: "advice")
        )
        #expect(
            policy.settlement(after: Advice(retryAdvice: .after(.seconds(-1))), attempt: 1)
                == .retry(after: .zero, error: "advice")
        )
        #expect(
            policy.settlement(after: Advice(retryAdvice: .after(.seconds(33))), attempt: 4)
                == .reject(reason: .attemptsExhausted, error: "advice")
        )
        #expect(
            policy.settlement(after: Advice(retryAdvice: .byPolicy), attempt: 2)
                == .retry(after: .seconds(4), error: "advice")
        )
        #expect(policy.settlement(after: RejectMessage("bad"), attempt: 1) == .reject(reason: .rejected, error: "bad"))
        #expect(
            policy.settlement(after: RetryLater(after: .seconds(5), "busy"), attempt: 1)
                == .retry(after: .seconds(5), error: "busy")
        )
        #expect(
            RetryPolicy.never.settlement(after: HandlerFailed("no"), attempt: 1)
                == .reject(reason: .attemptsExhausted, error: "no")
        )
        #expect(RetryPolicy(maxAttempts: -3, backoff: .fixed(.zero)).maxAttempts == 1)
    }

    @Test("the text of an error is cut to 1,000 characters, and a cancellation is named")
    func text() throws {
        let policy = RetryPolicy.never
        func text(_ error: any Error) -> String? {
            if case .reject(_, let text) = policy.settlement(after: error, attempt: 1) { text } else { nil }
        }
        #expect(text(HandlerFailed(String(repeating: "é", count: 1000))) == String(repeating: "é", count: 1000))
        let long = try #require(text(HandlerFailed(String(repeating: "é", count: 1001))))
        #expect(long == String(repeating: "é", count: 999) + "…")
        #expect(text(CancellationError()) == "the handler was cancelled")
    }
}
