import Messaging
import Synchronization

extension Mutants {
    static let retries: [Mutant] = [
        Mutant("retry-early", "a retry comes at half its delay", killedBy: ["retry.schedule", "order.keyRetry"]) {
            $0.changeSettlements { changed($0) { $0 / 2 } }
        },
        Mutant("retry-at-once", "a retry comes without its delay", killedBy: ["retry.schedule", "order.keyRetry"]) {
            $0.changeSettlements { changed($0) { _ in .zero } }
        },
        Mutant("retry-late", "a retry comes at twice its delay", killedBy: ["retry.schedule"]) {
            $0.changeSettlements { changed($0) { $0 * 2 } }
        },
        Mutant("delay-early", "a message comes at half its delay", killedBy: ["delay.precision"]) {
            $0.changeMessages { $0.due = changed($0.due) { $0 / 2 } }
        },
        Mutant("delay-late", "a message comes at twice its delay", killedBy: ["delay.precision"]) {
            $0.changeMessages { $0.due = changed($0.due) { $0 * 2 } }
        },
        Mutant(
            "delay-ignored",
            "a message comes without its delay",
            killedBy: ["delay.precision", "schedule.cancel", "schedule.deliver", "stats.model"]
        ) {
            $0.changeMessages { $0.due = nil }
        },
        Mutant("delays-in-line", "a message waits behind one that is due later", killedBy: ["delay.precision"]) {
            let last = Mutex(Duration.zero)
            $0.changeMessages { message in
                message.due = changed(message.due) { delay in
                    last.withLock { last in
                        last = max(last, delay)
                        return last
                    }
                }
            }
        },
        Mutant("schedule-hidden", "scheduled messages are not listed", killedBy: ["schedule.cancel"]) {
            $0.onScheduled = { _ in [] }
        },
        Mutant("schedule-unsorted", "scheduled messages are not listed by time", killedBy: ["schedule.cancel"]) {
            $0.onScheduled = { $0.reversed() }
        },
        Mutant(
            "cancel-forgotten",
            "a cancelled message comes all the same",
            killedBy: ["schedule.cancel", "stats.model"]
        ) {
            $0.onCancel = { base, ids, queue throws(QueueError) in
                let listed = try await base.scheduled(of: queue, after: nil, limit: 1000).elements
                return listed.map(\.message.id).filter(ids.contains)
            }
        },
        Mutant("cancel-says-all", "cancelling names what it did not cancel", killedBy: ["schedule.cancel"]) {
            $0.onCancel = { base, ids, queue throws(QueueError) in
                _ = try await base.cancelScheduled(ids, of: queue)
                return ids
            }
        },
        Mutant("cancel-takes-all", "cancelling one message cancels all", killedBy: ["schedule.cancel", "stats.model"]) {
            $0.onCancel = { base, ids, queue throws(QueueError) in
                let cancelled = try await base.cancelScheduled(ids, of: queue)
                let listed = try await base.scheduled(of: queue, after: nil, limit: 1000).elements
                _ = try await base.cancelScheduled(listed.map(\.message.id), of: queue)
                return cancelled
            }
        },
        Mutant(
            "schedule-to-one-group",
            "a scheduled message comes to the first group alone",
            killedBy: ["schedule.deliver"]
        ) {
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                let deliveries = try await consumer.base.receive(max: max, wait: wait)
                let first = try await consumer.client.base.definition(of: consumer.queue)?.groups.first?.name
                guard first != consumer.group else { return deliveries }
                let late = deliveries.filter { $0.message.due != nil }
                _ = try await consumer.base.settle(late.map { SettleRequest($0.receipt, .discard) })
                return deliveries.filter { $0.message.due == nil }
            }
        },
        Mutant("due-dropped", "a scheduled message comes without its time", killedBy: ["schedule.deliver"]) {
            $0.changeDeliveries { $0.message.due = nil }
        },
        Mutant("due-date-ignored", "a message that is due at a date comes at once", killedBy: ["schedule.deliver"]) {
            $0.changeMessages { if case .at = $0.due { $0.due = nil } }
        },
        Mutant(
            "cancelled-id-stays-known",
            "the id of a message that was cancelled counts as published",
            killedBy: ["schedule.cancel"]
        ) {
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
    ]

    private static func changed(_ settlement: Settlement, _ change: (Duration) -> Duration) -> Settlement {
        if case .retry(let delay, let error) = settlement { return .retry(after: change(delay), error: error) }
        return settlement
    }

    private static func changed(_ due: Message.Due?, _ change: (Duration) -> Duration) -> Message.Due? {
        if case .after(let delay)? = due { return .after(change(delay)) }
        return due
    }
}
