#if Kafka
import Messaging
import Synchronization

extension GroupMember {
    /// Ends deliveries.
    ///
    /// - Parameters:
    ///   - requests: The settlements.
    ///   - consumer: Who settles.
    ///   - isConfirmed: Whether to wait for the broker's word; otherwise only when the member may have been given up.
    /// - Returns: An outcome for each.
    func settle(
        _ requests: [SettleRequest],
        by consumer: UInt32,
        isConfirmed: Bool = false
    ) async -> [SettleOutcome] {
        let now = clock.now()
        var (settling, sequence, isProven) = shared.withLock { shared in
            shared.lastCall = now
            let settling = shared.state.settle(requests, by: consumer, wall: wall)
            return (settling, shared.state.sequence, now - shared.state.proof < settings.trust)
        }
        if !settling.moves.isEmpty {
            let failures = await write(settling.moves.map(\.move))
            sequence = shared.withLock { shared in
                for ((index, move), failure) in zip(settling.moves, failures) {
                    settling.outcomes[index] = shared.state.conclude(move, failure, by: consumer)
                }
                return shared.state.sequence
            }
            isProven = shared.withLock { clock.now() - $0.state.proof < settings.trust }
        }
        nudge()
        guard isConfirmed || !isProven, settling.outcomes.contains(where: { $0.isSettled }) else {
            return settling.outcomes
        }
        if await confirmed(sequence) { return settling.outcomes }
        // The broker did not take the commit: the messages come again, to whoever has them now.
        return settling.outcomes.map { $0.isSettled ? .leaseLost : $0 }
    }

    /// Waits for a commit that covers a change.
    func confirmed(_ sequence: UInt64, within time: Duration = .seconds(10)) async -> Bool {
        let deadline = clock.now() + time
        return await withCheckedContinuation { continuation in
            let answer: Bool? = shared.withLock { shared in
                if shared.state.committed >= sequence { return true }
                if shared.hasEnded { return false }
                shared.state.isUrgent = true
                shared.confirmations.append(
                    Confirmation(sequence: sequence, deadline: deadline, continuation: continuation)
                )
                return nil
            }
            if let answer { continuation.resume(returning: answer) } else { wake() }
        }
    }

    /// Writes copies.
    ///
    /// - Returns: For each why it is not certainly on the broker; `nil` when it is.
    func write(_ moves: [MemberState.Move]) async -> [QueueError?] {
        let orders = moves.map { move in
            KafkaPublisher.Order(place: place(of: move), payload: move.envelope.payload)
        }
        let reports: [KafkaReport]
        do throws(KafkaFailure) {
            reports = try await publisher.write(orders)
        } catch {
            let failure = KafkaErrors.error(error, queue: settings.queue)
            return moves.map { _ in failure }
        }
        return reports.map { report in
            guard let failure = report.failure, report.persistence != .persisted else { return nil }
            let error = KafkaErrors.error(failure, queue: settings.queue)
            guard report.persistence == .possibly else { return error }
            return QueueError(
                .indeterminate,
                "a copy of the message may have been written: \(failure)",
                queue: settings.queue,
                underlying: failure
            )
        }
    }

    private func place(of move: MemberState.Move) -> TopicPartition {
        let (queue, group) = (settings.queue, settings.group)
        switch move.destination {
        case .retry:
            let topic = KafkaNames.retry(queue, group)
            let count = partitions[topic] ?? 1
            let lane = move.envelope.key.map { Lanes.partition(of: $0, among: count) }
            return TopicPartition(
                topic: topic,
                partition: lane ?? Int32(truncatingIfNeeded: move.offset % Int64(count))
            )
        case .delay(let level):
            let topic = KafkaNames.delay(queue, group)
            return TopicPartition(topic: topic, partition: Int32(min(level, (partitions[topic] ?? 1) - 1)))
        case .deadLetters: return TopicPartition(topic: KafkaNames.deadLetters(queue), partition: 0)
        }
    }

    func renew(_ receipts: [Receipt], by consumer: UInt32) -> [Bool] {
        let now = clock.now()
        return shared.withLock { shared in
            shared.lastCall = now
            return shared.state.renew(receipts, by: consumer, now: now)
        }
    }

    /// Removes what all groups have finished, beside the thread.
    func removeFinished() {
        Task {
            guard await clean() else { return }
            let next = clock.now() + cleanInterval
            shared.withLock { shared in
                if shared.cleaning == nil { shared.cleaning = next }
            }
            nudge()
        }
    }
}

extension SettleOutcome {
    var isSettled: Bool {
        if case .settled = self { true } else { false }
    }
}
#endif
