import Messaging

extension Mutants {
    static let figures: [Mutant] = [
        Mutant("ready-off-by-one", "one more is said to be ready", killedBy: ["stats.model", "topo.idempotent"]) {
            $0.changeFigures { $0.ready = off($0.ready) }
        },
        Mutant("in-flight-off-by-one", "one more is said to be in flight", killedBy: ["stats.model"]) {
            $0.changeFigures { $0.inFlight = off($0.inFlight) }
        },
        Mutant("delayed-off-by-one", "one more is said to be delayed", killedBy: ["stats.model"]) {
            $0.changeFigures { $0.delayed = off($0.delayed) }
        },
        Mutant("dead-off-by-one", "one more is said to be dead", killedBy: ["stats.model"]) {
            $0.changeFigures { $0.dead = off($0.dead) }
        },
        Mutant("ready-with-in-flight", "what is in flight counts as ready", killedBy: ["stats.model", "par.bound"]) {
            $0.changeFigures { $0.ready = .exact(($0.ready.value ?? 0) + ($0.inFlight.value ?? 0)) }
        },
        Mutant(
            "dead-of-all-groups",
            "a group counts the dead letters of the others",
            killedBy: ["group.private", "dlq.redrive"]
        ) {
            $0.onStatistics = { base, queue throws(QueueError) in
                var statistics = try await base.statistics(of: queue)
                let sum = statistics.groups.reduce(0) { $0 + ($1.dead.value ?? 0) }
                for index in statistics.groups.indices { statistics.groups[index].dead = .exact(sum) }
                return statistics
            }
        },
        Mutant("figures-unsorted", "the groups come in another order", killedBy: ["topo.idempotent"]) {
            $0.onStatistics = { base, queue throws(QueueError) in
                var statistics = try await base.statistics(of: queue)
                statistics.groups.reverse()
                return statistics
            }
        },
        Mutant("queues-hidden", "queues are not listed", killedBy: ["topo.idempotent"]) {
            $0.onQueues = { _ in [] }
        },
        Mutant("queues-listed-twice", "a queue is listed twice", killedBy: ["topo.idempotent"]) {
            $0.onQueues = { ($0 + $0).sorted() }
        },
        Mutant("settings-forgotten", "a group has the default settings", killedBy: ["topo.idempotent", "topo.drift"]) {
            $0.onDefinition = { definition in
                var definition = definition
                definition.groups = definition.groups.map { GroupDefinition($0.name) }
                return definition
            }
        },
        Mutant("declare-once", "declaring again fails", killedBy: ["topo.drift"]) {
            $0.onDeclare = { base, definition throws(QueueError) in
                if try await base.definition(of: definition.name) == definition {
                    throw QueueError(.topologyConflict, "the queue exists", queue: definition.name)
                }
                try await base.declare(definition)
            }
        },
        Mutant("drift-ignored", "other settings are accepted and forgotten", killedBy: ["topo.drift"]) {
            $0.onDeclare = { base, definition throws(QueueError) in
                let result = await attempt { () throws(QueueError) in try await base.declare(definition) }
                if case .failure(let error) = result, error.code != .topologyConflict { throw error }
            }
        },
        Mutant("drift-unnamed", "a conflict does not say what differs", killedBy: ["topo.drift"]) {
            $0.onDeclare = { base, definition throws(QueueError) in
                let result = await attempt { () throws(QueueError) in try await base.declare(definition) }
                guard case .failure(let error) = result else { return }
                throw QueueError(error.code, "it cannot be declared", queue: definition.name)
            }
        },
        Mutant("drift-adds-groups", "a conflict still adds the new groups", killedBy: ["topo.drift"]) {
            $0.onDeclare = { base, definition throws(QueueError) in
                let result = await attempt { () throws(QueueError) in try await base.declare(definition) }
                guard case .failure(let error) = result else { return }
                if error.code == .topologyConflict, var known = try await base.definition(of: definition.name) {
                    let names = known.groups.map(\.name)
                    known.groups = definition.groups.filter { !names.contains($0.name) }
                    try await base.declare(known)
                }
                throw error
            }
        },
        Mutant("arrived-is-stored", "what was handled has not arrived", killedBy: ["stats.arrived"]) {
            $0.changeQueueFigures { $0.arrived = $0.stored }
        },
        Mutant(
            "scheduled-off-by-one",
            "one more is said to be scheduled",
            killedBy: ["schedule.cancel", "stats.model"]
        ) {
            $0.changeQueueFigures { $0.scheduled = off($0.scheduled) }
        },
        Mutant("stored-forgets-held", "what is in flight is not stored", killedBy: ["stats.model", "par.bound"]) {
            $0.changeQueueFigures { figures in
                let held = figures.groups.first?.inFlight.value ?? 0
                figures.stored = .exact((figures.stored.value ?? 0) - held)
            }
        },
        Mutant("oldest-is-new", "the oldest age is zero", killedBy: ["stats.oldestAge"]) {
            $0.changeFigures { if $0.oldestAge != nil { $0.oldestAge = .zero } }
        },
        Mutant("oldest-for-ever", "an empty queue has an oldest age", killedBy: ["stats.oldestAge"]) {
            $0.changeFigures { $0.oldestAge = $0.oldestAge ?? .seconds(1) }
        },
        Mutant("settings-unchecked", "a lease, bound or number of attempts may be anything", killedBy: ["topo.invalid"])
        {
            $0.onDeclare = { base, definition throws(QueueError) in
                let result = await attempt { () throws(QueueError) in try await base.declare(definition) }
                if case .failure(let error) = result, error.code != .invalidArgument { throw error }
            }
        },
        Mutant("max-unchecked", "a receive may ask for any number", killedBy: ["topo.invalid"]) {
            $0.onReceive = { consumer, max, wait throws(QueueError) in
                try await consumer.base.receive(max: min(Swift.max(1, max), 1000), wait: wait)
            }
        },
        Mutant("drift-of-ordering", "another order or bound is accepted and forgotten", killedBy: ["topo.drift"]) {
            $0.onDeclare = { base, definition throws(QueueError) in
                var definition = definition
                if let known = try await base.definition(of: definition.name) {
                    definition.ordering = known.ordering
                    definition.maxReady = known.maxReady
                }
                try await base.declare(definition)
            }
        },
        Mutant("capability-hidden", "what works is said to be unavailable", killedBy: ["cap.honest"]) {
            $0.changeSupport { $0[.replay] = .unavailable("hidden") }
        },
        Mutant("emulation-unexplained", "an emulation does not say how", killedBy: ["cap.honest"]) {
            $0.changeSupport { $0[.delay] = .emulated("") }
        },
        Mutant(
            "claim-refused",
            "at-most-once deliveries are claimed and refused",
            killedBy: ["cap.honest", "settle.atMostOnce"]
        ) {
            $0.onConsume = { base, opening throws(QueueError) in
                if opening.options.mode == .atMostOnce {
                    throw QueueError(.unsupported, "every delivery is settled", queue: opening.queue)
                }
                return try await base.open(opening)
            }
        },
    ]

    private static func off(_ figure: Figure) -> Figure { figure.value.map { .exact($0 + 1) } ?? figure }
}
