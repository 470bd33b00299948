import Messaging

/// What is known of message ids, found by a hash that is computed once.
///
/// A dictionary of ids would hash and compare their texts, each behind a pointer of its own, whenever it grows or two fall on
/// neighbouring places: most of what publishing costs. Ids whose hashes are equal share a dictionary of the usual kind.
struct MarkTable: Sendable {
    struct Mark: Sendable {
        let id: MessageID
        /// A digest of the body; `nil` when only the id is known.
        let digest: UInt64?
        /// Tells marks of one id apart.
        let number: UInt64
    }

    private let hash: @Sendable (MessageID) -> UInt64
    private var marks: [UInt64: Mark] = [:]
    private var others: [MessageID: Mark] = [:]

    /// - Parameter hash: Hashes an id; not for security, so anything will do for a test.
    init(hash: @escaping @Sendable (MessageID) -> UInt64 = MarkTable.hash) { self.hash = hash }

    var count: Int { marks.count + others.count }

    func find(_ id: MessageID) -> Mark? {
        if let mark = marks[hash(id)], mark.id == id { return mark }
        return others.isEmpty ? nil : others[id]
    }

    /// Adds a mark unless there is one of its id.
    ///
    /// - Returns: The mark that is there already.
    mutating func insert(_ fresh: Mark) -> Mark? {
        if !others.isEmpty, let mark = others[fresh.id] { return mark }
        let mark = Self.value(&marks[hash(fresh.id), default: fresh])
        if mark.number == fresh.number { return nil }
        if mark.id == fresh.id { return mark }
        others[fresh.id] = fresh
        return nil
    }

    /// Removes the mark of an id, or only that of a number.
    mutating func remove(_ id: MessageID, number: UInt64? = nil) {
        if let index = marks.index(forKey: hash(id)), marks.values[index].id == id {
            if number == nil || marks.values[index].number == number { marks.remove(at: index) }
        } else if !others.isEmpty, let mark = others[id], number == nil || mark.number == number {
            others[id] = nil
        }
    }

    private static func value(_ mark: inout Mark) -> Mark { mark }

    private static func hash(_ id: MessageID) -> UInt64 { BodyDigest.of(id.rawValue) }
}
