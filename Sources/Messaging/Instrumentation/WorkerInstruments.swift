import Instrumentation
import Metrics
import ServiceContextModule
import Tracing

/// The metrics and spans of one worker.
struct WorkerInstruments: Sendable {
    private let dimensions: [(String, String)]
    private let queue: String
    private let succeeded: Timer
    private let failed: Timer
    private let retried: Counter
    private let dead: Counter
    private let leasesLost: Counter

    init(system: String, queue: String, group: String) {
        self.queue = queue
        dimensions = [
            (MetricNames.system, system), (MetricNames.operation, "process"), (MetricNames.destination, queue),
            (MetricNames.group, group),
        ]
        succeeded = Timer(label: MetricNames.processDuration, dimensions: dimensions)
        failed = Timer(
            label: MetricNames.processDuration,
            dimensions: dimensions + [(MetricNames.errorType, "handler")]
        )
        retried = Counter(label: MetricNames.retried, dimensions: dimensions)
        dead = Counter(label: MetricNames.dead, dimensions: dimensions)
        leasesLost = Counter(label: MetricNames.leasesLost, dimensions: dimensions)
    }

    /// Runs a handler inside a consumer span that is linked to the span that published the message, and times it.
    func process(_ delivery: Delivery, _ handler: () async throws -> Void) async throws {
        let start = ContinuousClock.now
        do {
            try await traced(delivery, handler)
            succeeded.record(duration: ContinuousClock.now - start)
        } catch {
            failed.record(duration: ContinuousClock.now - start)
            throw error
        }
    }

    func count(_ settlement: Settlement) {
        switch settlement {
        case .retry: retried.increment()
        case .reject: dead.increment()
        default: break
        }
    }

    func leaseLost() { leasesLost.increment() }

    private func traced(_ delivery: Delivery, _ handler: () async throws -> Void) async throws {
        var origin = ServiceContext.topLevel
        InstrumentationSystem.instrument.extract(delivery.message.headers, into: &origin, using: HeaderCarrier())
        try await withSpan("process \(queue)", context: .current ?? .topLevel, ofKind: .consumer) { span in
            span.attributes[MetricNames.destination] = queue
            span.attributes[MetricNames.operation] = "process"
            span.attributes["messaging.message.id"] = delivery.message.id.rawValue
            // A retry or a batch has no single parent, so the publishing span is linked, not continued.
            if !delivery.message.headers.isEmpty { span.addLink(SpanLink(context: origin, attributes: [:])) }
            try await handler()
        }
    }
}
