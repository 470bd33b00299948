#if RabbitMQ
import Messaging

// How deliveries of a keyed queue end.

extension LaneRole {
    /// Settlements that were begun.
    struct Begun: Sendable {
        /// What takes a copy or a note first.
        struct Move: Sendable {
            var index: Int
            var handOver: UInt64
            var copy: OutgoingMessage
            /// The message as it waits for its next attempt, and when that is due; `nil` for one that leaves the lane.
            var again: (wire: WireMessage, due: Duration?)?
        }

        var outcomes: [SettleOutcome]
        var moves: [Move] = []
    }

    /// Carries out what needs no copy, and says what does.
    func begin(_ requests: [SettleRequest]) -> Begun {
        let now = QueueClock.system.now()
        expire(now)
        var begun = Begun(outcomes: Array(repeating: .leaseLost, count: requests.count))
        for (index, request) in requests.enumerated() {
            guard let handOver = context.handOver(request.receipt) else { continue }
            switch book.begin(handOver) {
            case .alreadySettled: begun.outcomes[index] = .alreadySettled
            case .leaseLost: break
            case .proceed(let message, let attempt):
                guard let wire = book.entries[message]?.wire else { continue }
                switch request.settlement {
                case .acknowledge, .discard:
                    finish(handOver, now)
                    begun.outcomes[index] = .settled
                case .release:
                    _ = book.pause(handOver, nil, until: nil, at: now)
                    begun.outcomes[index] = .settled
                case .reject(let reason, let error):
                    let copy = context.dead(wire, attempt, reason, error, consumer: context.name)
                    begun.moves.append(Begun.Move(index: index, handOver: handOver, copy: copy))
                case .retry(let delay, let error):
                    begun.moves.append(retry(index, handOver, wire, attempt, after: delay, error, now))
                }
            }
        }
        return begun
    }

    private func retry(
        _ index: Int,
        _ handOver: UInt64,
        _ wire: WireMessage,
        _ attempt: Int,
        after delay: Duration,
        _ error: String?,
        _ now: Duration
    ) -> Begun.Move {
        guard attempt < context.maxAttempts else {
            let copy = context.dead(wire, attempt, .attemptsExhausted, error, consumer: context.name)
            return Begun.Move(index: index, handOver: handOver, copy: copy)
        }
        let unixNow = UnixTime.milliseconds()
        var again = Copies.failed(wire, attempt: attempt, error: error, consumer: context.name, now: unixNow)
        (again.attempts, again.deliveries) = (attempt, 0)
        let due = delay > .zero ? now + delay : nil
        let note = LaneNote(again, due: due.map { _ in unixNow + delay.milliseconds + 1 }, isLeft: false)
        return Begun.Move(
            index: index,
            handOver: handOver,
            copy: note.message(queue: context.queue, group: context.group),
            again: (again, due)
        )
    }

    /// Takes back what has outlived its lease.
    func expire(_ now: Duration) {
        for message in book.expire(maxAttempts: context.maxAttempts, at: now) { bury(message) }
    }

    /// Makes a message a dead letter whose attempts are over.
    func bury(_ message: UInt64) {
        guard let wire = book.entries[message]?.wire else { return }
        let copy = context.dead(wire, wire.attempt - 1, .attemptsExhausted, nil, consumer: nil)
        helper.move(copy) { role in role.finished(message) }
    }

    /// Ends what was begun, after its copies were written or not.
    func conclude(_ begun: Begun, _ results: [PublishOutcome]) -> [SettleOutcome] {
        let now = QueueClock.system.now()
        var outcomes = begun.outcomes
        for (move, result) in zip(begun.moves, results) {
            guard result.isConfirmed else {
                book.resume(move.handOver)
                if let error = result.error { outcomes[move.index] = .failed(error.about(context.queue)) }
                continue
            }
            if let (wire, due) = move.again {
                let isHere = book.pause(move.handOver, wire, until: due, at: now)
                outcomes[move.index] = isHere ? .settled : .leaseLost
            } else if finish(move.handOver, now) {
                outcomes[move.index] = .settled
            } else {
                outcomes[move.index] = .failed(
                    QueueError(
                        .indeterminate,
                        "the lane was lost between the copy and the acknowledgement; the message comes twice",
                        queue: context.queue,
                        isRetryable: false
                    )
                )
            }
        }
        return outcomes
    }
}
#endif
