import Messaging

extension Mutants {
    static let groups: [Mutant] = [
        Mutant(
            "groups-compete",
            "a message comes to one group only",
            killedBy: ["group.fanout", "group.private", "dlq.redrive", "schedule.deliver"]
        ) {
            $0.onConsume = { base, opening throws(QueueError) in
                let groups = try await base.definition(of: opening.queue)?.groups.map(\.name) ?? []
                let group = groups.contains(opening.group) ? groups[0] : opening.group
                return try await base.consume(
                    opening.queue,
                    group: group,
                    consumer: opening.consumer,
                    options: opening.options
                )
            }
        },
        Mutant("members-copy", "each member of a group gets every message", killedBy: ["group.fanout"]) {
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                let deliveries = try await consumer.base.receive(max: max, wait: wait)
                if !deliveries.isEmpty { return deliveries }
                let own = Set(consumer.notes.deliveries.map(\.message.id))
                let others = consumer.client.notes.consumers.filter { $0.group == consumer.group }
                let missed = others.flatMap(\.notes.deliveries).filter { !own.contains($0.message.id) }
                return Array(missed.prefix(max))
            }
        },
        Mutant("retry-to-all-groups", "a retry comes to every group", killedBy: ["group.private"]) {
            $0.republish { delivery, settlement in
                guard case .retry(let delay, _) = settlement else { return nil }
                return delivery.message.copy(due: .after(delay))
            }
        },
        Mutant("latest-is-earliest", "a group that starts at the latest gets the old ones", killedBy: ["group.latest"])
        {
            $0.changeDefinitions { definition in
                for index in definition.groups.indices where definition.groups[index].start == .latest {
                    definition.groups[index].start = .earliest
                }
            }
        },
        Mutant(
            "earliest-is-latest",
            "a group that starts at the earliest misses the old ones",
            killedBy: ["group.earliest", "group.replay"]
        ) {
            $0.changeDefinitions { definition in
                for index in definition.groups.indices where definition.groups[index].start == .earliest {
                    definition.groups[index].start = .latest
                }
            }
        },
        Mutant("time-is-earliest", "a group that starts at a time gets everything", killedBy: ["group.replay"]) {
            $0.changeDefinitions { definition in
                for index in definition.groups.indices {
                    if case .at = definition.groups[index].start { definition.groups[index].start = .earliest }
                }
            }
        },
        Mutant("declare-moves", "declaring a group again moves it to the latest message", killedBy: ["group.resume"]) {
            $0.onDeclare = { base, definition throws(QueueError) in
                let known = try await base.definition(of: definition.name)?.groups.map(\.name) ?? []
                try await base.declare(definition)
                for group in definition.groups where group.start == .latest && known.contains(group.name) {
                    try await base.drain(definition.name, group: group.name)
                }
            }
        },
        Mutant("nobody-listens", "what comes while a group has no members is lost", killedBy: ["group.resume"]) {
            $0.onConsume = { base, opening throws(QueueError) in
                let consumers = try await base.statistics(of: opening.queue)[opening.group]?.consumers.value
                if consumers == 0 { try await base.drain(opening.queue, group: opening.group) }
                return try await base.open(opening)
            }
        },
        Mutant(
            "retention-zero",
            "what every group has finished is gone at once",
            killedBy: ["group.replay", "topo.drift"]
        ) {
            $0.changeDefinitions { $0.retention = .zero }
        },
        Mutant("retention-drops-unread", "what one group has finished is gone for all", killedBy: ["group.retention"]) {
            $0.onPublish = { base, messages, queue throws(QueueError) in
                let statistics = try await base.statistics(of: queue)
                let unfinished = statistics.groups.filter { $0.lag.value != 0 }
                if unfinished.count < statistics.groups.count {
                    for group in unfinished { try await base.drain(queue, group: group.group) }
                }
                return try await base.publish(messages, to: queue)
            }
        },
        Mutant("time-unknown", "a delivery does not say when it was published", killedBy: ["group.replay"]) {
            $0.changeDeliveries { $0.hasTime = false }
        },
        Mutant("join-takes-over", "who joins gets what the others hold", killedBy: ["group.rebalance"]) {
            let notes = $0.notes
            $0.onConsume = { base, opening throws(QueueError) in
                let made = try await base.open(opening)
                for other in notes.consumers where other.group == opening.group {
                    let held = other.notes.deliveries.map { SettleRequest($0.receipt, .release) }
                    _ = try await other.base.settle(held)
                }
                return made
            }
        },
    ]
}
