#if SQLite
import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// The steps of a migration, and what each of them does.
extension Migrator {
    func facts(_ migration: Migration, left: [StoredMessage.State: Int?] = [:]) async throws -> MigrationFacts {
        let now = clock.date()
        let participants = try await journal.participants(of: migration, now: now)
        // Each look of a process renews its lease.
        let told = migration.changedAt.addingTimeInterval(migration.lease * 1.5 / .seconds(1))
        let counts = try await journal.counts(of: migration)
        return MigrationFacts(
            date: now,
            behind: participants.filter { !$0.hasLeft && $0.epoch < migration.epoch }.map(\.name),
            silent: participants.filter { !$0.hasLeft && $0.expiresAt < told }.map(\.name),
            left: left,
            openIntents: (counts[.intent] ?? 0) + (counts[.done] ?? 0),
            lately: participants.reduce(PublicationCount()) { $0 + $1.lately },
            limits: options.limits
        )
    }

    private func advance(
        _ migration: Migration,
        _ event: MigrationEvent,
        _ facts: MigrationFacts
    ) async throws -> Migration {
        let next = try next(migration, event, facts)
        try await failpoints.around(.advance) { try await journal.advance(migration, to: next) }
        report(.step(next))
        return next
    }

    /// What the migration becomes, when the gate lets it.
    private func next(_ migration: Migration, _ event: MigrationEvent, _ facts: MigrationFacts) throws -> Migration {
        var facts = facts
        if ignoresGates {
            facts = MigrationFacts(
                date: max(facts.date, migration.changedAt.addingTimeInterval(migration.lease / .seconds(1)))
            )
        }
        return try migration.after(event, facts)
    }

    func turnBack(_ migration: Migration) async throws -> Migration {
        try await mover(migration).resume()
        return try await advanceNow(migration, .turnBack, facts(migration))
    }

    /// Takes a step that nobody waits for.
    func advanceNow(
        _ migration: Migration,
        _ event: MigrationEvent,
        _ facts: MigrationFacts
    ) async throws -> Migration {
        do {
            return try await advance(migration, event, facts)
        } catch let refusal as MigrationRefusal {
            throw MigrationError(
                .refused,
                "the migration of '\(migration.queue)' is \(migration.state.rawValue): \(refusal.description)"
            )
        }
    }

    /// Takes steps until only `finish` is left.
    func carryOut(_ start: Migration) async throws -> Migration {
        var migration = start
        var best = Int.max
        var lastProgress = clock.now()
        while migration.state < .quarantine {
            try Task.checkCancellation()
            try await renewControl(migration)
            var left = Int.max
            let obstacle: String
            var outage: QueueError?
            do {
                migration = try await step(migration, &left)
                (best, lastProgress) = (.max, clock.now())
                continue
            } catch let refusal as MigrationRefusal {
                guard refusal.canWait else { throw MigrationError(.refused, refusal.description) }
                obstacle = refusal.description
            } catch let error as QueueError where error.code == .unavailable || error.code == .indeterminate {
                (obstacle, outage) = (error.description, error)
            }
            if left < best { (best, lastProgress) = (left, clock.now()) }
            guard clock.now() - lastProgress < options.patience else {
                if let outage { throw outage }
                throw MigrationError(
                    .refused,
                    "the migration of '\(migration.queue)' is \(migration.state.rawValue) and waits: \(obstacle)"
                )
            }
            report(.waiting(migration, obstacle))
            try await clock.sleep(for: migration.lease / 3)
        }
        return migration
    }

    private func step(_ migration: Migration, _ left: inout Int) async throws -> Migration {
        switch migration.state {
        case .preparing:
            try await prepare(migration)
            return try await advance(migration, .prepared, facts(migration))
        case .reading, .switching:
            var facts = try await facts(migration)
            if options.limits.maxLag != nil { facts.lag = try await lag(migration) }
            guard let next = KeyBucket.steps(isOrdered: migration.isOrdered).first(where: { $0 > migration.percent })
            else { return try await advance(migration, .close, facts) }
            let raised = try await advance(migration, .raise(next), facts)
            // An id that was published to the old side meanwhile and is published again now is known on the new one.
            try await carryRemembered(migration)
            return raised
        case .closing:
            try await close(migration)
            // Who takes the migration up after this step carries no ids any more; as long as it waits, it need not.
            _ = try await next(migration, .closed, facts(migration))
            try await carryRemembered(migration)
            return try await advance(migration, .closed, facts(migration))
        case .draining:
            if migration.mode == .bridge { try await bridge(migration) }
            // The next step lets an ordered queue be read on the new side.
            let rest = try await remaining(migration, isCertain: migration.isOrdered)
            left = Self.sum(rest)
            return try await advance(migration, .drained, facts(migration, left: rest))
        case .moving:
            try await moveAll(migration)
            let rest = try await remaining(migration, isCertain: false)
            left = Self.sum(rest)
            return try await advance(migration, .moved, facts(migration, left: rest))
        case .verifying:
            var facts = try await facts(migration)
            facts.mismatches = try await verifier(migration).verify().mismatches
            return try await advance(migration, .verified, facts)
        case .quarantine, .finished: return migration
        }
    }

    /// The most messages that a group has ready on the side that the queue goes to; `nil` when that cannot be told.
    private func lag(_ migration: Migration) async throws -> Int? {
        let figures = try await side(migration.to).queue.statistics(of: migration.queue).groups.map(\.ready.value)
        return figures.contains(nil) ? nil : figures.compactMap(\.self).max() ?? 0
    }

    /// How long after the first look at an empty side the second one follows where no figure has to be waited for.
    private static let moment: Duration = .seconds(1)

    /// What the old side has.
    ///
    /// - Parameters:
    ///   - migration: The migration.
    ///   - isCertain: Whether an empty side is looked at once more only when no figure can be older than the first look.
    ///     Nobody can have taken a message since then, so whoever had one in hands at that time shows now. Otherwise the
    ///     second look follows a moment later: a broker that has just come back may not know yet what it has.
    /// - Returns: The counts by state.
    /// - Throws: `QueueError` when the side cannot be asked, `MigrationError` when another process has the control,
    ///   `CancellationError`.
    func remaining(_ migration: Migration, isCertain: Bool) async throws -> [StoredMessage.State: Int?] {
        let side = try side(migration.from)
        let rest = try await side.left(of: migration.queue)
        guard rest.values.allSatisfy({ $0 == 0 }) else { return rest }
        let oldest = try await side.transfer().limits().figureAge
        guard oldest > .zero else { return rest }
        let age = isCertain ? oldest : min(oldest, Self.moment)
        if isCertain { report(.waiting(migration, "the figures of \(migration.from) can be \(age) old")) }
        let end = clock.now() + age
        while clock.now() < end {
            try Task.checkCancellation()
            try await renewControl(migration)
            try await clock.sleep(for: min(migration.lease / 3, end - clock.now()))
        }
        return try await side.left(of: migration.queue)
    }

    private static func sum(_ left: [StoredMessage.State: Int?]) -> Int { left.values.reduce(0) { $0 + ($1 ?? 0) } }

    /// Makes the queue on the side that it goes to, opens it, and carries the remembered ids over.
    private func prepare(_ migration: Migration) async throws {
        let (from, to) = (try side(migration.from), try side(migration.to))
        if let definition = try await from.existing(migration.queue) {
            let mapped = Planner.mapped(definition, on: try await to.queue.capabilities())
            try await failpoints.around(.declare) { try await to.queue.declare(mapped) }
            // Where the queue was at the beginning is known to work.
            if options.sendsCanary, !migration.isReversed {
                try await failpoints.around(.canary) {
                    try await Canary(side: to, clock: clock) { try await keepControl(migration) }
                        .sing(migration, like: mapped)
                }
            }
        }
        // The canary takes its time, and who has lost the control meanwhile must not open what another has closed.
        try await renewControl(migration)
        try await failpoints.around(.open) {
            try await to.transfer().setIntake(isOpen: true, of: migration.queue)
        }
        try await carryRemembered(migration)
    }

    private func carryRemembered(_ migration: Migration) async throws {
        let (from, to) = (try side(migration.from), try side(migration.to))
        guard try await to.queue.capabilities()[.deduplication].isAvailable else { return }
        try await failpoints.around(.remember) {
            try await copyRemembered(migration.queue, from.transfer(), to.transfer())
        }
    }

    private func copyRemembered(_ queue: String, _ from: any QueueTransfer, _ to: any QueueTransfer) async throws {
        var cursor: String?
        repeat {
            try Task.checkCancellation()
            let page: Page<RememberedID>
            do throws(QueueError) {
                page = try await from.rememberedIDs(of: queue, after: cursor, limit: 1000)
            } catch {
                if error.code == .unsupported || error.code == .notFound { return }
                throw error
            }
            if !page.elements.isEmpty { try await to.remember(page.elements, of: queue) }
            cursor = page.next
        } while cursor != nil
    }

    /// Lets the old side take no publication any more.
    private func close(_ migration: Migration) async throws {
        let from = try side(migration.from)
        guard try await from.existing(migration.queue) != nil else { return }
        try await failpoints.around(.close) {
            try await from.transfer().setIntake(isOpen: false, of: migration.queue)
        }
    }

    // MARK: - Carrying over

    private func mover(_ migration: Migration) throws -> Mover {
        Mover(
            journal: journal,
            migration: migration,
            from: try side(migration.from),
            to: try side(migration.to),
            pace: pace,
            clock: clock,
            failpoints: failpoints,
            page: page,
            fault: fault,
            stillOurs: { try await keepControl(migration) }
        )
    }

    private func bridge(_ migration: Migration) async throws {
        guard let definition = try await side(migration.from).existing(migration.queue) else { return }
        let mover = try mover(migration)
        for group in definition.groups { _ = try await mover.bridge(group.name) }
    }

    private func moveAll(_ migration: Migration) async throws {
        let mover = try mover(migration)
        try await mover.resume()
        guard let definition = try await side(migration.from).existing(migration.queue) else { return }
        let groups = definition.groups.map(\.name)
        let onlyGroup = groups.count == 1 ? groups.first : nil
        for (state, group) in MigrationSide.places(groups) {
            switch state {
            case .scheduled, .dead: _ = try await mover.move(state, group: group, onlyGroup: onlyGroup)
            // A retry of an ordered queue holds its key; it is handled where it is.
            case .waiting where !migration.isOrdered:
                _ = try await mover.move(state, group: group, onlyGroup: onlyGroup)
            case .ready where migration.mode == .bridge:
                if let group { _ = try await mover.bridge(group) }
            default: break
            }
        }
    }

    func verifier(_ migration: Migration) throws -> Verifier {
        Verifier(
            journal: journal,
            migration: migration,
            from: try side(migration.from),
            to: try side(migration.to),
            clock: clock,
            comparesCounts: comparesCounts
        )
    }
}
#endif
