#if Kafka
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
        taken.reserveCapacity(min(max, buffered))
        var run: (index: Int, until: Int64)?
        while taken.count < max {
            if !goesOn(run) { run = nextSlot() }
            guard let index = run?.index else { break }
            guard let ref = slots[index].popHead(), slots[index].entries.has(ref.number, ref.offset) else { continue }
            if let key = laneKey(index, ref.number) {
                let turn = slots[index].lanes[key]?.turn
                if let turn, turn != ref.offset {
                    slots[index].lanes[key]?.waiting.append(ref)
                    continue
                }
                if turn == nil { slots[index].lanes[key] = PartitionSlot.Lane(turn: ref.offset) }
            }
            let counted = slots[index].tracker.attempts.isEmpty ? 0 : slots[index].tracker.attempts[ref.offset] ?? 0
            let attempt = slots[index].entries[ref.number].parcel.attempts + counted + 1
            guard attempt <= settings.maxAttempts else {
                exhaust(index, ref.number, attempts: attempt - 1, wall: wall)
                continue
            }
            taken.append(handOver(index, ref, attempt, to: consumer, now: now))
        }
        return taken
    }

    private mutating func handOver(
        _ index: Int,
        _ ref: PartitionSlot.Ref,
        _ attempt: Int,
        to consumer: UInt32,
        now: Duration
    ) -> Delivery {
        deliveries &+= 1
        let expiry = now + settings.lease
        nextExpiry = min(nextExpiry ?? expiry, expiry)
        slots[index].entries[ref.number].hold = PartitionEntries.Hold(
            consumer: consumer,
            delivery: deliveries,
            attempt: attempt,
            expiry: expiry
        )
        slots[index].inFlight += 1
        inFlight += 1
        setOut(true, index, ref.number)
        if ref.offset > slots[index].tracker.high { slots[index].tracker.high = ref.offset }
        touch(index)
        if forgetsSuspect(index, ref.offset) { suspect?.phase = .inFlight }
        // Field by field, so that nothing is copied but what is handed over.
        return Delivery(
            message: slots[index].entries[ref.number].parcel.message,
            queue: settings.queue,
            group: settings.group,
            attempt: attempt,
            receipt: Receipt(
                high: UInt64(ref.number),
                low: deliveries,
                fence: slots[index].generation,
                source: slots[index].source
            ),
            publishedAt: UnixTime.date(slots[index].entries[ref.number].published),
            redrives: slots[index].entries[ref.number].parcel.redrives,
            history: slots[index].entries[ref.number].parcel.history
        )
    }

    /// Whether the next message of a partition is the oldest still, so that nobody has to look at the others.
    private func goesOn(_ run: (index: Int, until: Int64)?) -> Bool {
        guard let run, suspect == nil, let head = slots[run.index].head,
            !slots[run.index].tracker.isSuspect(head.offset)
        else { return false }
        return slots[run.index].entries[head.number].timestamp <= run.until
    }

    /// The partition whose next message is the oldest, and until when it is; `nil` when nothing may be handed over.
    private mutating func nextSlot() -> (index: Int, until: Int64)? {
        if let suspect {
            // Alone: nobody else's crash may be taken for its own.
            guard suspect.phase == .reserved, inFlight == 0, let index = slotIndex[suspect.place] else { return nil }
            if slots[index].head?.offset == suspect.offset { return (index, .min) }
            // Something older came back meanwhile; it is a suspect itself.
            self.suspect = nil
        }
        var best: (index: Int, timestamp: Int64)?
        var others = Int64.max
        var isSuspect = false
        for index in slots.indices where slots[index].role.isDelivered {
            guard let head = slots[index].head else { continue }
            let timestamp = slots[index].entries[head.number].timestamp
            let isCandidate = slots[index].tracker.isSuspect(head.offset)
            if isCandidate != isSuspect {
                // What may have been in flight at a crash goes first.
                guard isCandidate else { continue }
                (best, isSuspect) = (nil, true)
            }
            guard let found = best, found.timestamp <= timestamp else {
                others = min(others, best?.timestamp ?? .max)
                best = (index, timestamp)
                continue
            }
            others = min(others, timestamp)
        }
        guard let best else { return nil }
        guard isSuspect else { return (best.index, others) }
        guard inFlight == 0, let head = slots[best.index].head else { return nil }
        touch(best.index)
        suspect = Suspect(place: slots[best.index].place, offset: head.offset, phase: .reserving(sequence))
        isUrgent = true
        return nil
    }

    /// Gives up on a message that was delivered as often as it may be.
    private mutating func exhaust(_ index: Int, _ number: Int, attempts: Int, wall: Int64) {
        let envelope = slots[index].entries[number].parcel.envelope
        let letter = envelope.deadLetter(
            group: settings.group,
            reason: .attemptsExhausted,
            error: envelope.history.last?.error,
            attempts: attempts,
            now: wall
        )
        move(index, number, .deadLetters, letter)
    }

    // MARK: - Giving back

    /// Makes a delivery available to others.
    ///
    /// - Parameters:
    ///   - index: The partition.
    ///   - number: The entry of a delivery that is held.
    ///   - isCounted: Whether it counts as an attempt.
    mutating func giveBack(_ index: Int, _ number: Int, isCounted: Bool) {
        letGo(index, number, isCounted: isCounted)
        ready(index, number)
    }

    /// Ends a delivery whose message stays.
    mutating func letGo(_ index: Int, _ number: Int, isCounted: Bool) {
        let offset = slots[index].entries[number].offset
        slots[index].entries[number].hold = nil
        slots[index].inFlight -= 1
        inFlight -= 1
        if isCounted { slots[index].tracker.count(offset) }
        forgetSuspect(index, offset)
        setOut(false, index, number)
        touch(index)
    }

    /// Makes a message ready again; it is its key's turn still.
    mutating func ready(_ index: Int, _ number: Int) {
        slots[index].putBack(PartitionSlot.Ref(offset: slots[index].entries[number].offset, number: number))
    }

    /// Ends a consumer's membership; what it is settling ends as that does.
    mutating func leave(_ consumer: UInt32) {
        guard participants.removeValue(forKey: consumer) != nil else { return }
        for index in slots.indices {
            for ref in slots[index].entries.held({ $0.consumer == consumer && !$0.isSettling }) {
                giveBack(index, ref.number, isCounted: true)
            }
        }
    }
}
#endif
