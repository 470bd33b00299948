import Messaging

extension Mutants {
    static let settlement: [Mutant] = [
        Mutant(
            "ack-forgotten",
            "an acknowledgement changes nothing",
            killedBy: ["settle.ack", "stats.model", "life.drain"]
        ) {
            $0.onSettle = { consumer, requests throws(QueueError) in
                var outcomes: [SettleOutcome] = []
                for request in requests {
                    let isLost = request.settlement == .acknowledge
                    outcomes += isLost ? [.settled] : try await consumer.base.settle([request])
                }
                return outcomes
            }
        },
        Mutant(
            "ack-forgotten-on-close",
            "what a consumer acknowledged comes again once it closes",
            killedBy: ["settle.ack"]
        ) {
            let done = Memory<Message>()
            $0.onSettle = { consumer, requests throws(QueueError) in
                for request in requests where request.settlement == .acknowledge {
                    if let delivery = consumer.notes.delivery(request.receipt) { done.insert(delivery.message) }
                }
                return try await consumer.base.settle(requests)
            }
            $0.onLeave = { consumer in
                let copies = consumer.notes.deliveries.map(\.message).filter(done.contains).map { $0.copy() }
                _ = await attempt { () throws(QueueError) in
                    try await consumer.client.base.publish(copies, to: consumer.queue)
                }
                await consumer.base.close()
            }
        },
        Mutant(
            "retry-loses",
            "a retry ends the message",
            killedBy: ["settle.retry", "retry.schedule", "group.private"]
        ) {
            $0.changeSettlements { if case .retry = $0 { .acknowledge } else { $0 } }
        },
        Mutant(
            "attempts-reset",
            "every delivery is on attempt 1",
            killedBy: ["settle.retry", "retry.schedule", "lease.expiry", "lease.maxAttempts", "life.giveBack"]
        ) {
            $0.changeDeliveries { $0.attempt = 1 }
        },
        Mutant(
            "history-dropped",
            "a delivery does not say how it failed before",
            killedBy: ["settle.retry", "retry.schedule", "dlq.redrive"]
        ) {
            $0.changeDeliveries { $0.history = [] }
        },
        Mutant(
            "retry-error-dropped",
            "the error of a retry is not kept",
            killedBy: ["settle.retry", "retry.schedule", "dlq.reason"]
        ) {
            $0.changeSettlements { if case .retry(let delay, _) = $0 { .retry(after: delay, error: nil) } else { $0 } }
        },
        Mutant("history-of-nobody", "the history does not name its consumers", killedBy: ["settle.retry"]) {
            $0.changeDeliveries { for index in $0.history.indices { $0.history[index].consumer = "" } }
        },
        Mutant(
            "discard-buries",
            "what is discarded becomes a dead letter",
            killedBy: ["settle.discard", "stats.model"]
        ) {
            $0.changeSettlements { $0 == .discard ? .reject(reason: .rejected, error: nil) : $0 }
        },
        Mutant("discard-returns", "what is discarded comes again", killedBy: ["settle.discard", "stats.model"]) {
            $0.changeSettlements { $0 == .discard ? .release : $0 }
        },
        Mutant("settled-twice", "a second settlement says settled", killedBy: ["settle.once"]) {
            $0.changeSettleOutcomes { if case .alreadySettled = $0 { .settled } else { $0 } }
        },
        Mutant("settled-called-lost", "a second settlement says that the lease was lost", killedBy: ["settle.once"]) {
            $0.changeSettleOutcomes { if case .alreadySettled = $0 { .leaseLost } else { $0 } }
        },
        Mutant("last-settlement-wins", "of two settlements in one call the last wins", killedBy: ["settle.once"]) {
            $0.onSettle = { consumer, requests throws(QueueError) in
                try await consumer.base.settle(requests.reversed()).reversed()
            }
        },
        Mutant("ack-cumulative", "an acknowledgement ends all deliveries before it", killedBy: ["settle.outOfOrder"]) {
            $0.onSettle = { consumer, requests throws(QueueError) in
                let outcomes = try await consumer.base.settle(requests)
                for request in requests where request.settlement == .acknowledge {
                    let before = consumer.notes.deliveries.prefix { $0.receipt != request.receipt }
                    _ = try await consumer.base.settle(before.map { SettleRequest($0.receipt, .acknowledge) })
                }
                return outcomes
            }
        },
        Mutant("release-counts", "a release counts as an attempt", killedBy: ["settle.release", "life.drainLimit"]) {
            $0.changeSettlements { $0 == .release ? .retry(after: .zero, error: nil) : $0 }
        },
        Mutant(
            "cancelled-receive-leases",
            "a receive that was cancelled takes the next message and keeps it",
            killedBy: ["settle.cancelRace"]
        ) {
            let cancelled = Memory<String>()
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                if cancelled.contains(consumer.name) {
                    guard try await consumer.base.receive(max: 1, wait: .zero).isEmpty else { return [] }
                }
                switch await attempt({ () throws(QueueError) in try await consumer.base.receive(max: max, wait: wait) })
                {
                case .success(let deliveries): return deliveries
                case .failure(let error):
                    if error.code == .cancelled { cancelled.insert(consumer.name) }
                    throw error
                }
            }
        },
        Mutant("at-most-once-redelivers", "at-most-once deliveries come again", killedBy: ["settle.atMostOnce"]) {
            $0.onConsume = { base, opening throws(QueueError) in
                try await base.consume(
                    opening.queue,
                    group: opening.group,
                    consumer: opening.consumer,
                    options: .init()
                )
            }
        },
        Mutant(
            "cancelled-receive-silent",
            "a receive that was cancelled returns nothing instead of saying so",
            killedBy: ["settle.cancelRace"]
        ) {
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                let result = await attempt { () throws(QueueError) in
                    try await consumer.base.receive(max: max, wait: wait)
                }
                if case .failure(let error) = result, error.code == .cancelled { return [] }
                return try result.get()
            }
        },
        Mutant(
            "delivery-is-final",
            "what is not settled never comes again",
            killedBy: ["settle.dropped", "lease.expiry", "settle.retry"]
        ) {
            $0.onConsume = { base, opening throws(QueueError) in
                try await base.consume(
                    opening.queue,
                    group: opening.group,
                    consumer: opening.consumer,
                    options: ConsumerOptions(mode: .atMostOnce)
                )
            }
            $0.onSettle = { _, requests in requests.map { _ in .settled } }
        },
    ]
}
