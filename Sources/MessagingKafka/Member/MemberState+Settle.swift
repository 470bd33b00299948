#if Kafka
import HeapModule
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
            switch participants[consumer]?.ledger.begin(request.receipt) {
            case .alreadySettled:
                settling.outcomes[position] = .alreadySettled
                continue
            case .proceed: break
            case .leaseLost, nil: continue
            }
            guard let held = inFlight[request.receipt], let index = slotIndex(of: request.receipt) else {
                participants[consumer]?.ledger.end(request.receipt, .leaseLost)
                continue
            }
            if let move = settle(request, held, index, name, wall) {
                inFlight[request.receipt]?.isSettling = true
                settling.moves.append((position, move))
            } else {
                participants[consumer]?.ledger.end(request.receipt, .settled)
                settling.outcomes[position] = .settled
            }
        }
        return settling
    }

    /// - Returns: The copy that must be written before the delivery ends; `nil` when it has ended.
    private mutating func settle(
        _ request: SettleRequest,
        _ held: Held,
        _ index: Int,
        _ name: String,
        _ wall: Int64
    ) -> Move? {
        switch request.settlement {
        case .acknowledge, .discard:
            end(request.receipt, index, held.offset)
            return nil
        case .release:
            giveBack(request.receipt, isCounted: false)
            return nil
        case .retry(let delay, let error):
            guard var item = slots[index].items[held.offset] else { return nil }
            item.envelope.note(held.attempt, at: wall, by: name, error)
            if held.attempt >= settings.maxAttempts {
                let letter = item.envelope.deadLetter(
                    group: settings.group,
                    reason: .attemptsExhausted,
                    error: error,
                    attempts: held.attempt,
                    now: wall
                )
                return move(request.receipt, held, index, .deadLetters, letter)
            }
            let milliseconds = min(delay.milliseconds, DelayLevels.longest)
            if laneKey(index, item) != nil {
                hold(request.receipt, held, index, item, until: wall + milliseconds)
                return nil
            }
            var copy = item.envelope
            copy.attempts = held.attempt
            copy.published = copy.published ?? item.timestamp
            guard milliseconds > 0 else { return move(request.receipt, held, index, .retry, copy) }
            // The time at which it was to come first is told to the handler, and stays.
            copy.again = wall + milliseconds
            return move(
                request.receipt,
                held,
                index,
                .delay(level: DelayLevels.level(for: milliseconds)),
                copy
            )
        case .reject(let reason, let error):
            guard var item = slots[index].items[held.offset] else { return nil }
            item.envelope.note(held.attempt, at: wall, by: name, error)
            item.envelope.published = item.envelope.published ?? item.timestamp
            let letter = item.envelope.deadLetter(
                group: settings.group,
                reason: reason,
                error: error,
                attempts: held.attempt,
                now: wall
            )
            return move(request.receipt, held, index, .deadLetters, letter)
        }
    }

    private func move(
        _ receipt: Receipt,
        _ held: Held,
        _ index: Int,
        _ destination: Move.Destination,
        _ envelope: Envelope
    ) -> Move {
        Move(
            place: slots[index].place,
            offset: held.offset,
            generation: slots[index].generation,
            receipt: receipt,
            destination: destination,
            envelope: envelope
        )
    }

    /// Keeps a message of a key until its time, and with it the key.
    private mutating func hold(_ receipt: Receipt, _ held: Held, _ index: Int, _ item: Item, until: Int64) {
        inFlight[receipt] = nil
        slots[index].inFlight -= 1
        slots[index].items[held.offset] = item
        setOut(false, index, held.offset)
        slots[index].tracker.count(held.offset)
        forgetSuspect(index, held.offset)
        timers.insert(
            Timer(
                at: until,
                place: slots[index].place,
                offset: held.offset,
                generation: slots[index].generation,
                purpose: .back
            )
        )
        touch(index)
    }

    private mutating func end(_ receipt: Receipt, _ index: Int, _ offset: Int64) {
        inFlight[receipt] = nil
        slots[index].inFlight -= 1
        finish(index, offset)
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
        if let failure {
            inFlight[receipt]?.isSettling = false
            participants[consumer]?.ledger.end(receipt, inFlight[receipt] == nil ? .leaseLost : .failed)
            return .failed(failure)
        }
        guard inFlight[receipt] != nil, let index = slotIndex(of: receipt) else {
            // The copy is written, and whoever has the partition now delivers the original too.
            participants[consumer]?.ledger.end(receipt, .leaseLost)
            return .leaseLost
        }
        end(receipt, index, move.offset)
        participants[consumer]?.ledger.end(receipt, .settled)
        return .settled
    }

    /// Notes whether a copy was written that a time or a broken message asked for.
    ///
    /// - Parameters:
    ///   - move: The copy.
    ///   - isWritten: Whether it is certainly on the broker; otherwise it is tried again.
    ///   - wall: The time of messages.
    mutating func conclude(_ move: Move, isWritten: Bool, wall: Int64) {
        guard let index = slotIndex(move.place, move.generation) else { return }
        if isWritten { return finish(index, move.offset) }
        timers.insert(
            Timer(
                at: wall + 1000,
                place: move.place,
                offset: move.offset,
                generation: move.generation,
                purpose: .again
            )
        )
        failed.append(move)
    }

    /// Starts leases anew.
    mutating func renew(_ receipts: [Receipt], by consumer: UInt32, now: Duration) -> [Bool] {
        receipts.map { receipt in
            guard inFlight[receipt]?.consumer == consumer, slotIndex(of: receipt) != nil else {
                participants[consumer]?.ledger.lose(receipt)
                return false
            }
            inFlight[receipt]?.expiry = now + settings.lease
            return true
        }
    }
}
#endif
