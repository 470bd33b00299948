import Messaging

extension Mutants {
    static let publishing: [Mutant] = [
        Mutant("dedupe-off", "an id that was published before is accepted again", killedBy: ["pub.retrySameID"]) {
            $0.changeOutcomes { base, message, outcome, queue throws(QueueError) in
                guard case .duplicate = outcome else { return outcome }
                _ = try await base.publish([message.copy(due: message.due)], to: queue)
                return .accepted
            }
        },
        Mutant("duplicate-stored", "a duplicate is called so and stored again", killedBy: ["pub.retrySameID"]) {
            $0.changeOutcomes { base, message, outcome, queue throws(QueueError) in
                if case .duplicate = outcome { _ = try await base.publish([message.copy()], to: queue) }
                return outcome
            }
        },
        Mutant("dedupe-per-client", "a client knows only its own ids", killedBy: ["pub.retrySameID"]) {
            let known = Memory<MessageID>()
            $0.changeOutcomes { base, message, outcome, queue throws(QueueError) in
                let isNew = known.insert(message.id)
                guard case .duplicate = outcome, isNew else { return outcome }
                _ = try await base.publish([message.copy()], to: queue)
                return .accepted
            }
        },
        Mutant("dedupe-for-ever", "an id is never forgotten", killedBy: ["pub.dedupExpiry"]) {
            let known = Memory<MessageID>()
            $0.onPublish = { base, messages, queue throws(QueueError) in
                var outcomes: [PublishOutcome] = []
                for message in messages {
                    if known.contains(message.id) {
                        outcomes.append(.duplicate)
                        continue
                    }
                    let outcome = try await base.publish([message], to: queue)
                    if case .accepted? = outcome.first { known.insert(message.id) }
                    outcomes += outcome
                }
                return outcomes
            }
        },
        Mutant("id-conflict-swallowed", "an id with another body passes for a duplicate", killedBy: ["pub.idConflict"])
        {
            $0.changeOutcomes { _, _, outcome, _ in outcome.error?.code == .idConflict ? .duplicate : outcome }
        },
        Mutant("id-conflict-accepted", "an id with another body is another message", killedBy: ["pub.idConflict"]) {
            $0.changeOutcomes { base, message, outcome, queue throws(QueueError) in
                guard outcome.error?.code == .idConflict else { return outcome }
                _ = try await base.publish([message.copy()], to: queue)
                return .accepted
            }
        },
        Mutant("publish-creates-queue", "publishing creates the queue that is missing", killedBy: ["pub.unroutable"]) {
            $0.onPublish = { base, messages, queue throws(QueueError) in
                if try await base.definition(of: queue) == nil { try await base.declare(QueueDefinition(queue)) }
                return try await base.publish(messages, to: queue)
            }
        },
        Mutant("publish-to-nowhere", "publishing to a missing queue is accepted", killedBy: ["pub.unroutable"]) {
            $0.onPublish = { base, messages, queue throws(QueueError) in
                if try await base.definition(of: queue) == nil { return messages.map { _ in .accepted } }
                return try await base.publish(messages, to: queue)
            }
        },
        Mutant("consume-creates-group", "consuming creates the group that is missing", killedBy: ["pub.unroutable"]) {
            $0.onConsume = { base, opening throws(QueueError) in
                if var definition = try await base.definition(of: opening.queue),
                    !definition.groups.contains(where: { $0.name == opening.group })
                {
                    definition.groups = [GroupDefinition(opening.group)]
                    try await base.declare(definition)
                }
                return try await base.open(opening)
            }
        },
        Mutant("figures-of-nothing", "a missing queue has figures", killedBy: ["pub.unroutable"]) {
            $0.onStatistics = { base, queue throws(QueueError) in
                if try await base.definition(of: queue) == nil {
                    return QueueStatistics(queue: queue, groups: [], scheduled: .exact(0), stored: .exact(0))
                }
                return try await base.statistics(of: queue)
            }
        },
        Mutant("bound-ignored", "a full queue accepts", killedBy: ["pub.queueFull"]) {
            $0.changeDefinitions { $0.maxReady = nil }
        },
        Mutant("refusal-remembered", "an id that was refused counts as published", killedBy: ["pub.queueFull"]) {
            let refused = Memory<MessageID>()
            $0.onPublish = { base, messages, queue throws(QueueError) in
                var outcomes: [PublishOutcome] = []
                for message in messages {
                    if refused.contains(message.id) {
                        outcomes.append(.duplicate)
                        continue
                    }
                    let outcome = try await base.publish([message], to: queue)
                    if outcome.first?.error?.code == .queueFull { refused.insert(message.id) }
                    outcomes += outcome
                }
                return outcomes
            }
        },
        Mutant("letters-of-nothing", "the dead letters of a missing queue can be listed", killedBy: ["pub.unroutable"])
        {
            $0.onDeadLetters = { base, query throws(QueueError) in
                if try await base.definition(of: query.queue) == nil { return Page([], next: nil) }
                return try await base.letters(query)
            }
        },
        Mutant("large-batch-cut", "of a large batch the first thousand are published", killedBy: ["pub.large"]) {
            $0.onPublish = { base, messages, queue throws(QueueError) in
                let outcomes = try await base.publish(Array(messages.prefix(1000)), to: queue)
                return outcomes + messages.dropFirst(1000).map { _ in .accepted }
            }
        },
        Mutant(
            "refusals-last",
            "the outcomes of a batch do not stand in its order",
            killedBy: ["pub.large", "rt.partialBatch"]
        ) {
            $0.onPublish = { base, messages, queue throws(QueueError) in
                let outcomes = try await base.publish(messages, to: queue)
                return outcomes.filter { $0.error == nil } + outcomes.filter { $0.error != nil }
            }
        },
    ]
}
