/// A place of a ``MarkSegment``: half of a hash, and the mark that stands there.
struct MarkPlace: Sendable {
    /// How many marks can be told apart.
    static let limit = Int(UInt32.max) - 1

    let half: UInt32
    /// The mark's index, counted from 1; 0 is a free place.
    private let number: UInt32

    init() { (half, number) = (0, 0) }

    init(half: UInt32, index: Int) {
        self.half = half
        number = UInt32(truncatingIfNeeded: index + 1)
    }

    var isFree: Bool { number == 0 }
    var index: Int { Int(number) - 1 }
}

/// A part of the places of a ``MarkTable``.
///
/// Marks that belong to one place stand one behind the other (linear probing).
struct MarkSegment: Sendable {
    /// How far from its place a mark is looked for; with half of the places free nearly all are much closer.
    static let reach = 32
    static let widthBits = 11
    /// The most places of one segment.
    static let width = 1 << widthBits

    private(set) var places = ContiguousArray(repeating: MarkPlace(), count: 16)
    private var count = 0
    /// How many bits of the hash, above those of the places, all of its marks have in common.
    private(set) var depth = 0

    var isFull: Bool { count * 2 >= places.count }

    mutating func fill(_ place: Int, _ entry: MarkPlace) {
        places[place] = entry
        count += 1
    }

    /// Frees a place, and moves what stands behind it because of it up: a search ends at the first free one.
    mutating func close(_ place: Int) {
        let mask = places.count - 1
        var hole = place
        var next = (hole + 1) & mask
        while !places[next].isFree {
            let home = Int(places[next].half) & mask
            if (next - home) & mask >= (next - hole) & mask {
                places[hole] = places[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        places[hole] = MarkPlace()
        count -= 1
    }

    /// Takes twice as many places.
    ///
    /// - Returns: What found none.
    mutating func double() -> [MarkPlace] {
        let old = places
        places = ContiguousArray(repeating: MarkPlace(), count: old.count * 2)
        count = 0
        return old.filter { !$0.isFree && !put($0) }
    }

    /// Moves the marks in whose hash the next bit is set to a new segment.
    ///
    /// - Returns: The other one, and what found no place in either.
    mutating func part() -> (other: MarkSegment, homeless: [MarkPlace]) {
        let bit = UInt32(Self.widthBits + depth)
        let old = places
        places = ContiguousArray(repeating: MarkPlace(), count: old.count)
        count = 0
        depth += 1
        var other = self
        let homeless = old.filter { entry in
            guard !entry.isFree else { return false }
            return entry.half >> bit & 1 == 0 ? !put(entry) : !other.put(entry)
        }
        return (other, homeless)
    }

    private mutating func put(_ entry: MarkPlace) -> Bool {
        let mask = places.count - 1
        for step in 0..<Self.reach {
            let place = (Int(entry.half) + step) & mask
            guard places[place].isFree else { continue }
            fill(place, entry)
            return true
        }
        return false
    }
}
