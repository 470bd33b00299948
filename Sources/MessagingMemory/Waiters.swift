import DequeModule
import Messaging

/// What the calls to `receive` that found nothing wait in: first come, first served within a group.
struct Waiters: Sendable {
    typealias Answer = Result<[Delivery], QueueError>

    struct Waiter: Sendable {
        let continuation: CheckedContinuation<Answer, Never>
        let group: Int
        let consumer: UInt32
        let max: Int
        let until: Duration
    }

    private var waiters: [UInt64: Waiter] = [:]
    /// One line per group; who has left meanwhile is passed over.
    private var lines: [Int: Deque<UInt64>] = [:]
    private var deadlines = BinaryHeap<Deadline>()

    var isEmpty: Bool { waiters.isEmpty }
    /// The groups that somebody may wait for.
    var groups: [Int] { Array(lines.keys) }

    mutating func add(_ number: UInt64, _ waiter: Waiter) {
        waiters[number] = waiter
        lines[waiter.group, default: []].append(number)
        deadlines.insert(Deadline(at: waiter.until, number: number))
        let waiters = waiters
        if deadlines.count > 2 * waiters.count + 64 { deadlines.keep { waiters[$0.number] != nil } }
        if let count = lines[waiter.group]?.count, count > 2 * waiters.count + 64 {
            lines[waiter.group]?.removeAll { waiters[$0] == nil }
        }
    }

    mutating func first(of group: Int) -> (number: UInt64, waiter: Waiter)? {
        while let number = lines[group]?.first {
            if let waiter = waiters[number] { return (number, waiter) }
            lines[group]?.removeFirst()
        }
        lines[group] = nil
        return nil
    }

    mutating func remove(_ number: UInt64) -> Waiter? { waiters.removeValue(forKey: number) }

    mutating func removeAll(of consumer: UInt32) -> [Waiter] {
        waiters.filter { $0.value.consumer == consumer }.keys.compactMap { remove($0) }
    }

    mutating func removeAll() -> [Waiter] {
        defer { self = Waiters() }
        return Array(waiters.values)
    }

    /// Returns when the next waiter gives up.
    mutating func next() -> Duration? {
        while let first = deadlines.min, waiters[first.number] == nil { deadlines.popMin() }
        return deadlines.min?.at
    }

    mutating func takeExpired(now: Duration) -> [Waiter] {
        var expired: [Waiter] = []
        while let next = next(), next <= now, let deadline = deadlines.popMin() {
            if let waiter = remove(deadline.number) { expired.append(waiter) }
        }
        return expired
    }
}
