#if canImport(Darwin)
import Darwin
#elseif canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// An axis on which each power of ten takes the same room.
struct LogAxis: Sendable, Equatable {
    /// The power of ten at which the axis begins.
    let first: Int
    /// The power of ten at which it ends, above `first`.
    let last: Int

    /// The shortest axis of whole decades that has all values; those that are not above zero have no place on it.
    init?(_ values: [Double]) {
        let placed = values.filter { $0 > 0 && $0.isFinite }
        guard let least = placed.min(), let most = placed.max() else { return nil }
        first = Int(log10(least).rounded(.down))
        last = max(first + 1, Int(log10(most).rounded(.up)))
    }

    /// Where a value lies: 0 at the beginning, 1 at the end; `nil` for one that has no place.
    func position(_ value: Double) -> Double? {
        guard value > 0, value.isFinite else { return nil }
        return (log10(value) - Double(first)) / Double(last - first)
    }

    /// The decades, with their labels.
    var ticks: [(value: Double, label: String)] {
        (first...last).map { (pow(10, Double($0)), Self.label($0)) }
    }

    /// `1`, `100`, `10k`, `1M`, `0.1`.
    static func label(_ power: Int) -> String {
        switch power {
        case ..<0: "0." + String(repeating: "0", count: -power - 1) + "1"
        case 0..<3: "1" + String(repeating: "0", count: power)
        case 3..<6: "1" + String(repeating: "0", count: power - 3) + "k"
        case 6..<9: "1" + String(repeating: "0", count: power - 6) + "M"
        default: "1e\(power)"
        }
    }
}
