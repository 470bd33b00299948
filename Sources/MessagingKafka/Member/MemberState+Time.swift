#if Kafka
import HeapModule
import Messaging

extension MemberState {
    /// Lets time pass: leases run out, delays end.
    mutating func advance(now: Duration, wall: Int64) {
        if let nextExpiry, nextExpiry <= now { expire(now: now) }
        while let timer = timers.min, timer.at <= wall {
            _ = timers.popMin()
            fire(timer, wall: wall)
        }
        for index in slots.indices where slots[index].crowd.isOn && !slots[index].role.isDelivered {
            hop(index, wall: wall)
        }
    }

    private mutating func expire(now: Duration) {
        let over = inFlight.filter { !$0.value.isSettling && $0.value.expiry <= now }
        for (receipt, held) in over.sorted(by: { $0.value.offset < $1.value.offset }) {
            participants[held.consumer]?.ledger.lose(receipt)
            giveBack(receipt, isCounted: true)
        }
        // What is being settled is looked at again when that should have ended.
        nextExpiry = inFlight.values.map { $0.isSettling ? max($0.expiry, now + .seconds(1)) : $0.expiry }.min()
    }

    private mutating func fire(_ timer: Timer, wall: Int64) {
        guard let index = slotIndex(timer.place, timer.generation) else { return }
        switch timer.purpose {
        case .back: ready(index, timer.offset)
        case .due:
            guard let item = slots[index].items[timer.offset] else { return }
            var copy = item.envelope
            copy.again = nil
            copy.published = copy.published ?? item.timestamp
            move(index, timer.offset, .retry, copy)
        case .again:
            guard let position = failed.firstIndex(where: { $0.place == timer.place && $0.offset == timer.offset })
            else { return }
            moves.append(failed.remove(at: position))
        }
    }

    /// Makes room in a level that is full: the oldest have stayed as long as they must and go on to the level of what
    /// is left.
    private mutating func hop(_ index: Int, wall: Int64) {
        let length = DelayLevels.lengths[min(Int(slots[index].place.partition), DelayLevels.lengths.count - 1)]
        guard length > 0, let base = slots[index].tracker.base else { return }
        for offset in slots[index].items.keys.sorted().prefix(100) where offset >= base {
            guard let item = slots[index].items[offset], let due = item.envelope.again ?? item.envelope.due,
                item.timestamp + length <= wall, due > wall, !slots[index].hopping.contains(offset)
            else { continue }
            slots[index].hopping.insert(offset)
            var copy = item.envelope
            copy.published = copy.published ?? item.timestamp
            copy.again = due
            move(index, offset, .delay(level: DelayLevels.level(for: due - wall)), copy)
        }
    }

    /// How long nothing happens by itself.
    ///
    /// - Parameters:
    ///   - now: The time.
    ///   - wall: The time of messages.
    ///   - limit: The longest answer.
    /// - Returns: The time until the next thing.
    func idle(now: Duration, wall: Int64, limit: Duration) -> Duration {
        var next = now + limit
        if let nextExpiry { next = min(next, nextExpiry) }
        for waiter in waiters { next = min(next, waiter.deadline) }
        if let timer = timers.min {
            next = min(next, now + .milliseconds(max(0, min(timer.at - wall, 86_400_000))))
        }
        if committing == nil, !isDraining, hasChanges { next = min(next, isUrgent ? now : nextCommit) }
        for slot in slots where slot.crowd.isOn && !slot.role.isDelivered { next = min(next, now + .milliseconds(250)) }
        return max(.zero, next - now)
    }

    // MARK: - Waiting

    /// Answers calls that wait, in the order they came.
    ///
    /// - Returns: The answers; none of them empty but those whose time has passed.
    mutating func serve(now: Duration, wall: Int64) -> [(id: UInt64, deliveries: [Delivery])] {
        if waiters.isEmpty { return [] }
        var answers: [(id: UInt64, deliveries: [Delivery])] = []
        var left: [Waiter] = []
        for waiter in waiters {
            let taken = take(waiter.consumer, max: waiter.max, now: now, wall: wall)
            if !taken.isEmpty || waiter.deadline <= now {
                answers.append((waiter.id, taken))
            } else {
                left.append(waiter)
            }
        }
        waiters = left
        return answers
    }
}
#endif
