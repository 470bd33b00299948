#if Kafka
import HeapModule
import Messaging

extension MemberState {
    /// Lets time pass: leases run out, delays end.
    mutating func advance(now: Duration, wall: Int64) {
        if let nextExpiry, nextExpiry <= now { expire(now: now) }
        guard mayMove else { return }
        let isProven = now - proof < settings.trust
        if isProven {
            for timer in doubtful { timers.insert(timer) }
            doubtful = []
        }
        while let timer = timers.min, timer.at <= wall {
            _ = timers.popMin()
            if isProven || timer.purpose != .due { fire(timer, wall: wall) } else { doubt(timer, now: now) }
        }
        for index in slots.indices where slots[index].crowd.isOn && !slots[index].role.isDelivered {
            if isProven { hop(index, wall: wall) } else { prove(index, now: now) }
        }
    }

    /// Lets something that is due wait until the broker has taken a commit: a member that was stopped for long may be none
    /// any more, and others move what waits, or have reserved it.
    private mutating func doubt(_ timer: Timer, now: Duration) {
        guard let index = slotIndex(timer.place, timer.generation) else { return }
        doubtful.append(timer)
        prove(index, now: now)
    }

    private mutating func prove(_ index: Int, now: Duration) {
        guard committing == nil else { return }
        if !slots[index].isDirty { touch(index) }
        if now >= nextCommit { isUrgent = true }
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
            // What is being copied to another level is moved on from there; what is reserved waits until it is put back.
            if entry.isMoving || isReserved(index, timer.offset) { return }
            slots[index].entries[timer.number].isMoving = true
            var copy = entry.parcel.envelope
            if copy.reason == DeadLetterReason.undecodable.rawValue {
                return move(index, timer.number, .deadLetters, copy)
            }
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
        var looked = 0
        for ref in slots[index].entries.inOrder where ref.offset >= base && !isReserved(index, ref.offset) {
            looked += 1
            guard looked <= 100 else { return }
            let entry = slots[index].entries[ref.number]
            var copy = entry.parcel.envelope
            guard let due = copy.again ?? copy.due, entry.timestamp + length <= wall, due > wall, !entry.isMoving
            else { continue }
            slots[index].entries[ref.number].isMoving = true
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
        // What must not be moved now is looked at when the reservations have been read.
        if mayMove, let timer = timers.min {
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
