import Histogram

/// How long something took, in microseconds, from many measurements.
public struct LatencySummary: Sendable, Hashable, Codable {
    /// How many measurements.
    public var count: Int
    /// Half of them took at most this.
    public var p50: Double
    /// Nine of ten took at most this.
    public var p90: Double
    /// 99 of a hundred took at most this.
    public var p99: Double
    /// 999 of a thousand took at most this.
    public var p999: Double
    /// The longest.
    public var max: Double

    private enum CodingKeys: String, CodingKey {
        case count
        case p50 = "p50_us"
        case p90 = "p90_us"
        case p99 = "p99_us"
        case p999 = "p99_9_us"
        case max = "max_us"
    }
}

/// Collects durations up to an hour, to three digits, in a fixed amount of memory.
struct LatencyRecorder: Sendable {
    private static let longest: UInt64 = 3_600_000_000_000
    private var histogram = Histogram<UInt64>(
        highestTrackableValue: Self.longest,
        numberOfSignificantValueDigits: .three
    )

    /// Adds a duration; one below zero counts as none, one above an hour as an hour.
    mutating func record(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        let isNegative = seconds < 0 || attoseconds < 0
        let nanoseconds =
            isNegative
            ? 0 : seconds >= 3600 ? Self.longest : UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds) / 1_000_000_000
        histogram.record(min(nanoseconds, Self.longest))
    }

    /// The figures; `nil` when there are none.
    var summary: LatencySummary? {
        guard histogram.totalCount > 0 else { return nil }
        func microseconds(_ percentile: Double) -> Double {
            Double(histogram.valueAtPercentile(percentile)) / 1000
        }
        return LatencySummary(
            count: Int(histogram.totalCount),
            p50: microseconds(50),
            p90: microseconds(90),
            p99: microseconds(99),
            p999: microseconds(99.9),
            max: microseconds(100)
        )
    }
}
