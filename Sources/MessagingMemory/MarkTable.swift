import Messaging

/// What is known of message ids, found by a hash that is computed once.
///
/// A dictionary of ids would hash and compare their texts, each behind a pointer of its own, whenever it grows or two fall on
/// neighbouring places: most of what publishing costs. Here places are plain numbers, half of which is the hash, and what grows
/// is not copied as a whole: marks stand in chunks, and the places in segments. A segment that is full is parted in two by one
/// more bit of the hash (extendible hashing).
struct MarkTable: Sendable {
    struct Mark: Sendable {
        let id: MessageID
        /// A digest of the body; `nil` when only the id is known.
        let digest: UInt64?
        /// Tells marks of one id apart.
        let number: UInt64
    }

    /// How many places of the directory a segment may have on average.
    private static let sparse = 64

    private let hash: @Sendable (MessageID) -> UInt64
    private var segments: [MarkSegment] = [MarkSegment()]
    /// Which segment the higher bits of a hash belong to: as many as a power of two.
    private var directory: [UInt32] = [0]
    private var marks = Marks()
    /// The few that find no place near theirs, and the many whose ids somebody has made for that.
    private var others: [MessageID: Mark] = [:]

    /// - Parameter hash: Hashes an id; not for security, so anything will do for a test.
    init(hash: @escaping @Sendable (MessageID) -> UInt64 = MarkTable.hash) { self.hash = hash }

    var count: Int { marks.count + others.count }

    func find(_ id: MessageID) -> Mark? {
        let half = half(id)
        if let place = look(for: id, half, in: segment(half)).found { return marks[place.index] }
        return others.isEmpty ? nil : others[id]
    }

    /// Adds a mark unless there is one of its id.
    ///
    /// - Returns: The mark that is there already.
    mutating func insert(_ fresh: Mark) -> Mark? {
        if !others.isEmpty, let mark = others[fresh.id] { return mark }
        let half = half(fresh.id)
        var segment = segment(half)
        var (found, space) = look(for: fresh.id, half, in: segment)
        // First: a segment that grows may send its mark to the others.
        if let found { return marks[found.index] }
        if segments[segment].isFull {
            while segments[segment].isFull, grow(half) { segment = self.segment(half) }
            (found, space) = look(for: fresh.id, half, in: segment)
        }
        if let space, !segments[segment].isFull, let index = marks.add(fresh) {
            segments[segment].fill(space, MarkPlace(half: half, index: index))
        } else {
            others[fresh.id] = fresh
        }
        return nil
    }

    /// Removes the mark of an id, or only that of a number.
    mutating func remove(_ id: MessageID, number: UInt64? = nil) {
        let half = half(id)
        let segment = segment(half)
        guard let found = look(for: id, half, in: segment).found else {
            if !others.isEmpty, let mark = others[id], number == nil || mark.number == number { others[id] = nil }
            return
        }
        guard number == nil || marks[found.index].number == number else { return }
        marks.remove(found.index)
        segments[segment].close(found.place)
    }

    /// Looks for an id up to the first free place.
    ///
    /// - Returns: Where it is, or else where there is room for it.
    private func look(
        for id: MessageID,
        _ half: UInt32,
        in segment: Int
    ) -> (found: (place: Int, index: Int)?, space: Int?) {
        let places = segments[segment].places
        let mask = places.count - 1
        for step in 0..<MarkSegment.reach {
            let place = (Int(half) + step) & mask
            let entry = places[place]
            if entry.isFree { return (nil, place) }
            if entry.half == half, marks[entry.index].id == id { return ((place, entry.index), nil) }
        }
        return (nil, nil)
    }

    /// Makes room in the segment of a hash: with more places, or by giving half of its hashes to another one.
    ///
    /// - Returns: Whether anything could be done.
    private mutating func grow(_ half: UInt32) -> Bool {
        let segment = segment(half)
        let homeless: [MarkPlace]
        if segments[segment].places.count < MarkSegment.width {
            homeless = segments[segment].double()
        } else {
            let depth = segments[segment].depth
            guard MarkSegment.widthBits + depth < UInt32.bitWidth else { return false }
            let flag = 1 << depth
            if flag == directory.count {
                // Hashes that differ in few of their bits only are made up; they are not worth a directory of millions.
                guard directory.count < Self.sparse * segments.count else { return false }
                directory += directory
            }
            let other: MarkSegment
            (other, homeless) = segments[segment].part()
            segments.append(other)
            let common = Int(half >> UInt32(MarkSegment.widthBits)) & (flag - 1)
            for place in stride(from: common | flag, to: directory.count, by: flag * 2) {
                directory[place] = UInt32(segments.count - 1)
            }
        }
        for entry in homeless {
            others[marks[entry.index].id] = marks[entry.index]
            marks.remove(entry.index)
        }
        return true
    }

    private func segment(_ half: UInt32) -> Int {
        Int(directory[Int(half >> UInt32(MarkSegment.widthBits)) & (directory.count - 1)])
    }

    private func half(_ id: MessageID) -> UInt32 {
        let hash = hash(id)
        return UInt32(truncatingIfNeeded: hash ^ hash >> 32)
    }

    private static func hash(_ id: MessageID) -> UInt64 { BodyDigest.of(id.rawValue) }
}

/// The marks themselves, each at an index of its own for as long as it is there.
private struct Marks: Sendable {
    private static let bits = 10

    private var chunks: [ContiguousArray<MarkTable.Mark>] = []
    private var end = 0
    /// Where marks were removed.
    private var free: [UInt32] = []

    var count: Int { end - free.count }

    subscript(index: Int) -> MarkTable.Mark { chunks[index >> Self.bits][index & (1 << Self.bits - 1)] }

    /// - Returns: Its index; `nil` when no further one can be told.
    mutating func add(_ mark: MarkTable.Mark) -> Int? {
        if let index = free.popLast().map(Int.init) {
            chunks[index >> Self.bits][index & (1 << Self.bits - 1)] = mark
            return index
        }
        guard end < MarkPlace.limit else { return nil }
        if end >> Self.bits == chunks.count {
            var chunk: ContiguousArray<MarkTable.Mark> = []
            // The first one grows as it is needed: most queues are small.
            if end > 0 { chunk.reserveCapacity(1 << Self.bits) }
            chunks.append(chunk)
        }
        chunks[chunks.count - 1].append(mark)
        end += 1
        return end - 1
    }

    mutating func remove(_ index: Int) {
        free.append(UInt32(truncatingIfNeeded: index))
        guard count == 0 else { return }
        // Nothing is left: neither the ids nor what they took is kept.
        chunks.removeLast(chunks.count - 1)
        chunks[0].removeAll(keepingCapacity: true)
        free = []
        end = 0
    }
}
