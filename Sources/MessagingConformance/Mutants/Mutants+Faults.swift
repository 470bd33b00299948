import Messaging
import Synchronization

extension Mutants {
    /// What a backend does wrong when something breaks.
    static let faults: [Mutant] = [
        Mutant(
            "unknown-is-accepted",
            "a publication without an answer counts as accepted",
            killedBy: [
                "pub.ambiguous", "pub.notSent", "pub.cutSweep", "pub.retryAmbiguous", "fault.blackhole", "fault.chaos",
            ]
        ) {
            $0.changeOutcomes { _, _, outcome, _ in if case .indeterminate = outcome { .accepted } else { outcome } }
        },
        Mutant(
            "unknown-is-refused",
            "a publication without an answer counts as refused",
            killedBy: ["pub.ambiguous", "pub.cutSweep"]
        ) {
            $0.changeOutcomes { _, _, outcome, _ in
                if case .indeterminate(let error) = outcome {
                    .refused(QueueError(.unavailable, error.message))
                } else {
                    outcome
                }
            }
        },
        Mutant(
            "publishes-again-unasked",
            "what was not answered is published again under a new id",
            killedBy: ["pub.notSent", "pub.cutSweep"]
        ) {
            $0.changeOutcomes { base, message, outcome, queue throws(QueueError) in
                if case .indeterminate = outcome { _ = try await base.publish([message.copy()], to: queue) }
                return outcome
            }
        },
        Mutant(
            "new-id-on-retry",
            "a message that is published again gets a new id",
            killedBy: ["pub.retryAmbiguous"]
        ) {
            let known = Memory<MessageID>()
            $0.changeMessages { if !known.insert($0.id) { $0 = $0.copy(due: $0.due) } }
        },
        Mutant("confirmed-too-early", "publish confirms before the broker has the message", killedBy: ["pub.confirmed"])
        {
            let box = Box()
            $0.onPublish = { base, messages, queue throws(QueueError) in
                let before = box.swap(messages)
                if !before.isEmpty { _ = try await base.publish(before, to: queue) }
                return messages.map { _ in .accepted }
            }
        },
        Mutant(
            "lost-after-outage",
            "the first message that is published after an outage is confirmed and lost",
            killedBy: ["pub.brokerDown", "fault.restart", "fault.kill9Broker"]
        ) {
            let isBack = Flag()
            $0.onPublish = { base, messages, queue throws(QueueError) in
                if isBack.take() { return messages.map { _ in .accepted } }
                let result = await attempt { () throws(QueueError) in try await base.publish(messages, to: queue) }
                if case .failure(let error) = result, error.code == .unavailable { isBack.set() }
                return try result.get()
            }
        },
        Mutant(
            "outage-is-final",
            "the error of an outage says that trying again cannot help",
            killedBy: ["pub.brokerDown", "fault.readOnly", "fault.restart"]
        ) {
            $0.onPublish = { base, messages, queue throws(QueueError) in
                let result = await attempt { () throws(QueueError) in try await base.publish(messages, to: queue) }
                if case .failure(let error) = result, error.code == .unavailable {
                    throw QueueError(.unavailable, error.message, isRetryable: false)
                }
                return try result.get()
            }
        },
        Mutant(
            "unknown-is-settled",
            "a settlement without an answer counts as settled",
            killedBy: ["settle.ackUnknown"]
        ) {
            $0.changeSettleOutcomes { outcome in
                if case .failed(let error) = outcome, error.code == .indeterminate { .settled } else { outcome }
            }
        },
        Mutant(
            "late-is-settled",
            "the settlement of a lost lease says settled",
            killedBy: ["crash.halfOpen", "fault.blackhole", "lease.fenceMoves"]
        ) {
            $0.changeSettleOutcomes { if case .leaseLost = $0 { .settled } else { $0 } }
        },
        Mutant(
            "takeover-uncounted",
            "what is taken over comes as the first attempt",
            killedBy: ["crash.kill9", "crash.halfOpen", "crash.loop", "settle.ackUnknown"]
        ) { $0.changeDeliveries { $0.attempt = 1 } },
        Mutant("dead-stay-registered", "consumers of dead processes are counted for ever", killedBy: ["crash.reaper"]) {
            $0.changeFigures { $0.consumers = .exact(($0.consumers.value ?? 0) + 1) }
        },
        Mutant(
            "crash-loop-endless",
            "a message that kills its consumers is delivered for ever",
            killedBy: ["crash.loop"]
        ) { $0.changeDefinitions { for index in $0.groups.indices { $0.groups[index].maxAttempts = 1000 } } },
        Mutant("delay-lost-in-crash", "what is delayed is there at once", killedBy: ["delay.durable"]) {
            $0.changeMessages { $0.due = nil }
        },
        Mutant(
            "closed-stays-registered",
            "a consumer that was closed stays in its group",
            killedBy: ["life.brokerLeaks"]
        ) {
            $0.changeFigures { $0.consumers = .exact(($0.consumers.value ?? 0) + 1) }
        },
        Mutant(
            "reject-removes-first",
            "a rejection whose answer does not come has removed the message and written no dead letter",
            killedBy: ["dlq.cutSweep"]
        ) {
            $0.onSettle = { consumer, requests throws(QueueError) in
                let outcomes = try await consumer.base.settle(requests)
                let ids = zip(requests, outcomes).compactMap { request, outcome -> MessageID? in
                    guard case .reject = request.settlement, case .failed = outcome else { return nil }
                    return consumer.notes.delivery(request.receipt)?.message.id
                }
                let base = consumer.client.base
                let letters = ids.isEmpty ? [] : try await base.allLetters(of: consumer.queue)
                let lost = letters.filter { ids.contains($0.message.id) }.map(\.id)
                _ = try await base.discardDeadLetters(lost, of: consumer.queue)
                return outcomes
            }
        },
        Mutant(
            "reject-in-two-steps",
            "a rejection is a discarded message and then a dead letter, which a kill may come between",
            killedBy: ["dlq.atomic"]
        ) {
            $0.onSettle = { consumer, requests throws(QueueError) in
                let changed = requests.map { request in
                    guard case .reject = request.settlement else { return request }
                    // Every third process is killed between its two steps.
                    let id = consumer.notes.delivery(request.receipt)?.message.id.rawValue ?? ""
                    return id.hasSuffix("7") ? SettleRequest(request.receipt, .discard) : request
                }
                return try await consumer.base.settle(changed)
            }
        },
        Mutant(
            "reject-without-room-is-done",
            "a rejection that finds no room says that it was settled",
            killedBy: ["dlq.unavailable"]
        ) {
            $0.onSettle = { consumer, requests throws(QueueError) in
                let result = await attempt { () throws(QueueError) in try await consumer.base.settle(requests) }
                if case .failure(let error) = result, error.code == .unavailable {
                    return requests.map { _ in .settled }
                }
                return try result.get()
            }
        },
        Mutant(
            "redrive-removes-first",
            "a redrive removes dead letters before it sends them",
            killedBy: ["dlq.redriveKill"]
        ) {
            $0.onRedrive = { base, ids, queue throws(QueueError) in
                guard let last = ids.last else { return [] }
                _ = try await base.discardDeadLetters([last], of: queue)
                return try await base.redrive(ids.dropLast(), of: queue) + [last]
            }
        },
    ]
}

/// What one client of a mutant puts off.
private final class Box: Sendable {
    private let messages = Mutex<[Message]>([])

    /// Keeps messages and returns those that were kept before.
    func swap(_ new: [Message]) -> [Message] {
        messages.withLock { messages in
            defer { messages = new }
            return messages
        }
    }
}

/// Something that happened and was not dealt with yet.
private final class Flag: Sendable {
    private let isSet = Mutex(false)

    func set() { isSet.withLock { $0 = true } }

    func take() -> Bool {
        isSet.withLock { isSet in
            defer { isSet = false }
            return isSet
        }
    }
}
