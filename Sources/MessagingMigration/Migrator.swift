#if SQLite
import Messaging
import Synchronization

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// Carries a migration out: one step after the other, each behind its gate, each to be taken up again after a crash.
public struct Migrator: Sendable {
    let journal: MigrationJournal
    let sides: [String: MigrationSide]
    private let source: MigrationSide
    private let target: MigrationSide
    let options: MigrationOptions
    let clock: QueueClock
    let report: @Sendable (MigrationProgress) -> Void
    let pace: Pace
    private let renewed = LastTime()
    private let owner = MessageID.make().rawValue
    /// Where tests end the process.
    package var failpoints = Failpoints.none
    /// How many messages are moved at a time where a crash doubles none.
    package var page = MigrationSide.page
    /// The control is not given up for a moment's standstill.
    package var shortestControl: Duration = .seconds(1)
    var fault: Mover.Fault?
    var comparesCounts = false
    /// Lets gates through that are shut, for the tests that prove what finds that.
    var ignoresGates = false

    /// Creates a migrator.
    ///
    /// - Parameters:
    ///   - journal: Where everything is written down.
    ///   - source: Where the queue was at the beginning.
    ///   - target: Where it goes.
    ///   - options: How it is carried out.
    ///   - clock: The time.
    ///   - report: Told what happens.
    public init(
        journal: MigrationJournal,
        from source: MigrationSide,
        to target: MigrationSide,
        options: MigrationOptions = MigrationOptions(),
        clock: QueueClock = .system,
        report: @escaping @Sendable (MigrationProgress) -> Void = { _ in }
    ) {
        self.journal = journal
        self.source = source
        self.target = target
        self.options = options
        self.clock = clock
        self.report = report
        pace = Pace(perSecond: options.rate, clock: clock) { report(.moved($0)) }
        sides = [source.label: source, target.label: target]
    }

    // MARK: - What can be asked for

    /// Begins a migration or takes it up, and carries it out until only `finish` is left.
    ///
    /// - Parameter queue: The queue.
    /// - Returns: The migration in quarantine.
    /// - Throws: `MigrationError`: `blocked`, `lossy` or `moved` before anything is written, `refused` when nothing has
    ///   got better for as long as the patience lasts, `busy`; `QueueError` when a side cannot be used;
    ///   `CancellationError`. After any of them it can be taken up again.
    public func apply(_ queue: String) async throws -> Migration {
        if let live = try await live(queue) { return try await controlled(live) { try await carryOut($0) } }
        let plan = try await Surveyor(from: source, to: target, clock: clock).plan(queue, mode: options.mode)
        if let drift = options.plan?.drift(to: plan, tolerance: options.tolerance) {
            throw MigrationError(.moved, "queue '\(queue)' has moved away from the plan: \(drift); make a new plan")
        }
        try plan.check(accepting: options.acceptedLosses)
        let definition = try await source.existing(queue)
        let migration = Migration(
            id: MessageID.make().rawValue,
            queue: queue,
            source: source.label,
            target: target.label,
            mode: options.mode,
            isOrdered: definition?.ordering == .keyed,
            lease: options.lease,
            date: clock.date()
        )
        try await failpoints.around(.begin) { try await journal.begin(migration) }
        report(.step(migration))
        return try await controlled(migration) { try await carryOut($0) }
    }

    /// Lets a migration go back, in any state before it is finished, and carries that out until only `finish` is left.
    ///
    /// - Parameter queue: The queue.
    /// - Returns: The migration in quarantine, on its way back.
    /// - Throws: As `apply`; `notFound` when no migration is under way.
    public func rollback(_ queue: String) async throws -> Migration {
        let migration = try await required(queue)
        return try await controlled(migration) { migration in
            // A second call takes the way back up instead of turning around once more.
            if migration.isReversed { return try await carryOut(migration) }
            return try await carryOut(try await turnBack(migration))
        }
    }

    /// Lets a migration that goes back go on again.
    ///
    /// - Parameter queue: The queue.
    /// - Returns: The migration in quarantine.
    /// - Throws: As `rollback`.
    public func resumeForward(_ queue: String) async throws -> Migration {
        let migration = try await required(queue)
        return try await controlled(migration) { migration in
            if !migration.isReversed { return try await carryOut(migration) }
            return try await carryOut(try await turnBack(migration))
        }
    }

    /// Ends a migration: consumers no longer read the old side.
    ///
    /// - Parameters:
    ///   - queue: The queue.
    ///   - deletesSource: Whether the queue is then deleted on the old side.
    /// - Returns: The migration; one that was finished before is returned as it is.
    /// - Throws: As `apply`.
    public func finish(_ queue: String, deletesSource: Bool = false) async throws -> Migration {
        guard var migration = try await journal.latest(queue) else {
            throw MigrationError(.notFound, "there is no migration of '\(queue)'")
        }
        try check(migration)
        if migration.isLive {
            migration = try await controlled(migration) { migration in
                let left = try await remaining(migration, isCertain: deletesSource)
                return try await advanceNow(migration, .finish, facts(migration, left: left))
            }
        }
        let (from, to) = (try side(migration.from), try side(migration.to))
        try await failpoints.around(.forget) { try await to.transfer().forgetRestored(of: queue) }
        if deletesSource {
            _ = try await failpoints.around(.deleteSource) { try await from.queue.deleteQueue(queue) }
        }
        return migration
    }

    /// Compares both sides.
    ///
    /// - Parameter queue: The queue.
    /// - Returns: The migration with what was found.
    /// - Throws: `MigrationError` with the kind `notFound` when there was no migration; as `apply`.
    public func verify(_ queue: String) async throws -> (Migration, MigrationVerification) {
        guard let migration = try await journal.latest(queue) else {
            throw MigrationError(.notFound, "there is no migration of '\(queue)'")
        }
        try check(migration)
        return (migration, try await verifier(migration).verify())
    }

    // MARK: - Control

    private func live(_ queue: String) async throws -> Migration? {
        guard let latest = try await journal.latest(queue), latest.isLive else { return nil }
        try check(latest)
        return latest
    }

    private func required(_ queue: String) async throws -> Migration {
        if let live = try await live(queue) { return live }
        throw MigrationError(
            .notFound,
            "no migration of '\(queue)' is under way; one that is finished can only be followed by another"
        )
    }

    /// Checks that the sides are those with which the migration began.
    private func check(_ migration: Migration) throws(MigrationError) {
        for label in [migration.source, migration.target] where sides[label] == nil {
            throw MigrationError(
                .otherSide,
                "the migration of '\(migration.queue)' goes from \(migration.source) to \(migration.target), and neither "
                    + "side given is \(label); give these as --from and --to"
            )
        }
    }

    func side(_ label: String) throws(MigrationError) -> MigrationSide {
        guard let side = sides[label] else {
            throw MigrationError(.otherSide, "no side is \(label); give it as --from or --to")
        }
        return side
    }

    private func controlLease(_ migration: Migration) -> Duration { max(migration.lease, shortestControl) }

    /// Takes the control; waits once for the lease of somebody who may have crashed.
    private func takeControl(_ migration: Migration) async throws {
        do {
            return try await renewControl(migration)
        } catch let error as MigrationError where error.kind == .busy {
            report(.waiting(migration, error.description))
        }
        try await clock.sleep(for: controlLease(migration) + .milliseconds(50))
        try await renewControl(migration)
    }

    /// Renews the control in good time before its lease is over.
    func keepControl(_ migration: Migration) async throws {
        guard clock.now() - renewed.last >= controlLease(migration) / 3 else { return }
        try await renewControl(migration)
    }

    func renewControl(_ migration: Migration) async throws {
        let now = clock.date()
        let until = now.addingTimeInterval(controlLease(migration) / .seconds(1))
        let began = clock.now()
        try await journal.control(migration, by: owner, until: until, now: now)
        renewed.last = began
    }

    /// Does something that only one process may do at a time.
    private func controlled(
        _ migration: Migration,
        _ body: (Migration) async throws -> Migration
    ) async throws -> Migration {
        try await takeControl(migration)
        do {
            // It may have been changed before we had the control.
            let result = try await body(try await journal.latest(migration.queue) ?? migration)
            try await journal.releaseControl(migration, by: owner)
            return result
        } catch {
            let release = Task { [journal, owner] in
                // Whoever comes next waits for the lease instead.
                try? await journal.releaseControl(migration, by: owner)
            }
            await release.value
            throw error
        }
    }
}

/// When something was done last.
private final class LastTime: Sendable {
    private let time = Mutex<Duration>(.zero)

    var last: Duration {
        get { time.withLock { $0 } }
        set { time.withLock { $0 = newValue } }
    }
}
#endif
