import Messaging

/// Publishes what a layer makes to the next layer's queue, before the layer acknowledges what it was made from.
struct Downstream: Sendable {
    let queue: any MessageQueue
    let layer: Layer
    let clock: QueueClock
    /// How long a broker may be away before the handler gives up and the retry policy takes over.
    var patience: Duration = .seconds(300)

    /// Publishes one value under an id that follows from the upstream message.
    ///
    /// - Throws: `QueueError` when it was refused, `CancellationError`.
    func publish(_ value: some Encodable, after delivery: Delivery) async throws {
        guard let name = layer.next?.queue else { return }
        let message = Message(
            body: try PipelineJSON.encode(value),
            id: layer.derivedID(from: delivery.message.id),
            headers: Self.carried(delivery.message.headers),
            contentType: "application/json"
        )
        let deadline = clock.now() + patience
        var failures = 0
        while true {
            let failure: QueueError
            do throws(QueueError) {
                try await queue.publish(message, to: name)
                return
            } catch {
                failure = error
            }
            // The id was published before: by an earlier attempt at this very message.
            if failure.code == .idConflict { return }
            // A broker that is away is not the message's fault: waiting here costs no attempt, and holds back the rest.
            guard failure.isRetryable, clock.now() < deadline else { throw failure }
            failures += 1
            let backoff = RetryPolicy(
                maxAttempts: 1,
                backoff: .exponential(base: .milliseconds(50), cap: .seconds(2), jitter: 0.5)
            )
            try await clock.sleep(for: backoff.delay(beforeRetry: failures, random: .random(in: 0...1)))
        }
    }

    /// The trace context goes on with the statement.
    private static func carried(_ headers: MessageHeaders) -> MessageHeaders {
        MessageHeaders(headers.filter { ["traceparent", "tracestate", "baggage"].contains($0.name) })
    }
}
