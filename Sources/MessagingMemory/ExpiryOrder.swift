import DequeModule
import Messaging

/// Ids in the order in which they are forgotten, those of one moment in the order in which they came.
///
/// They stand in chunks, so that what is long is neither copied when it grows nor moved when one is put in the middle.
struct ExpiryOrder: Sendable {
    struct Entry: Sendable {
        let id: MessageID
        /// Tells entries of one id apart.
        let number: UInt64
        let until: Duration
    }

    private static let width = 512

    /// None of them is empty.
    private var chunks: Deque<Deque<Entry>> = []

    var count: Int { chunks.reduce(0) { $0 + $1.count } }
    var first: Entry? { chunks.first?.first }
    var last: Entry? { chunks.last?.last }

    /// Returns the entries that come after a moment and, at that moment, after a number.
    func entries(after until: Duration, _ number: UInt64) -> some Sequence<Entry> {
        func isLater(_ entry: Entry) -> Bool { (entry.until, entry.number) > (until, number) }
        let chunk = chunks.firstOrdered { $0.last.map(isLater) ?? true }
        return chunks[chunk...].lazy.joined().drop { !isLater($0) }
    }

    mutating func insert(_ entry: Entry) {
        guard let last, entry.until < last.until else { return append(entry) }
        let chunk = chunks.firstOrdered { $0.last.map { $0.until > entry.until } ?? true }
        let place = chunks[chunk].firstOrdered { $0.until > entry.until }
        chunks[chunk].insert(entry, at: place)
        guard chunks[chunk].count > 2 * Self.width else { return }
        let tail = Deque(chunks[chunk][Self.width...])
        chunks[chunk].removeLast(tail.count)
        chunks.insert(tail, at: chunk + 1)
    }

    @discardableResult
    mutating func removeFirst() -> Entry? {
        guard !chunks.isEmpty else { return nil }
        let entry = chunks[0].popFirst()
        if chunks[0].isEmpty { chunks.removeFirst() }
        return entry
    }

    /// Removes the entry of a moment and a number, if there is one.
    mutating func remove(until: Duration, number: UInt64) {
        func isThere(_ entry: Entry) -> Bool { (entry.until, entry.number) >= (until, number) }
        // It is the last one in nearly all cases.
        var chunk = chunks.count - 1
        guard chunk >= 0 else { return }
        if chunks[chunk].last?.number != number { chunk = chunks.firstOrdered { $0.last.map(isThere) ?? true } }
        guard chunk < chunks.count else { return }
        let place = chunks[chunk].firstOrdered(where: isThere)
        guard place < chunks[chunk].count, chunks[chunk][place].number == number else { return }
        chunks[chunk].remove(at: place)
        if chunks[chunk].isEmpty { chunks.remove(at: chunk) }
    }

    private mutating func append(_ entry: Entry) {
        if chunks.last.map({ $0.count >= Self.width }) ?? true {
            var chunk: Deque<Entry> = []
            // The first one grows as it is needed: most queues are small.
            if !chunks.isEmpty { chunk.reserveCapacity(Self.width) }
            chunks.append(chunk)
        }
        chunks[chunks.count - 1].append(entry)
    }
}

extension Deque {
    /// Finds the first element of which something holds, which then holds of all that come after it.
    fileprivate func firstOrdered(where holds: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = low + (high - low) / 2
            if holds(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
