#if Redis
import Messaging
import NIOConcurrencyHelpers

/// How deliveries end: decided once by the ledger, carried out by scripts that check the owner.
extension RedisConsumer {
    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        try checkOpen()
        var outcomes = [SettleOutcome](repeating: .leaseLost, count: requests.count)
        var plan = SettlePlan()
        state.withLockedValue { state in
            for (index, request) in requests.enumerated() {
                switch state.ledger.begin(request.receipt) {
                case .proceed: plan.add(index, request)
                case .alreadySettled: outcomes[index] = .alreadySettled
                case .leaseLost: outcomes[index] = .leaseLost
                }
            }
        }
        if plan.isEmpty { return outcomes }
        var calls: [ScriptCall] = []
        var steps = plan.steps()
        for step in steps { calls.append(call(for: step)) }
        if shouldTrim(plan.acknowledgements) {
            calls.append(ScriptCall(.trim, keys: [keys.log, keys.meta]))
        }
        let replies: [RedisReply]
        do {
            replies = try await owner.link.run(calls)
        } catch {
            let wasSent = error.code == .indeterminate
            state.withLockedValue { state in
                for (_, receipt) in plan.items {
                    state.ledger.end(receipt, .failed)
                    if wasSent { state.unknown.insert(receipt) }
                }
            }
            guard wasSent else { throw error.about(queue) }
            for (index, _) in plan.items { outcomes[index] = .failed(error.about(queue)) }
            return outcomes
        }
        for (step, reply) in zip(steps, replies) { conclude(step, reply, &outcomes) }
        steps.removeAll()
        return outcomes
    }

    /// Notes what one script call answered.
    private func conclude(_ step: SettlePlan.Step, _ reply: RedisReply, _ outcomes: inout [SettleOutcome]) {
        if let error = reply.error {
            let error = RedisErrors.error(error, queue: queue)
            state.withLockedValue { state in
                for (index, receipt) in step.items {
                    state.ledger.end(receipt, .failed)
                    outcomes[index] = .failed(error)
                }
            }
            return
        }
        let answers: [Int64]
        switch reply.integer {
        case nil: answers = reply.integers
        // All of them at once.
        case let count? where step.kind == .acknowledge && count == step.items.count:
            answers = Array(repeating: 1, count: step.items.count)
        case let answer?: answers = [answer]
        }
        state.withLockedValue { state in
            for (position, (index, receipt)) in step.items.enumerated() {
                let answer = position < answers.count ? answers[position] : 0
                let wasUnknown = !state.unknown.isEmpty && state.unknown.remove(receipt) != nil
                if answer == 1 {
                    state.ledger.end(receipt, .settled)
                    outcomes[index] = .settled
                } else if wasUnknown {
                    // The first attempt may have done it; nobody can tell it from a lost lease.
                    state.ledger.end(receipt, .leaseLost)
                    outcomes[index] = .failed(
                        QueueError(
                            .indeterminate,
                            "an earlier attempt to settle may have been carried out",
                            queue: queue,
                            isRetryable: false
                        )
                    )
                } else {
                    state.ledger.end(receipt, .leaseLost)
                    outcomes[index] = .leaseLost
                }
            }
        }
        if case .retry(let delay, _) = step.kind, delay > .zero { keeper.due(after: delay) }
    }

    private func call(for step: SettlePlan.Step) -> ScriptCall {
        let stream = step.isPrivate ? own.retry : keys.log
        let flag = step.isPrivate ? "1" : "0"
        let ids = step.items.map { EntryID($0.receipt) }
        switch step.kind {
        case .acknowledge: return ScriptCall(.acknowledge, keys: [stream], [group, name, flag], ids: ids)
        case .release:
            return ScriptCall(
                .release,
                keys: [stream, own.retry, keys.deadLetters, keys.meta],
                [group, name, flag, "0"],
                ids: ids
            )
        case .retry(let delay, let error):
            return ScriptCall(
                .retry,
                keys: [stream, own.retry, own.due, own.held, keys.deadLetters, keys.meta],
                [
                    group, name, flag, ids[0].description, String(delay.milliseconds), Failure.shortened(error ?? ""),
                    keys.wake,
                ]
            )
        case .reject(let reason, let error): return rejectCall(step.items[0].receipt, reason, error ?? "")
        }
    }

    func rejectCall(_ receipt: Receipt, _ reason: DeadLetterReason, _ error: String) -> ScriptCall {
        let isPrivate = receipt.source == GroupReader.privateSource
        return ScriptCall(
            .reject,
            keys: [isPrivate ? own.retry : keys.log, keys.deadLetters, keys.meta],
            [
                group, name, isPrivate ? "1" : "0", EntryID(receipt).description, reason.rawValue,
                Failure.shortened(error),
            ]
        )
    }

    private func shouldTrim(_ count: Int) -> Bool {
        state.withLockedValue { state in
            state.acknowledged += count
            guard state.acknowledged >= Self.trimEvery else { return false }
            state.acknowledged = 0
            return true
        }
    }
}
#endif
