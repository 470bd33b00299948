import Messaging

/// The dead letters of all groups of a queue, oldest first.
struct DeadLetterStore: Sendable {
    struct Record: Sendable {
        let letter: DeadLetter
        /// The number of the group that gave up on it.
        let group: Int
        let redrives: Int
    }

    /// How many dead letters one call looks at, so that a filter that matches nothing cannot hold the queue up.
    private static let scanned = 10_000

    private var records = SparseLog<Record>()

    var count: Int { records.count }

    /// Adds a dead letter.
    ///
    /// - Parameter make: Creates it with its id.
    mutating func append(_ make: (String) -> Record) {
        _ = records.append(make("\(records.end)"))
    }

    mutating func remove(_ id: String) -> Record? { UInt64(id).flatMap { records.remove($0) } }

    /// Returns a page, or `nil` when the cursor is not one of ours.
    func page(matching filter: DeadLetterFilter, after cursor: String?, limit: Int) -> Page<DeadLetter>? {
        var position: UInt64 = 0
        if let cursor {
            guard let last = UInt64(cursor), last < .max else { return nil }
            position = last + 1
        }
        var found: [DeadLetter] = []
        var seen = 0
        while let number = records.next(from: position) {
            guard found.count < limit, seen < Self.scanned else { return Page(found, next: "\(position - 1)") }
            seen += 1
            position = number + 1
            if let letter = records[number]?.letter, filter.matches(letter) { found.append(letter) }
        }
        return Page(found, next: nil)
    }
}
