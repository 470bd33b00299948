import Instrumentation
import Metrics
import ServiceContextModule
import Tracing

/// Any queue with metrics and trace context: counts what is sent and received, times the operations, and puts the
/// current trace context into the headers of what is published.
///
/// Written once, so that all backends report alike.
public struct InstrumentedQueue: QueueDecorator {
    /// The queue inside.
    public let base: any MessageQueue
    private let instruments: QueueInstruments

    /// Wraps a queue.
    ///
    /// - Parameter base: The backend.
    public init(_ base: any MessageQueue) {
        self.base = base
        self.instruments = QueueInstruments(system: base.system)
    }

    /// Publishes messages inside a producer span whose context travels in their headers.
    ///
    /// - Parameters:
    ///   - messages: The messages.
    ///   - queue: A declared queue.
    /// - Returns: One outcome per message.
    /// - Throws: As the backend.
    public func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        let (base, instruments) = (base, instruments)
        return try await instruments.measure("send", queue) { () async throws(QueueError) in
            let span = startSpan("send \(queue)", ofKind: .producer)
            defer { span.end() }
            span.attributes[MetricNames.system] = base.system
            span.attributes[MetricNames.destination] = queue
            span.attributes[MetricNames.operation] = "send"
            span.attributes["messaging.batch.message_count"] = messages.count
            // The context travels with every message, so that a consumer in another process can link to it.
            var carried: MessageHeaders = [:]
            InstrumentationSystem.instrument.inject(span.context, into: &carried, using: HeaderCarrier())
            var traced = messages
            if !carried.isEmpty {
                for index in traced.indices {
                    for header in carried { traced[index].headers.set(header.name, header.value) }
                }
            }
            do throws(QueueError) {
                let outcomes = try await base.publish(traced, to: queue)
                instruments.sent(outcomes.count(where: \.isConfirmed), queue)
                return outcomes
            } catch {
                span.recordError(error)
                span.setStatus(SpanStatus(code: .error))
                throw error
            }
        }
    }

    /// Opens a consumer whose deliveries are counted.
    ///
    /// - Parameters:
    ///   - queue: A declared queue.
    ///   - group: A declared group of it.
    ///   - consumer: The consumer's name.
    ///   - options: How deliveries are handed over.
    /// - Returns: The consumer.
    /// - Throws: As the backend.
    public func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        InstrumentedConsumer(
            base: try await base.consume(queue, group: group, consumer: consumer, options: options),
            instruments: instruments
        )
    }
}

/// A consumer that counts and times.
struct InstrumentedConsumer: ConsumerDecorator {
    let base: any QueueConsumer
    let instruments: QueueInstruments

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        // Not timed: a receive lasts as long as the queue is empty.
        let deliveries = try await base.receive(max: max, wait: wait)
        if !deliveries.isEmpty { instruments.consumed(deliveries.count, queue) }
        return deliveries
    }

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        let base = base
        return try await instruments.measure("settle", queue) { () async throws(QueueError) in
            try await base.settle(requests)
        }
    }
}
