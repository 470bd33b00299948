#if Kafka
import DequeModule
import Messaging

extension MemberState {
    /// Hands over messages.
    ///
    /// - Parameters:
    ///   - consumer: Who gets them.
    ///   - max: The largest number.
    ///   - now: The time.
    ///   - wall: The time of messages.
    /// - Returns: The deliveries; none when nothing is ready.
    mutating func take(_ consumer: UInt32, max: Int, now: Duration, wall: Int64) -> [Delivery] {
        guard !isDraining, participants[consumer] != nil else { return [] }
        var taken: [Delivery] = []
        var run: (index: Int, until: Int64)?
        while taken.count < max {
            if !goesOn(run) { run = nextSlot() }
            guard let index = run?.index else { break }
            guard let offset = slots[index].popHead(), let item = slots[index].items[offset] else { continue }
            if let key = laneKey(index, item) {
                let turn = slots[index].lanes[key]?.turn
                if let turn, turn != offset {
                    slots[index].lanes[key]?.waiting.append(offset)
                    continue
                }
                if turn == nil { slots[index].lanes[key] = Lane(turn: offset) }
            }
            let attempt = item.envelope.attempts + (slots[index].tracker.attempts[offset] ?? 0) + 1
            guard attempt <= settings.maxAttempts else {
                exhaust(index, offset, item, attempts: attempt - 1, wall: wall)
                continue
            }
            taken.append(handOver(index, offset, item, attempt, to: consumer, now: now))
        }
        return taken
    }

    private mutating func handOver(
        _ index: Int,
        _ offset: Int64,
        _ item: Item,
        _ attempt: Int,
        to consumer: UInt32,
        now: Duration
    ) -> Delivery {
        deliveries += 1
        let receipt = Receipt(
            high: UInt64(clamping: offset),
            low: deliveries,
            fence: slots[index].generation,
            source: slots[index].source
        )
        let expiry = now + settings.lease
        inFlight[receipt] = Held(consumer: consumer, offset: offset, attempt: attempt, expiry: expiry)
        nextExpiry = min(nextExpiry ?? expiry, expiry)
        participants[consumer]?.ledger.handOver(receipt)
        slots[index].inFlight += 1
        setOut(true, index, offset)
        if offset > slots[index].tracker.high { slots[index].tracker.high = offset }
        touch(index)
        if forgetsSuspect(index, offset) { suspect?.phase = .inFlight }
        return Delivery(
            message: item.envelope.message,
            queue: settings.queue,
            group: settings.group,
            attempt: attempt,
            receipt: receipt,
            publishedAt: UnixTime.date(item.envelope.published ?? item.timestamp),
            redrives: item.envelope.redrives,
            history: item.envelope.history
        )
    }

    /// Whether the next message of a partition is the oldest still, so that nobody has to look at the others.
    private func goesOn(_ run: (index: Int, until: Int64)?) -> Bool {
        guard let run, suspect == nil, let head = slots[run.index].head, !slots[run.index].tracker.isSuspect(head),
            let item = slots[run.index].items[head]
        else { return false }
        return item.timestamp <= run.until
    }

    /// The partition whose next message is the oldest, and until when it is; `nil` when nothing may be handed over.
    private mutating func nextSlot() -> (index: Int, until: Int64)? {
        if let suspect {
            // Alone: nobody else's crash may be taken for its own.
            guard suspect.phase == .reserved, inFlight.isEmpty, let index = slotIndex[suspect.place] else { return nil }
            if slots[index].head == suspect.offset { return (index, .min) }
            // Something older came back meanwhile; it is a suspect itself.
            self.suspect = nil
        }
        var best: (index: Int, timestamp: Int64)?
        var others = Int64.max
        var isSuspect = false
        for index in slots.indices where slots[index].role.isDelivered {
            guard let head = slots[index].head, let item = slots[index].items[head] else { continue }
            let isCandidate = slots[index].tracker.isSuspect(head)
            if isCandidate != isSuspect {
                // What may have been in flight at a crash goes first.
                guard isCandidate else { continue }
                (best, isSuspect) = (nil, true)
            }
            guard let found = best, found.timestamp <= item.timestamp else {
                others = min(others, best?.timestamp ?? .max)
                best = (index, item.timestamp)
                continue
            }
            others = min(others, item.timestamp)
        }
        guard let best else { return nil }
        guard isSuspect else { return (best.index, others) }
        guard inFlight.isEmpty, let head = slots[best.index].head else { return nil }
        touch(best.index)
        suspect = Suspect(place: slots[best.index].place, offset: head, phase: .reserving(sequence))
        isUrgent = true
        return nil
    }

    /// Gives up on a message that was delivered as often as it may be.
    private mutating func exhaust(_ index: Int, _ offset: Int64, _ item: Item, attempts: Int, wall: Int64) {
        let letter = item.envelope.deadLetter(
            group: settings.group,
            reason: .attemptsExhausted,
            error: item.envelope.history.last?.error,
            attempts: attempts,
            now: wall
        )
        move(index, offset, .deadLetters, letter)
    }

    // MARK: - Giving back

    /// Makes a delivery available to others.
    ///
    /// - Parameters:
    ///   - receipt: A delivery that is held.
    ///   - isCounted: Whether it counts as an attempt.
    mutating func giveBack(_ receipt: Receipt, isCounted: Bool) {
        guard let held = inFlight.removeValue(forKey: receipt), let index = slotIndex(of: receipt) else { return }
        slots[index].inFlight -= 1
        if isCounted { slots[index].tracker.count(held.offset) }
        forgetSuspect(index, held.offset)
        setOut(false, index, held.offset)
        ready(index, held.offset)
        touch(index)
    }

    /// Makes a message ready again; it is its key's turn still.
    mutating func ready(_ index: Int, _ offset: Int64) {
        if slots[index].items[offset] != nil { slots[index].putBack(offset) }
    }

    /// Ends a consumer's membership.
    mutating func leave(_ consumer: UInt32) {
        guard var participant = participants.removeValue(forKey: consumer) else { return }
        for receipt in participant.ledger.takeAll() { giveBack(receipt, isCounted: true) }
    }
}
#endif
