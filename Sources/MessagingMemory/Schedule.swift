import Messaging

#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// Published messages whose time has not come: those with a delay wait for the clock, those with a date for the calendar.
struct Schedule: Sendable {
    struct Item: Sendable {
        let message: Message
        let due: Date
        let published: Date
        let number: UInt64
    }

    private struct Calendar: Comparable, Sendable {
        let due: Date
        let number: UInt64

        static func < (left: Calendar, right: Calendar) -> Bool {
            left.due == right.due ? left.number < right.number : left.due < right.due
        }
    }

    private var items: [UInt64: Item] = [:]
    /// What is on its way elsewhere.
    private var reserved: [UInt64: Item] = [:]
    private var numbers: [MessageID: [UInt64]] = [:]
    private var delays = BinaryHeap<Deadline>()
    private var dates = BinaryHeap<Calendar>()
    private var last: UInt64 = 0

    /// The reserved ones included.
    var count: Int { items.count + reserved.count }
    var isEmpty: Bool { items.isEmpty }

    /// Adds a message that waits for the clock, or for the calendar when there is no deadline.
    mutating func add(_ message: Message, due: Date, deadline: Duration?, published: Date) {
        last += 1
        items[last] = Item(message: message, due: due, published: published, number: last)
        numbers[message.id, default: []].append(last)
        if let deadline {
            delays.insert(Deadline(at: deadline, number: last))
        } else {
            dates.insert(Calendar(due: due, number: last))
        }
    }

    /// Takes the messages whose time has come, earliest first.
    mutating func takeDue(now: Duration, date: Date) -> [Item] {
        var due: [Item] = []
        while let first = delays.min, first.at <= now {
            delays.popMin()
            if let item = remove(first.number) { due.append(item) }
        }
        while let first = dates.min, first.due <= date {
            dates.popMin()
            if let item = remove(first.number) { due.append(item) }
        }
        return due.count > 1 ? due.sorted { Self.key($0) < Self.key($1) } : due
    }

    /// Removes all messages of an id.
    mutating func cancel(_ id: MessageID) -> Bool {
        guard let cancelled = numbers[id] else { return false }
        for number in cancelled { _ = remove(number) }
        // What was cancelled leaves the heaps when it outweighs what is there.
        if delays.count + dates.count > 2 * items.count + 64 {
            let items = items
            delays.keep { items[$0.number] != nil }
            dates.keep { items[$0.number] != nil }
        }
        return true
    }

    /// Returns when the next message is due, by the clock.
    mutating func next(now: Duration, date: Date) -> Duration? {
        while let first = delays.min, items[first.number] == nil { delays.popMin() }
        while let first = dates.min, items[first.number] == nil { dates.popMin() }
        // Not further than a day, because the calendar can be set.
        let calendar = dates.min.map { first in
            now + .seconds(Swift.min(Swift.max(first.due.timeIntervalSince(date), 0.001), 86400))
        }
        return [delays.min?.at, calendar].compactMap { $0 }.min()
    }

    // MARK: On their way elsewhere

    /// Reserves a message; returns whether it is reserved now.
    mutating func reserve(_ number: UInt64) -> Bool {
        if reserved[number] != nil { return true }
        guard let item = remove(number) else { return false }
        reserved[number] = item
        return true
    }

    mutating func putBack(_ number: UInt64) -> Bool {
        guard let item = reserved.removeValue(forKey: number) else { return false }
        items[number] = item
        numbers[item.message.id, default: []].append(number)
        dates.insert(Calendar(due: item.due, number: number))
        return true
    }

    mutating func removeReserved(_ number: UInt64) -> Bool { reserved.removeValue(forKey: number) != nil }

    func all(isReserved: Bool) -> [Item] {
        (isReserved ? reserved : items).values.sorted { $0.number < $1.number }
    }

    // MARK: Looking

    func page(after cursor: String?, limit: Int) -> Page<ScheduledMessage>? {
        var start: (UInt64, UInt64)?
        if let cursor {
            let parts = cursor.split(separator: "-").compactMap { UInt64($0) }
            guard parts.count == 2 else { return nil }
            start = (parts[0], parts[1])
        }
        let rest = items.values.filter { item in start.map { Self.key(item) > $0 } ?? true }
            .sorted { Self.key($0) < Self.key($1) }
        let shown = rest.prefix(limit)
        let next = rest.count > limit ? shown.last.map { "\(Self.key($0).0)-\($0.number)" } : nil
        return Page(shown.map { ScheduledMessage(message: $0.message, due: $0.due) }, next: next)
    }

    private mutating func remove(_ number: UInt64) -> Item? {
        guard let item = items.removeValue(forKey: number) else { return nil }
        numbers[item.message.id]?.removeAll { $0 == number }
        if numbers[item.message.id]?.isEmpty == true { numbers[item.message.id] = nil }
        return item
    }

    /// Orders by due time, and by arrival among equals; the number of a date sorts as the date does.
    private static func key(_ item: Item) -> (UInt64, UInt64) {
        let bits = item.due.timeIntervalSinceReferenceDate.bitPattern
        return (bits >> 63 == 1 ? ~bits : bits | 1 << 63, item.number)
    }
}
