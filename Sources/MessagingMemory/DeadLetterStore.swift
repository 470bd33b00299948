import Messaging

/// The dead letters of all groups of a queue, oldest first.
struct DeadLetterStore: Sendable {
    struct Record: Sendable {
        let letter: DeadLetter
        /// The number of the group that gave up on it.
        let group: Int
        let redrives: Int
        /// It is on its way elsewhere, and nobody else's to see or to change.
        var isReserved = false
    }

    /// How many dead letters one call looks at, so that a filter that matches nothing cannot hold the queue up.
    private static let scanned = 10_000

    private var records = SparseLog<Record>()

    var count: Int { records.count }
    var all: [Record] {
        var found: [Record] = []
        var number = records.next(from: 0)
        while let next = number {
            if let record = records[next] { found.append(record) }
            number = records.next(from: next + 1)
        }
        return found
    }

    /// Adds a dead letter.
    ///
    /// - Parameter make: Creates it with its id.
    mutating func append(_ make: (String) -> Record) {
        _ = records.append(make("\(records.end)"))
    }

    mutating func remove(_ id: String, isReserved: Bool = false) -> Record? {
        guard let number = UInt64(id), records.read(number, { $0.isReserved }) == isReserved else { return nil }
        return records.remove(number)
    }

    /// Reserves a dead letter; returns whether it is reserved now.
    mutating func reserve(_ number: UInt64) -> Bool { records.update(number) { $0.isReserved = true } != nil }

    mutating func putBack(_ number: UInt64) -> Bool {
        guard records.read(number, { $0.isReserved }) == true else { return false }
        return records.update(number) { $0.isReserved = false } != nil
    }

    /// Returns a page, or `nil` when the cursor is not one of ours.
    func page(matching filter: DeadLetterFilter, after cursor: String?, limit: Int) -> Page<DeadLetter>? {
        page(after: cursor, limit: limit) { !$0.isReserved && filter.matches($0.letter) }.map { page in
            Page(page.elements.map(\.letter), next: page.next)
        }
    }

    /// Returns a page of what a condition holds for, or `nil` when the cursor is not one of ours.
    func page(after cursor: String?, limit: Int, where condition: (Record) -> Bool) -> Page<Record>? {
        var position: UInt64 = 0
        if let cursor {
            guard let last = UInt64(cursor), last < .max else { return nil }
            position = last + 1
        }
        var found: [Record] = []
        var seen = 0
        while let number = records.next(from: position) {
            guard found.count < limit, seen < Self.scanned else { return Page(found, next: "\(position - 1)") }
            seen += 1
            position = number + 1
            if let record = records[number], condition(record) { found.append(record) }
        }
        return Page(found, next: nil)
    }
}
