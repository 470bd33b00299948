import Messaging

extension Mutants {
    /// Mutants that no case sees yet: each is a check that is missing.
    ///
    /// One that a case kills belongs into ``all``, with that case named.
    public static let unseen: [Mutant] = [
        Mutant("letters-unsorted", "dead letters are not listed oldest first", killedBy: []) {
            $0.onDeadLetters = { base, query throws(QueueError) in
                let page = try await base.letters(query)
                return Page(page.elements.reversed(), next: page.next)
            }
        },
        Mutant(
            "cancelled-receive-silent",
            "a receive that was cancelled returns nothing instead of saying so",
            killedBy: []
        ) {
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                let result = await attempt { () throws(QueueError) in
                    try await consumer.base.receive(max: max, wait: wait)
                }
                if case .failure(let error) = result, error.code == .cancelled { return [] }
                return try result.get()
            }
        },
        Mutant("consumers-uncounted", "no consumer is counted", killedBy: []) {
            $0.changeFigures { $0.consumers = .exact(0) }
        },
        Mutant("oldest-unknown", "the age of the oldest message is never known", killedBy: []) {
            $0.changeFigures { $0.oldestAge = nil }
        },
        Mutant("queue-figures-off", "what is scheduled, stored and arrived is wrong", killedBy: []) {
            $0.onStatistics = { base, queue throws(QueueError) in
                var statistics = try await base.statistics(of: queue)
                statistics.scheduled = .exact(-1)
                statistics.stored = .exact(-1)
                statistics.arrived = .exact(-1)
                return statistics
            }
        },
        Mutant("due-date-ignored", "a message that is due at a date comes at once", killedBy: []) {
            $0.changeMessages { if case .at = $0.due { $0.due = nil } }
        },
        Mutant("consumer-names-unchecked", "a consumer may have any name", killedBy: []) {
            $0.onConsume = { base, opening throws(QueueError) in
                let name = NameRules.isValid(opening.consumer) ? opening.consumer : "c"
                return try await base.consume(
                    opening.queue,
                    group: opening.group,
                    consumer: name,
                    options: opening.options
                )
            }
        },
        Mutant("settings-unchecked", "a lease, bound or number of attempts may be anything", killedBy: []) {
            $0.onDeclare = { base, definition throws(QueueError) in
                let result = await attempt { () throws(QueueError) in try await base.declare(definition) }
                if case .failure(let error) = result, error.code != .invalidArgument { throw error }
            }
        },
        Mutant("max-unchecked", "a receive may ask for any number", killedBy: []) {
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                try await consumer.base.receive(max: min(Swift.max(1, max), 1000), wait: wait)
            }
        },
        Mutant("headers-reversed", "headers come in another order", killedBy: []) {
            $0.changeDeliveries { $0.message.headers = MessageHeaders($0.message.headers.reversed()) }
        },
        Mutant("drift-of-ordering", "another order or bound is accepted and forgotten", killedBy: []) {
            $0.onDeclare = { base, definition throws(QueueError) in
                var definition = definition
                if let known = try await base.definition(of: definition.name) {
                    definition.ordering = known.ordering
                    definition.maxReady = known.maxReady
                }
                try await base.declare(definition)
            }
        },
        Mutant("late-reject-settled", "rejecting a lost lease says settled", killedBy: []) {
            $0.onSettle = { consumer, requests throws(QueueError) in
                var outcomes = try await consumer.base.settle(requests)
                for (index, request) in requests.enumerated() {
                    if case .leaseLost = outcomes[index], case .reject = request.settlement {
                        outcomes[index] = .settled
                    }
                }
                return outcomes
            }
        },
        Mutant("renew-by-anyone", "a consumer may renew what another one holds", killedBy: []) {
            $0.onRenew = { consumer, receipts throws(QueueError) in
                var renewed = try await consumer.base.renew(receipts)
                for other in consumer.client.notes.consumers where other.name != consumer.name {
                    let also = (try? await other.base.renew(receipts)) ?? []
                    for index in also.indices where also[index] { renewed[index] = true }
                }
                return renewed
            }
        },
        Mutant("cancelled-id-stays-known", "the id of a message that was cancelled counts as published", killedBy: []) {
            let known = Memory<MessageID>()
            $0.onCancel = { base, ids, queue throws(QueueError) in
                for id in ids { known.insert(id) }
                return try await base.cancelScheduled(ids, of: queue)
            }
            $0.onPublish = { base, messages, queue throws(QueueError) in
                if messages.contains(where: { known.contains($0.id) }) { return messages.map { _ in .duplicate } }
                return try await base.publish(messages, to: queue)
            }
        },
        Mutant("letters-of-nothing", "the dead letters of a missing queue can be listed", killedBy: []) {
            $0.onDeadLetters = { base, query throws(QueueError) in
                if try await base.definition(of: query.queue) == nil { return Page([], next: nil) }
                return try await base.letters(query)
            }
        },
        Mutant("letter-due-dropped", "a dead letter of a scheduled message loses its time", killedBy: []) {
            $0.changeLetters { $0.message.due = nil }
        },
        Mutant("letter-error-cut", "the error of a rejection is cut after 20 characters", killedBy: []) {
            $0.changeSettlements {
                if case .reject(let reason, let error) = $0 {
                    .reject(reason: reason, error: error.map { String($0.prefix(20)) })
                } else {
                    $0
                }
            }
        },
    ]
}
