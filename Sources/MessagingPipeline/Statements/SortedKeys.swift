/// The order and id of statements, sorted, in pieces short enough to insert into.
struct SortedKeys {
    struct Key {
        let order: String
        let id: String
    }

    private static let pieceLimit = 512

    // No piece is empty.
    private var pieces: [[Key]] = []
    private(set) var count = 0

    /// Inserts a key unless there is one with the same order.
    mutating func insert(_ key: Key) {
        guard let piece = piece(of: key.order) else {
            pieces.append([key])
            count = 1
            return
        }
        let position = Self.firstIndex(in: pieces[piece]) { $0.order >= key.order }
        if position < pieces[piece].count, pieces[piece][position].order == key.order { return }
        pieces[piece].insert(key, at: position)
        count += 1
        if pieces[piece].count > Self.pieceLimit {
            let half = pieces[piece].count / 2
            let upper = Array(pieces[piece][half...])
            pieces[piece].removeSubrange(half...)
            pieces.insert(upper, at: piece + 1)
        }
    }

    /// Removes the key with an order, if there is one.
    mutating func remove(_ order: String) {
        guard let piece = piece(of: order) else { return }
        let position = Self.firstIndex(in: pieces[piece]) { $0.order >= order }
        guard position < pieces[piece].count, pieces[piece][position].order == order else { return }
        pieces[piece].remove(at: position)
        count -= 1
        if pieces[piece].isEmpty { pieces.remove(at: piece) }
    }

    /// Visits the keys below an order, or all of them, from the greatest down, until the visitor says false.
    func visitDown(below order: String?, _ visit: (Key) -> Bool) {
        guard var piece = order.map(piece(of:)) ?? (pieces.isEmpty ? nil : pieces.count - 1) else { return }
        var end = order.map { order in Self.firstIndex(in: pieces[piece]) { $0.order >= order } } ?? pieces[piece].count
        while true {
            for key in pieces[piece][..<end].reversed() where !visit(key) { return }
            guard piece > 0 else { return }
            piece -= 1
            end = pieces[piece].count
        }
    }

    /// The piece an order belongs to; nil when there is no piece.
    private func piece(of order: String) -> Int? {
        pieces.isEmpty ? nil : max(0, Self.firstIndex(in: pieces) { $0[0].order > order } - 1)
    }

    private static func firstIndex<Element>(in array: [Element], where isBehind: (Element) -> Bool) -> Int {
        var low = 0
        var high = array.count
        while low < high {
            let middle = (low + high) / 2
            if isBehind(array[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
