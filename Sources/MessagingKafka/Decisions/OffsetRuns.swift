#if Kafka
/// A set of offsets as runs of neighbours.
struct OffsetRuns: Sendable, Equatable {
    /// Sorted, apart from each other, none empty.
    private(set) var runs: [Range<Int64>] = []

    var isEmpty: Bool { runs.isEmpty }
    /// How many offsets it has.
    var count: Int { runs.reduce(0) { $0 + $1.count } }

    /// The index of the first run that ends behind an offset.
    private func index(of offset: Int64) -> Int {
        var (low, high) = (0, runs.count)
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].upperBound <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func contains(_ offset: Int64) -> Bool {
        let index = index(of: offset)
        return index < runs.count && runs[index].contains(offset)
    }

    mutating func insert(_ offset: Int64) { insert(offset..<offset + 1) }

    mutating func insert(_ range: Range<Int64>) {
        if range.isEmpty { return }
        // From the first run that touches the new one to the last.
        let first = index(of: range.lowerBound - 1)
        var last = first
        var (lower, upper) = (range.lowerBound, range.upperBound)
        while last < runs.count, runs[last].lowerBound <= range.upperBound {
            lower = min(lower, runs[last].lowerBound)
            upper = max(upper, runs[last].upperBound)
            last += 1
        }
        runs.replaceSubrange(first..<last, with: CollectionOfOne(lower..<upper))
    }

    /// Removes everything below an offset.
    mutating func removeBelow(_ offset: Int64) {
        let index = index(of: offset)
        runs.removeFirst(index)
        if let first = runs.first, first.lowerBound < offset { runs[0] = offset..<first.upperBound }
    }

    /// The first offset at or behind another one that is not in the set.
    func firstGap(from offset: Int64) -> Int64 {
        let index = index(of: offset)
        return index < runs.count && runs[index].contains(offset) ? runs[index].upperBound : offset
    }

    /// How many offsets of a range are in the set.
    func count(in range: Range<Int64>) -> Int {
        runs[index(of: range.lowerBound)...].prefix { $0.lowerBound < range.upperBound }
            .reduce(0) { $0 + $1.clamped(to: range).count }
    }
}
#endif
