import Messaging
import Metrics
import TestSupport
import Testing

@testable import MessagingPipeline

@Suite("Metrics in Prometheus' format")
struct MetricsPrometheusTests {
    private let metrics = PrometheusMetrics()

    /// The lines of the metrics, without those that are always there.
    private func lines(_ metrics: PrometheusMetrics) -> [String] {
        metrics.text().split(separator: "\n").map(String.init).filter { !$0.contains("mq_metrics_dropped_values") }
    }

    @Test("names and labels are repaired, values escaped, samples sorted")
    func format() {
        let label = "messaging.client.sent.messages"
        metrics.makeCounter(label: label, dimensions: [("b.c", "a\"\\\n"), ("9", "é"), ("__x", "1")]).increment(by: 2)
        metrics.makeCounter(label: label, dimensions: [("a", "z")]).increment(by: 3)
        metrics.makeCounter(label: label, dimensions: [("a", "z")]).increment(by: 4)
        metrics.makeCounter(label: label, dimensions: [("a", "z")]).increment(by: -4)
        #expect(
            lines(metrics) == [
                "# HELP messaging_client_sent_messages_total Messages that a broker confirmed.",
                "# TYPE messaging_client_sent_messages_total counter",
                #"messaging_client_sent_messages_total{_9="é",_x="1",b_c="a\"\\\n"} 2"#,
                #"messaging_client_sent_messages_total{a="z"} 7"#,
            ]
        )
    }

    @Test("a timer is a histogram of seconds, with bounds that include their value")
    func timer() {
        let metrics = PrometheusMetrics(durationBounds: [1, 0.5, .infinity], help: ["work": "a\nb"])
        let timer = metrics.makeTimer(label: "work", dimensions: [("le", "x")])
        for nanoseconds: Int64 in [500_000_000, 500_000_001, 1_000_000_001] { timer.recordNanoseconds(nanoseconds) }
        #expect(
            lines(metrics) == [
                #"# HELP work_seconds a\nb"#, "# TYPE work_seconds histogram",
                #"work_seconds_bucket{exported_le="x",le="0.5"} 1"#, #"work_seconds_bucket{exported_le="x",le="1"} 2"#,
                #"work_seconds_bucket{exported_le="x",le="+Inf"} 3"#,
                #"work_seconds_sum{exported_le="x"} 2.000000002"#, #"work_seconds_count{exported_le="x"} 3"#,
            ]
        )
    }

    @Test("meters, recorders and counters with fractions")
    func others() {
        let meter = metrics.makeMeter(label: "a", dimensions: [])
        meter.set(Int64(5))
        meter.increment(by: 1.5)
        meter.decrement(by: 3)
        metrics.makeRecorder(label: "b", dimensions: [], aggregate: false).record(Int64(-7))
        metrics.makeRecorder(label: "c", dimensions: [], aggregate: true).record(3.5)
        metrics.makeRecorder(label: "c", dimensions: [], aggregate: true).record(.nan)
        let counter = metrics.makeFloatingPointCounter(label: "d", dimensions: [])
        counter.increment(by: 0.25)
        counter.increment(by: .infinity)
        counter.increment(by: -1)
        let text = metrics.text()
        #expect(text.contains("\na 3.5\n") && text.contains("\nb -7\n") && text.contains("\nd_total 0.25\n"))
        #expect(text.contains("c_bucket{le=\"2\"} 0\nc_bucket{le=\"5\"} 1\n") && text.contains("c_count 1\n"))
    }

    @Test("numbers that are none are written as Prometheus reads them")
    func numbers() {
        #expect(
            [Double.nan, .infinity, -.infinity, 0, -0.0, 1e300, 0.1].map(PrometheusText.number) == [
                "NaN", "+Inf", "-Inf", "0", "0", "1e+300", "0.1",
            ]
        )
    }

    @Test("series are bounded, and what has no place is counted")
    func bounded() {
        let metrics = PrometheusMetrics(limit: 2)
        for number in 0..<5 {
            metrics.makeCounter(label: "a", dimensions: [("n", "\(number)")]).increment(by: 1)
        }
        metrics.makeTimer(label: "t", dimensions: []).recordNanoseconds(1)
        #expect(metrics.text().contains("\nmq_metrics_dropped_values_total 4\n"))
        #expect(lines(metrics).count { $0.hasPrefix("a_total{") } == 2)
        #expect(!metrics.text().contains("t_seconds"))
    }

    @Test("a name stands for one kind, and no two metrics write the same line")
    func conflicts() {
        metrics.makeTimer(label: "x", dimensions: []).recordNanoseconds(1)
        metrics.makeMeter(label: "x.seconds", dimensions: []).set(Int64(1))
        metrics.makeMeter(label: "x.seconds.count", dimensions: []).set(Int64(1))
        metrics.makeCounter(label: "y", dimensions: []).increment(by: 1)
        metrics.makeFloatingPointCounter(label: "y", dimensions: []).increment(by: 1)
        #expect(metrics.text().contains("\nmq_metrics_dropped_values_total 3\n"))
        #expect(lines(metrics).count { $0.hasPrefix("x_seconds_count") } == 1)
        #expect(metrics.text().contains("\ny_total 1\n"))
    }

    @Test("what nobody uses any more goes, what somebody still uses stays")
    func destroyed() {
        let first = metrics.makeCounter(label: "a", dimensions: [])
        let second = metrics.makeCounter(label: "a", dimensions: [])
        first.increment(by: 1)
        metrics.destroyCounter(first)
        #expect(metrics.text().contains("\na_total 1\n"))
        metrics.destroyCounter(second)
        #expect(lines(metrics) == [])
        metrics.makeMeter(label: "a.total", dimensions: []).set(Int64(2))
        #expect(metrics.text().contains("\na_total 2\n"))
    }

    @Test("nothing is lost when many record at the same time")
    func concurrent() async {
        await withTaskGroup { group in
            for _ in 0..<8 {
                group.addTask { [metrics] in
                    for _ in 0..<1000 {
                        metrics.makeCounter(label: "a", dimensions: []).increment(by: 1)
                        metrics.makeFloatingPointCounter(label: "b", dimensions: []).increment(by: 0.5)
                        metrics.makeTimer(label: "c", dimensions: []).recordNanoseconds(1_000_000_000)
                    }
                }
            }
        }
        let text = metrics.text()
        #expect(text.contains("\na_total 8000\n") && text.contains("\nb_total 4000\n"))
        #expect(text.contains("\nc_seconds_sum 8000\n") && text.contains("\nc_seconds_count 8000\n"))
    }

    // MARK: - Figures of queues

    private static let statistics = QueueStatistics(
        queue: "queue:api",
        groups: [
            GroupStatistics(
                group: "api-workers",
                ready: .exact(3),
                inFlight: .estimate(2),
                delayed: .exact(0),
                dead: .unavailable("not known"),
                consumers: .exact(1),
                oldestAge: .milliseconds(1500)
            )
        ],
        scheduled: .exact(0),
        stored: .exact(5)
    )

    @Test("figures become gauges; what a backend cannot tell is left out")
    func gauges() {
        let text = QueueFigures.text([Self.statistics])
        let labels = #"{messaging_consumer_group_name="api-workers",messaging_destination_name="queue:api"}"#
        #expect(text.contains("# TYPE mq_queue_ready gauge\nmq_queue_ready\(labels) 3\n"))
        #expect(text.contains("\nmq_queue_in_flight\(labels) 2\n"))
        #expect(text.contains("\nmq_queue_oldest_age_seconds\(labels) 1.5\n"))
        #expect(!text.contains("mq_queue_dead"))
        #expect(text.contains("\nmq_queue_figures_available 1\n"))
        #expect(QueueFigures.text(nil).contains("\nmq_queue_figures_available 0\n"))
    }

    @Test("a broker is asked once for all who look within five seconds")
    func cached() async {
        let clock = ManualClock()
        let asked = PrometheusCounter()
        let figures = QueueFigures(clock: clock.queueClock) {
            asked.increment(by: 1)
            return [Self.statistics]
        }
        await withTaskGroup { group in
            for _ in 0..<10 { group.addTask { #expect(await figures.figures() == [Self.statistics]) } }
        }
        #expect(count(asked) == 1)
        clock.advance(by: .seconds(4))
        #expect(await figures.figures() != nil)
        #expect(count(asked) == 1)
        clock.advance(by: .seconds(1))
        #expect(await figures.figures() != nil)
        #expect(count(asked) == 2)
    }

    @Test("a broker that does not answer holds nobody up, and is not asked again meanwhile")
    func late() async throws {
        let clock = ManualClock()
        let asked = PrometheusCounter()
        let answer = AsyncStream<Void>.makeStream()
        let figures = QueueFigures(clock: clock.queueClock) {
            asked.increment(by: 1)
            for await _ in answer.stream { break }
            return [Self.statistics]
        }
        for _ in 0..<2 {
            async let missing = figures.figures()
            await clock.waitForSleepers(1)
            clock.advance(by: .seconds(2))
            #expect(await missing == nil)
        }
        #expect(count(asked) == 1)
        answer.continuation.finish()
        // It is there for who looks next, without another question.
        #expect(try await eventually { figures.isKnown })
        #expect(await figures.figures() == [Self.statistics])
        #expect(count(asked) == 1)
    }

    private func count(_ counter: PrometheusCounter) -> Int {
        var text = ""
        counter.write("n", "", to: &text)
        return Int(text.dropFirst(2).dropLast()) ?? -1
    }
}
