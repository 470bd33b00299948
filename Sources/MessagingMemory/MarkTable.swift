import Messaging

/// What is known of message ids, found by a hash that is computed once.
///
/// A dictionary of ids would hash and compare their texts, each behind a pointer of its own, whenever it grows or two fall on
/// neighbouring places: most of what publishing costs. Here places are plain numbers, half of which is the hash, and a table
/// that grows moves nothing else. Marks that belong to one place stand one behind the other (linear probing); the few that
/// find no place near theirs, or the many whose ids somebody has made for that, share a dictionary of the usual kind.
struct MarkTable: Sendable {
    struct Mark: Sendable {
        let id: MessageID
        /// A digest of the body; `nil` when only the id is known.
        let digest: UInt64?
        /// Tells marks of one id apart.
        let number: UInt64
    }

    /// How far from its place a mark is looked for; with half of the places free nearly all are much closer.
    private static let reach = 32

    private let hash: @Sendable (MessageID) -> UInt64
    /// As many as a power of two: the hash in the higher half, where the mark is, counted from 1, in the lower half.
    ///
    /// 0 is a free place.
    private var places: [UInt64] = Array(repeating: 0, count: 16)
    private var marks: [Mark] = []
    /// Where marks were removed.
    private var free: [Int] = []
    private var others: [MessageID: Mark] = [:]

    /// - Parameter hash: Hashes an id; not for security, so anything will do for a test.
    init(hash: @escaping @Sendable (MessageID) -> UInt64 = MarkTable.hash) { self.hash = hash }

    var count: Int { marks.count - free.count + others.count }

    func find(_ id: MessageID) -> Mark? {
        if let place = look(for: id, half(id)).found { return marks[index(places[place])] }
        return others.isEmpty ? nil : others[id]
    }

    /// Adds a mark unless there is one of its id.
    ///
    /// - Returns: The mark that is there already.
    mutating func insert(_ fresh: Mark) -> Mark? {
        if !others.isEmpty, let mark = others[fresh.id] { return mark }
        if (marks.count - free.count) * 2 >= places.count { grow() }
        let half = half(fresh.id)
        let (found, space) = look(for: fresh.id, half)
        if let found { return marks[index(places[found])] }
        guard let space else {
            others[fresh.id] = fresh
            return nil
        }
        if let index = free.popLast() {
            marks[index] = fresh
            places[space] = half << 32 | UInt64(index + 1)
        } else {
            marks.append(fresh)
            places[space] = half << 32 | UInt64(marks.count)
        }
        return nil
    }

    /// Removes the mark of an id, or only that of a number.
    mutating func remove(_ id: MessageID, number: UInt64? = nil) {
        guard let place = look(for: id, half(id)).found else {
            if !others.isEmpty, let mark = others[id], number == nil || mark.number == number { others[id] = nil }
            return
        }
        let index = index(places[place])
        guard number == nil || marks[index].number == number else { return }
        free.append(index)
        close(place)
    }

    /// Looks for an id up to the first free place.
    ///
    /// - Returns: Where it is, or else where there is room for it.
    private func look(for id: MessageID, _ half: UInt64) -> (found: Int?, space: Int?) {
        let mask = places.count - 1
        for step in 0..<Self.reach {
            let place = (Int(half) + step) & mask
            let entry = places[place]
            if entry == 0 { return (nil, place) }
            if entry >> 32 == half, marks[index(entry)].id == id { return (place, nil) }
        }
        return (nil, nil)
    }

    /// Frees a place, and moves what stands behind it because of it up: a search ends at the first free one.
    private mutating func close(_ place: Int) {
        let mask = places.count - 1
        var hole = place
        var next = (hole + 1) & mask
        while places[next] != 0 {
            let home = Int(places[next] >> 32) & mask
            if (next - home) & mask >= (next - hole) & mask {
                places[hole] = places[next]
                hole = next
            }
            next = (next + 1) & mask
        }
        places[hole] = 0
    }

    private mutating func grow() {
        let old = places
        let mask = old.count * 2 - 1
        places = Array(repeating: 0, count: mask + 1)
        for entry in old where entry != 0 {
            let home = Int(entry >> 32)
            if let step = (0..<Self.reach).first(where: { places[(home + $0) & mask] == 0 }) {
                places[(home + step) & mask] = entry
            } else {
                let index = index(entry)
                others[marks[index].id] = marks[index]
                free.append(index)
            }
        }
    }

    private func half(_ id: MessageID) -> UInt64 {
        let hash = hash(id)
        return (hash ^ hash >> 32) & 0xFFFF_FFFF
    }

    private func index(_ entry: UInt64) -> Int { Int(entry & 0xFFFF_FFFF) - 1 }

    private static func hash(_ id: MessageID) -> UInt64 { BodyDigest.of(id.rawValue) }
}
