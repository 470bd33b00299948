import Messaging

extension Mutants {
    static let ordering: [Mutant] = [
        Mutant(
            "keys-ignored",
            "a keyed queue is unordered",
            killedBy: ["order.key", "order.keyRetry", "order.keyDead", "order.rebalance"]
        ) {
            $0.changeDefinitions { $0.ordering = .unordered }
        },
        Mutant(
            "batch-reversed",
            "a batch is stored from last to first",
            killedBy: ["order.keyDead", "group.replay", "order.single"]
        ) {
            $0.onPublish = { base, messages, queue throws(QueueError) in
                try await base.publish(messages.reversed(), to: queue).reversed()
            }
        },
        Mutant("release-loses-turn", "what is released goes behind the others of its key", killedBy: ["order.key"]) {
            $0.republish { delivery, settlement in
                settlement == .release && delivery.message.key != nil ? delivery.message.copy() : nil
            }
        },
        Mutant("retry-loses-turn", "what is retried goes behind the others of its key", killedBy: ["order.keyRetry"]) {
            $0.republish { delivery, settlement in
                guard case .retry(let delay, _) = settlement, delivery.message.key != nil else { return nil }
                return delivery.message.copy(due: .after(delay))
            }
        },
        Mutant("dead-letter-blocks-key", "a key ends with its first dead letter", killedBy: ["order.keyDead"]) {
            let blocked = Memory<String>()
            $0.onSettle = { consumer, requests throws(QueueError) in
                for request in requests {
                    guard case .reject = request.settlement else { continue }
                    if let key = consumer.notes.delivery(request.receipt)?.message.key { blocked.insert(key) }
                }
                return try await consumer.base.settle(requests)
            }
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                try await consumer.base.receive(max: max, wait: wait).filter { delivery in
                    delivery.message.key.map { !blocked.contains($0) } ?? true
                }
            }
        },
        Mutant(
            "more-than-asked",
            "a receive returns one more than was asked for",
            killedBy: ["par.bound", "stats.model"]
        ) {
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                try await consumer.base.receive(max: min(max + 1, 1000), wait: wait)
            }
        },
        Mutant("wait-ignored", "a receive does not wait", killedBy: ["par.wait"]) {
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                try await consumer.base.receive(max: max, wait: .zero)
            }
        },
        Mutant(
            "takes-ahead",
            "a receive leases more than it returns",
            killedBy: ["par.bound", "stats.model", "par.slowPeer", "settle.dropped"]
        ) {
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                let deliveries = try await consumer.base.receive(max: min(max * 2, 1000), wait: wait)
                return Array(deliveries.prefix(max))
            }
        },
        Mutant("close-loses-turn", "what a closed consumer held goes behind its key", killedBy: ["order.rebalance"]) {
            $0.onLeave = { consumer in
                let held = consumer.notes.deliveries
                let requests = held.map { SettleRequest($0.receipt, .acknowledge) }
                let result = await attempt { () throws(QueueError) in try await consumer.base.settle(requests) }
                let outcomes = (try? result.get()) ?? []
                let copies = zip(held, outcomes).filter { if case .settled = $1 { true } else { false } }
                    .map { $0.0.message.copy() }
                _ = await attempt { () throws(QueueError) in
                    try await consumer.client.base.publish(copies, to: consumer.queue)
                }
                await consumer.base.close()
            }
        },
    ]
}
