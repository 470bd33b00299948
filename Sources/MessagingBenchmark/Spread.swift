/// The median of some measurements, and how far they lie apart.
public struct Spread: Sendable, Hashable, Codable {
    /// The one in the middle; of an even number, the mean of the two.
    public var median: Double
    /// The smallest.
    public var min: Double
    /// The largest.
    public var max: Double
    /// How many there are.
    public var count: Int

    /// Sums up measurements.
    ///
    /// - Parameter values: The measurements; `nil` is returned for none, and for one that is no number.
    public init?(_ values: [Double]) {
        let sorted = values.sorted()
        guard let first = sorted.first, let last = sorted.last, values.allSatisfy(\.isFinite) else { return nil }
        let middle = sorted.count / 2
        median = sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
        (min, max, count) = (first, last, sorted.count)
    }

    /// The ratio of each pair.
    ///
    /// - Parameter pairs: What was measured side by side.
    /// - Returns: The ratios; those of a pair whose second is zero are left out.
    static func ratios(_ pairs: [(ours: Double, theirs: Double)]) -> [Double] {
        pairs.compactMap { $0.theirs > 0 ? $0.ours / $0.theirs : nil }
    }
}
