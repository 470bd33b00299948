import Messaging
import Synchronization

/// The figures of the queues as gauges, asked for when somebody looks.
///
/// A broker is asked at most once per interval, however many look, and each waits for a bounded time: figures that do
/// not come in time are left out, and are there for who looks next.
final class QueueFigures: Sendable {
    typealias Question = @Sendable () async -> [QueueStatistics]

    private struct State {
        var figures: [QueueStatistics] = []
        /// When the figures came.
        var time: Duration?
        /// Whether the question is being answered.
        var isAsking = false
        var waiting: [AsyncStream<Never>.Continuation] = []
    }

    private let ask: Question
    private let interval: Duration
    private let deadline: Duration
    private let clock: QueueClock
    private let state = Mutex(State())

    /// Creates a cache.
    ///
    /// - Parameters:
    ///   - interval: How long an answer is good.
    ///   - deadline: How long somebody waits for one.
    ///   - clock: The time for both.
    ///   - ask: Asks the brokers.
    init(
        interval: Duration = .seconds(5),
        deadline: Duration = .seconds(2),
        clock: QueueClock,
        ask: @escaping Question
    ) {
        self.ask = ask
        self.interval = interval
        self.deadline = deadline
        self.clock = clock
    }

    /// Whether figures have come.
    var isKnown: Bool { state.withLock { $0.time != nil } }

    /// The figures, at most one interval old; `nil` when they do not come in time.
    func figures() async -> [QueueStatistics]? {
        let answer = AsyncStream<Never>.makeStream()
        let now = clock.now()
        let (known, asks) = state.withLock { state -> ([QueueStatistics]?, Bool) in
            if let time = state.time, now - time < interval { return (state.figures, false) }
            state.waiting.append(answer.continuation)
            defer { state.isAsking = true }
            return (nil, !state.isAsking)
        }
        if let known { return known }
        if asks {
            // Not a child of this task: a broker that does not answer must not hold up who asked.
            Task { await self.learn() }
        }
        await withTaskGroup { group in
            group.addTask { for await _ in answer.stream {} }
            group.addTask { [clock, deadline] in try? await clock.sleep(for: deadline) }
            await group.next()
            group.cancelAll()
        }
        let end = clock.now()
        return state.withLock { state in
            // At most one interval since they came, or they came while this task waited.
            guard let time = state.time, time >= now || end - time < interval else { return nil }
            return state.figures
        }
    }

    private func learn() async {
        let figures = await ask()
        let waiting = state.withLock { state in
            state.figures = figures
            state.time = clock.now()
            state.isAsking = false
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.finish() }
    }

    /// Writes figures as gauges; what a backend cannot tell has no sample.
    static func text(_ figures: [QueueStatistics]?) -> String {
        var text = PrometheusText.header(
            "mq_queue_figures_available",
            "gauge",
            help: "Whether the figures of the queues came in time."
        )
        text += PrometheusText.sample("mq_queue_figures_available", "", figures == nil ? "0" : "1")
        for gauge in gauges {
            var samples = ""
            for statistics in (figures ?? []).sorted(by: { $0.queue < $1.queue }) {
                for group in statistics.groups {
                    guard let value = gauge.value(group) else { continue }
                    let labels = PrometheusText.labels([
                        (MetricNames.destination, statistics.queue), (MetricNames.group, group.group),
                    ])
                    samples += PrometheusText.sample(gauge.name, labels, PrometheusText.number(value))
                }
            }
            if !samples.isEmpty { text += PrometheusText.header(gauge.name, "gauge", help: gauge.help) + samples }
        }
        return text
    }

    private struct Gauge: Sendable {
        let name: String
        let help: String
        let value: @Sendable (GroupStatistics) -> Double?

        init(_ name: String, _ help: String, _ value: @escaping @Sendable (GroupStatistics) -> Double?) {
            self.name = name
            self.help = help
            self.value = value
        }
    }

    private static let gauges = [
        Gauge("mq_queue_ready", "Messages that wait for a consumer.") { $0.ready.value.map(Double.init) },
        Gauge("mq_queue_in_flight", "Messages delivered and not settled.") { $0.inFlight.value.map(Double.init) },
        Gauge("mq_queue_delayed", "Messages that wait for their time.") { $0.delayed.value.map(Double.init) },
        Gauge("mq_queue_dead", "Dead letters.") { $0.dead.value.map(Double.init) },
        Gauge("mq_queue_consumers", "Consumers that are registered.") { $0.consumers.value.map(Double.init) },
        Gauge("mq_queue_oldest_age_seconds", "The age of the oldest message that is ready or in flight.") {
            $0.oldestAge?.inSeconds
        },
    ]
}
