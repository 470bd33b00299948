import Metrics
import Synchronization

/// One series: what is recorded under one name and one set of labels.
protocol PrometheusInstrument: AnyObject, Sendable {
    /// Writes the lines of the series.
    func write(_ name: String, _ labels: String, to text: inout String)
}

/// A number that only grows.
final class PrometheusCounter: PrometheusInstrument, CounterHandler {
    private let value = Atomic<Int64>(0)

    func increment(by amount: Int64) {
        guard amount > 0 else { return }
        value.wrappingAdd(amount, ordering: .relaxed)
    }

    func reset() { value.store(0, ordering: .relaxed) }

    func write(_ name: String, _ labels: String, to text: inout String) {
        text += PrometheusText.sample(name, labels, String(value.load(ordering: .relaxed)))
    }
}

/// A number with a fraction that only grows.
final class PrometheusFloatingCounter: PrometheusInstrument, FloatingPointCounterHandler {
    private let bits = Atomic<UInt64>(0)

    func increment(by amount: Double) {
        guard amount > 0, amount.isFinite else { return }
        bits.add(amount)
    }

    func reset() { bits.store(0, ordering: .relaxed) }

    func write(_ name: String, _ labels: String, to text: inout String) {
        text += PrometheusText.sample(name, labels, PrometheusText.number(bits.double))
    }
}

/// A number that goes up and down.
final class PrometheusGauge: PrometheusInstrument, MeterHandler, RecorderHandler {
    private let bits = Atomic<UInt64>(0)

    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
    func increment(by amount: Double) { bits.add(amount) }
    func decrement(by amount: Double) { bits.add(-amount) }
    func record(_ value: Int64) { set(Double(value)) }
    func record(_ value: Double) { set(value) }

    func write(_ name: String, _ labels: String, to text: inout String) {
        text += PrometheusText.sample(name, labels, PrometheusText.number(bits.double))
    }
}

/// How many values were at most so great, for each of some bounds.
final class PrometheusHistogram: PrometheusInstrument, RecorderHandler, TimerHandler {
    private struct State {
        /// One for each bound and one for what is above all; not summed up.
        var counts: [UInt64]
        var sum = 0.0
    }

    private let bounds: [Double]
    private let state: Mutex<State>

    init(bounds: [Double]) {
        self.bounds = bounds
        state = Mutex(State(counts: Array(repeating: 0, count: bounds.count + 1)))
    }

    func record(_ value: Int64) { record(Double(value)) }

    func record(_ value: Double) {
        guard !value.isNaN else { return }
        let index = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock { state in
            state.counts[index] += 1
            state.sum += value
        }
    }

    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }

    /// The unit is always the second, Prometheus' own.
    func preferDisplayUnit(_ unit: TimeUnit) {}

    func write(_ name: String, _ labels: String, to text: inout String) {
        let (counts, sum) = state.withLock { ($0.counts, $0.sum) }
        let prefix = labels.isEmpty ? "" : labels + ","
        var total: UInt64 = 0
        for (index, count) in counts.enumerated() {
            total += count
            let bound = index < bounds.count ? PrometheusText.number(bounds[index]) : "+Inf"
            text += PrometheusText.sample("\(name)_bucket", "\(prefix)le=\"\(bound)\"", String(total))
        }
        text += PrometheusText.sample("\(name)_sum", labels, PrometheusText.number(sum))
        text += PrometheusText.sample("\(name)_count", labels, String(total))
    }
}

/// Takes what is recorded under a name or a set of labels for which there is no room, and only counts it.
final class PrometheusOverflow: CounterHandler, FloatingPointCounterHandler, MeterHandler, RecorderHandler, TimerHandler
{
    private let count = Atomic<Int64>(0)

    /// How many values were dropped.
    var dropped: Int64 { count.load(ordering: .relaxed) }

    private func drop() { count.wrappingAdd(1, ordering: .relaxed) }

    func increment(by amount: Int64) { drop() }
    func increment(by amount: Double) { drop() }
    func decrement(by amount: Double) { drop() }
    func set(_ value: Int64) { drop() }
    func set(_ value: Double) { drop() }
    func record(_ value: Int64) { drop() }
    func record(_ value: Double) { drop() }
    func recordNanoseconds(_ duration: Int64) { drop() }
    func preferDisplayUnit(_ unit: TimeUnit) {}
    func reset() {}
}

extension Atomic<UInt64> {
    /// The bits as a number.
    fileprivate var double: Double { Double(bitPattern: load(ordering: .relaxed)) }

    /// Adds to the number that the bits stand for.
    fileprivate func add(_ amount: Double) {
        var known = load(ordering: .relaxed)
        while true {
            let sum = Double(bitPattern: known) + amount
            let (isDone, found) = weakCompareExchange(
                expected: known,
                desired: sum.bitPattern,
                ordering: .relaxed
            )
            if isDone { return }
            known = found
        }
    }
}
