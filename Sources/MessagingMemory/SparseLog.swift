import DequeModule

/// A sequence of numbered elements: appended at the end, found and removed anywhere in constant time.
///
/// The elements live in chunks; a chunk whose elements are all removed gives its memory back, so that one old element
/// does not keep everything that came after it.
struct SparseLog<Element: Sendable>: Sendable {
    private struct Chunk: Sendable {
        var slots: ContiguousArray<Element?> = []
        var live = 0
    }

    private static var width: UInt64 { 128 }

    private var chunks: Deque<Chunk> = []
    /// The number of elements that were in the chunks before the first.
    private var base: UInt64 = 0
    /// The number that the next element gets.
    private(set) var end: UInt64 = 0
    private(set) var count = 0

    var isEmpty: Bool { count == 0 }

    subscript(number: UInt64) -> Element? { read(number) { $0 } }

    mutating func append(_ element: Element) -> UInt64 {
        if (end - base) == UInt64(chunks.count) * Self.width {
            var chunk = Chunk()
            chunk.slots.reserveCapacity(Int(Self.width))
            chunks.append(chunk)
        }
        let last = chunks.count - 1
        chunks[last].slots.append(element)
        chunks[last].live += 1
        count += 1
        end += 1
        return end - 1
    }

    /// Looks at an element without copying it.
    func read<Result>(_ number: UInt64, _ body: (borrowing Element) -> Result) -> Result? {
        guard let (chunk, slot) = place(of: number), chunks[chunk].slots[slot] != nil else { return nil }
        return body(chunks[chunk].slots[slot]!)
    }

    /// Changes an element in place.
    mutating func update<Result>(_ number: UInt64, _ body: (inout Element) -> Result) -> Result? {
        guard let (chunk, slot) = place(of: number), chunks[chunk].slots[slot] != nil else { return nil }
        return body(&chunks[chunk].slots[slot]!)
    }

    @discardableResult
    mutating func remove(_ number: UInt64) -> Element? {
        guard let (chunk, slot) = place(of: number), let element = chunks[chunk].slots[slot] else { return nil }
        chunks[chunk].slots[slot] = nil
        chunks[chunk].live -= 1
        count -= 1
        if chunks[chunk].live == 0, chunks[chunk].slots.count == Int(Self.width) {
            chunks[chunk].slots = []
            while let first = chunks.first, first.slots.isEmpty {
                chunks.removeFirst()
                base += Self.width
            }
        }
        return element
    }

    /// Finds the first element at or after a number.
    func next(from number: UInt64) -> UInt64? {
        var candidate = max(number, base)
        while candidate < end {
            let chunk = chunks[Int((candidate - base) / Self.width)]
            if chunk.live == 0 {
                candidate = candidate - (candidate - base) % Self.width + Self.width
            } else if chunk.slots[Int((candidate - base) % Self.width)] != nil {
                return candidate
            } else {
                candidate += 1
            }
        }
        return nil
    }

    private func place(of number: UInt64) -> (chunk: Int, slot: Int)? {
        guard number >= base, number < end else { return nil }
        let offset = number - base
        let chunk = Int(offset / Self.width)
        let slot = Int(offset % Self.width)
        return slot < chunks[chunk].slots.count ? (chunk, slot) : nil
    }
}
