#if Kafka
import Messaging

extension MemberState {
    /// What settlements lead to: those that are decided, and copies that must be written first.
    struct Settling {
        var outcomes: [SettleOutcome]
        var moves: [(index: Int, move: Move)] = []
    }

    /// Begins settlements; what needs no copy ends here.
    ///
    /// - Parameters:
    ///   - requests: The settlements.
    ///   - consumer: Who settles.
    ///   - wall: The time of messages.
    /// - Returns: An outcome for each, and the copies to be written; each of those needs ``conclude(_:_:by:)``.
    mutating func settle(_ requests: [SettleRequest], by consumer: UInt32, wall: Int64) -> Settling {
        var settling = Settling(outcomes: Array(repeating: .leaseLost, count: requests.count))
        guard let name = participants[consumer]?.name else { return settling }
        for (position, request) in requests.enumerated() {
            guard let (index, number) = holding(request.receipt, by: consumer),
                let hold = slots[index].entries[number].hold
            else {
                if settled.contains(request.receipt.low, by: consumer) { settling.outcomes[position] = .alreadySettled }
                continue
            }
            if hold.isSettling {
                settling.outcomes[position] = .alreadySettled
            } else if let move = settle(request, hold, index, number, name, wall) {
                slots[index].entries[number].hold?.isSettling = true
                settling.moves.append((position, move))
            } else {
                settled.insert(hold.delivery, by: consumer)
                settling.outcomes[position] = .settled
            }
        }
        return settling
    }

    /// Whether a settlement is being written.
    var isSettling: Bool { slots.contains { $0.inFlight > 0 && !$0.entries.held(\.isSettling).isEmpty } }

    /// - Returns: The copy that must be written before the delivery ends; `nil` when it has ended.
    private mutating func settle(
        _ request: SettleRequest,
        _ hold: PartitionEntries.Hold,
        _ index: Int,
        _ number: Int,
        _ name: String,
        _ wall: Int64
    ) -> Move? {
        switch request.settlement {
        case .acknowledge, .discard:
            end(index, number)
            return nil
        case .release:
            giveBack(index, number, isCounted: false)
            return nil
        case .retry(let delay, let error):
            var envelope = slots[index].entries[number].parcel.envelope
            envelope.note(hold.attempt, at: wall, by: name, error)
            if hold.attempt >= settings.maxAttempts {
                let letter = envelope.deadLetter(
                    group: settings.group,
                    reason: .attemptsExhausted,
                    error: error,
                    attempts: hold.attempt,
                    now: wall
                )
                return move(request.receipt, index, number, .deadLetters, letter)
            }
            let milliseconds = min(delay.milliseconds, DelayLevels.longest)
            if laneKey(index, number) != nil {
                keep(index, number, envelope, until: wall + milliseconds)
                return nil
            }
            envelope.attempts = hold.attempt
            envelope.published = slots[index].entries[number].published
            guard milliseconds > 0 else { return move(request.receipt, index, number, .retry, envelope) }
            // The time at which it was to come first is told to the handler, and stays.
            envelope.again = wall + milliseconds
            let level = DelayLevels.level(for: milliseconds)
            return move(request.receipt, index, number, .delay(level: level), envelope)
        case .reject(let reason, let error):
            var envelope = slots[index].entries[number].parcel.envelope
            envelope.note(hold.attempt, at: wall, by: name, error)
            envelope.published = slots[index].entries[number].published
            let letter = envelope.deadLetter(
                group: settings.group,
                reason: reason,
                error: error,
                attempts: hold.attempt,
                now: wall
            )
            return move(request.receipt, index, number, .deadLetters, letter)
        }
    }

    private func move(
        _ receipt: Receipt,
        _ index: Int,
        _ number: Int,
        _ destination: Move.Destination,
        _ envelope: Envelope
    ) -> Move {
        Move(
            place: slots[index].place,
            offset: slots[index].entries[number].offset,
            number: number,
            generation: slots[index].generation,
            receipt: receipt,
            destination: destination,
            envelope: envelope
        )
    }

    /// Keeps a message of a key until its time, and with it the key.
    private mutating func keep(_ index: Int, _ number: Int, _ envelope: Envelope, until time: Int64) {
        letGo(index, number, isCounted: true)
        slots[index].entries[number].parcel.envelope = envelope
        setTimer(index, number, at: time, .back)
    }

    private mutating func end(_ index: Int, _ number: Int) {
        slots[index].inFlight -= 1
        inFlight -= 1
        finish(index, number)
    }

    /// Notes whether a settlement's copy was written.
    ///
    /// - Parameters:
    ///   - move: The copy.
    ///   - failure: Why it was not written, or that nobody knows.
    ///   - consumer: Who settles.
    /// - Returns: The outcome.
    mutating func conclude(_ move: Move, _ failure: QueueError?, by consumer: UInt32) -> SettleOutcome {
        guard let receipt = move.receipt else { return .leaseLost }
        let found = holding(receipt, by: consumer)
        if let failure {
            if let (index, number) = found { slots[index].entries[number].hold?.isSettling = false }
            return .failed(failure)
        }
        // If it is not held any more, whoever has the partition now delivers the original as well as the copy.
        guard let (index, number) = found else { return .leaseLost }
        end(index, number)
        settled.insert(receipt.low, by: consumer)
        return .settled
    }

    /// Notes whether a copy was written that a time or a broken message asked for.
    ///
    /// - Parameters:
    ///   - move: The copy.
    ///   - isWritten: Whether it is certainly on the broker; otherwise it is tried again.
    ///   - wall: The time of messages.
    mutating func conclude(_ move: Move, isWritten: Bool, wall: Int64) {
        guard let index = slotIndex(move.place, move.generation), slots[index].entries.has(move.number, move.offset)
        else { return }
        if isWritten { return finish(index, move.number) }
        setTimer(index, move.number, at: wall + 1000, .again)
        failed.append(move)
    }

    /// Starts leases anew.
    mutating func renew(_ receipts: [Receipt], by consumer: UInt32, now: Duration) -> [Bool] {
        receipts.map { receipt in
            guard let (index, number) = holding(receipt, by: consumer) else { return false }
            slots[index].entries[number].hold?.expiry = now + settings.lease
            return true
        }
    }
}
#endif
