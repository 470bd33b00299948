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
        nextExpiry = nil
        for index in slots.indices where slots[index].inFlight > 0 {
            for ref in slots[index].entries.held({ !$0.isSettling && $0.expiry <= now }) {
                giveBack(index, ref.number, isCounted: true)
            }
            guard let next = slots[index].entries.nextExpiry(now: now) else { continue }
            nextExpiry = min(nextExpiry ?? next, next)
        }
    }

    private mutating func fire(_ timer: Timer, wall: Int64) {
        guard let index = slotIndex(timer.place, timer.generation),
            slots[index].entries.has(timer.number, timer.offset)
        else { return }
        switch timer.purpose {
        case .back: ready(index, timer.number)
        case .due:
            let entry = slots[index].entries[timer.number]
            // What is being copied to another level is moved on from there.
            if entry.isHopping { return }
            var copy = entry.parcel.envelope
            copy.again = nil
            copy.published = entry.published
            move(index, timer.number, .retry, copy)
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
        for ref in slots[index].entries.inOrder.prefix(100) where ref.offset >= base {
            let entry = slots[index].entries[ref.number]
            var copy = entry.parcel.envelope
            guard let due = copy.again ?? copy.due, entry.timestamp + length <= wall, due > wall, !entry.isHopping
            else { continue }
            slots[index].entries[ref.number].isHopping = true
            copy.published = entry.published
            copy.again = due
            move(index, ref.number, .delay(level: DelayLevels.level(for: due - wall)), copy)
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
