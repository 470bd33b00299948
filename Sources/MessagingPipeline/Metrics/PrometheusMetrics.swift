import Messaging
import Metrics
import Synchronization

/// A backend of swift-metrics that shows everything in Prometheus' text format.
///
/// Hand it to `MetricsSystem.bootstrap(_:)` once at the start of the program, and to ``StatementsAPI``, which serves it at
/// `/metrics`. Names lose what Prometheus does not allow in them; a counter gets the suffix `_total`, a timer `_seconds`.
/// Timers, and recorders that aggregate, become histograms; other recorders and meters gauges.
///
/// Recording takes an atomic operation, in a histogram a lock that is held for an addition. The number of series is
/// bounded: what comes with further labels is dropped, and `mq_metrics_dropped_values_total` counts it.
public final class PrometheusMetrics: MetricsFactory, Sendable {
    /// Bounds of timers, in seconds.
    public static let durationBounds: [Double] = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
    ]
    /// Bounds of recorders that aggregate.
    public static let valueBounds: [Double] = [
        1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 100_000, 1_000_000,
    ]

    private enum Kind: String {
        case counter, gauge, histogram
    }

    private struct Series {
        let instrument: any PrometheusInstrument
        var users: Int
    }

    private struct Family {
        let kind: Kind
        let help: String
        var series: [String: Series] = [:]
    }

    private struct State {
        var families: [String: Family] = [:]
        /// The names of all sample lines, by family, so that no two families write the same line.
        var samples: [String: String] = [:]
        var count = 0
        var places: [ObjectIdentifier: (family: String, labels: String)] = [:]
    }

    private let limit: Int
    private let help: [String: String]
    private let durationBounds: [Double]
    private let valueBounds: [Double]
    private let overflow = PrometheusOverflow()
    private let state = Mutex(State())

    /// Creates a backend without series.
    ///
    /// - Parameters:
    ///   - limit: The most series it takes; 2000 by default. A histogram counts as one.
    ///   - durationBounds: The bounds of timers in seconds, ascending.
    ///   - valueBounds: The bounds of recorders that aggregate, ascending.
    ///   - help: What metrics are, by their label; added to what is known of the metrics of this package.
    public init(
        limit: Int = 2000,
        durationBounds: [Double] = PrometheusMetrics.durationBounds,
        valueBounds: [Double] = PrometheusMetrics.valueBounds,
        help: [String: String] = [:]
    ) {
        self.limit = max(1, limit)
        self.durationBounds = Set(durationBounds.filter(\.isFinite)).sorted()
        self.valueBounds = Set(valueBounds.filter(\.isFinite)).sorted()
        self.help = Self.knownHelp.merging(help) { $1 }
    }

    /// Everything that was recorded, in the text format 0.0.4, sorted by name and labels.
    ///
    /// - Returns: The text, ending with a line feed.
    public func text() -> String {
        let families = state.withLock(\.families)
        var text = ""
        for (name, family) in families.sorted(by: { $0.key < $1.key }) where !family.series.isEmpty {
            text += PrometheusText.header(name, family.kind.rawValue, help: family.help)
            for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) {
                series.instrument.write(name, labels, to: &text)
            }
        }
        let dropped = "mq_metrics_dropped_values_total"
        text += PrometheusText.header(dropped, "counter", help: "Values that had no place among the series.")
        return text + PrometheusText.sample(dropped, "", String(overflow.dropped))
    }

    // MARK: - MetricsFactory

    /// Makes a counter.
    ///
    /// - Parameters:
    ///   - label: Its name.
    ///   - dimensions: Its labels.
    /// - Returns: The counter, the same for the same name and labels.
    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        make(label, "_total", .counter, dimensions) { PrometheusCounter() } ?? overflow
    }

    /// Makes a counter of numbers with fractions.
    ///
    /// - Parameters:
    ///   - label: Its name.
    ///   - dimensions: Its labels.
    /// - Returns: The counter, the same for the same name and labels.
    public func makeFloatingPointCounter(
        label: String,
        dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        make(label, "_total", .counter, dimensions) { PrometheusFloatingCounter() } ?? overflow
    }

    /// Makes a gauge.
    ///
    /// - Parameters:
    ///   - label: Its name.
    ///   - dimensions: Its labels.
    /// - Returns: The gauge, the same for the same name and labels.
    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        make(label, "", .gauge, dimensions) { PrometheusGauge() } ?? overflow
    }

    /// Makes a gauge, or a histogram.
    ///
    /// - Parameters:
    ///   - label: Its name.
    ///   - dimensions: Its labels.
    ///   - aggregate: Whether to make a histogram.
    /// - Returns: The recorder, the same for the same name and labels.
    public func makeRecorder(
        label: String,
        dimensions: [(String, String)],
        aggregate: Bool
    ) -> any RecorderHandler {
        if !aggregate { return make(label, "", .gauge, dimensions) { PrometheusGauge() } ?? overflow }
        return make(label, "", .histogram, dimensions) { PrometheusHistogram(bounds: valueBounds) } ?? overflow
    }

    /// Makes a histogram of seconds.
    ///
    /// - Parameters:
    ///   - label: Its name.
    ///   - dimensions: Its labels.
    /// - Returns: The timer, the same for the same name and labels.
    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        make(label, "_seconds", .histogram, dimensions) { PrometheusHistogram(bounds: durationBounds) } ?? overflow
    }

    /// Forgets a counter when nobody uses it any more.
    ///
    /// - Parameter handler: The counter.
    public func destroyCounter(_ handler: any CounterHandler) { remove(handler) }

    /// Forgets a counter when nobody uses it any more.
    ///
    /// - Parameter handler: The counter.
    public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) { remove(handler) }

    /// Forgets a gauge when nobody uses it any more.
    ///
    /// - Parameter handler: The gauge.
    public func destroyMeter(_ handler: any MeterHandler) { remove(handler) }

    /// Forgets a recorder when nobody uses it any more.
    ///
    /// - Parameter handler: The recorder.
    public func destroyRecorder(_ handler: any RecorderHandler) { remove(handler) }

    /// Forgets a timer when nobody uses it any more.
    ///
    /// - Parameter handler: The timer.
    public func destroyTimer(_ handler: any TimerHandler) { remove(handler) }

    // MARK: - Series

    /// The series of a name and labels; `nil` when there is no room for it, or the name stands for another kind.
    private func make<Instrument: PrometheusInstrument>(
        _ label: String,
        _ suffix: String,
        _ kind: Kind,
        _ dimensions: [(String, String)],
        _ new: () -> Instrument
    ) -> Instrument? {
        var name = PrometheusText.metricName(label)
        if !name.hasSuffix(suffix) { name += suffix }
        let labels = PrometheusText.labels(dimensions)
        return state.withLock { state in
            if let known = state.families[name]?.series[labels] {
                guard let instrument = known.instrument as? Instrument else { return nil }
                state.families[name]?.series[labels]?.users += 1
                return instrument
            }
            let samples = kind == .histogram ? [name, "\(name)_bucket", "\(name)_sum", "\(name)_count"] : [name]
            guard state.count < limit, state.families[name].map({ $0.kind == kind }) ?? true,
                samples.allSatisfy({ state.samples[$0].map { $0 == name } ?? true })
            else { return nil }
            for sample in samples { state.samples[sample] = name }
            let instrument = new()
            let help = help[label] ?? label
            state.families[name, default: Family(kind: kind, help: help)].series[labels] = Series(
                instrument: instrument,
                users: 1
            )
            state.places[ObjectIdentifier(instrument)] = (name, labels)
            state.count += 1
            return instrument
        }
    }

    private func remove(_ handler: AnyObject) {
        state.withLock { state in
            guard let place = state.places[ObjectIdentifier(handler)],
                let users = state.families[place.family]?.series[place.labels]?.users
            else { return }
            if users > 1 {
                state.families[place.family]?.series[place.labels]?.users = users - 1
                return
            }
            state.families[place.family]?.series[place.labels] = nil
            state.places[ObjectIdentifier(handler)] = nil
            state.count -= 1
            guard state.families[place.family]?.series.isEmpty ?? false else { return }
            state.families[place.family] = nil
            state.samples = state.samples.filter { $0.value != place.family }
        }
    }

    private static let knownHelp = [
        MetricNames.sent: "Messages that a broker confirmed.",
        MetricNames.consumed: "Messages that were delivered to consumers.",
        MetricNames.operationDuration: "How long sending and settling took, in seconds.",
        MetricNames.processDuration: "How long handlers took, in seconds.",
        MetricNames.retried: "Deliveries that a worker gave back to be tried again.",
        MetricNames.dead: "Messages that a worker sent to the dead letters.",
        MetricNames.leasesLost: "Deliveries that another consumer took over while a worker had them.",
        HTTPInstruments.duration: "How long it took until an answer was ready to be sent, in seconds.",
        HTTPInstruments.streams: "Streams that are open.",
    ]
}
