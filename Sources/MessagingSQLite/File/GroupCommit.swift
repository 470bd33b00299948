#if SQLite
import Dispatch
import GRDB
import Logging
import Messaging
import Synchronization

/// Lets the callers of a process share transactions: while one commit waits for the disk, whoever comes is collected for
/// the next.
///
/// An operation waits for its turn, is part of a transaction, and is answered after the commit. One that fails before
/// it has changed anything fails alone; when SQLite itself fails, the transaction is rolled back and each operation is
/// tried in one of its own, so that acknowledgements still get through a full disk.
final class GroupCommit: Sendable {
    private struct State {
        var waiting: [any WriteOperation] = []
        var isRunning = false
        /// Whether the runner waits for other processes to finish writing.
        var isHeldUp = false
        var isShut = false
        var onEnd: (@Sendable () -> Void)?
        var commits = 0
    }

    /// How many operations share a transaction at most.
    private static let batch = 256
    /// How many transactions follow each other before others may use the connection.
    private static let stretch = 64

    private let pool: DatabasePool
    private let turn: WriteTurn
    private let memory: WriterMemory
    private let configuration: SQLiteConfiguration
    private let clock: QueueClock
    private let onCommit: @Sendable (Set<Int64>, Set<UInt8>) -> Void
    private let state = Mutex(State())
    private let schedule = Mutex(UpkeepSchedule())
    private let upkeep: Upkeep
    private let timers = DispatchQueue(label: "mq.sqlite.deadlines")

    /// Creates a writer.
    ///
    /// - Parameters:
    ///   - pool: The open file.
    ///   - turn: The turn to write, shared with other processes.
    ///   - configuration: The deadline of each operation and the durability.
    ///   - clock: The clock of leases and due times.
    ///   - logger: Where failures of upkeep are reported.
    ///   - onCommit: Called after a commit with the groups and queues in which something became available.
    init(
        pool: DatabasePool,
        turn: WriteTurn,
        configuration: SQLiteConfiguration,
        clock: QueueClock,
        logger: Logger,
        onCommit: @escaping @Sendable (Set<Int64>, Set<UInt8>) -> Void
    ) {
        self.pool = pool
        self.turn = turn
        memory = WriterMemory(changes: configuration.statementChanges)
        self.configuration = configuration
        self.clock = clock
        self.onCommit = onCommit
        upkeep = Upkeep(logger: logger)
    }

    /// Runs an operation in a transaction and returns after the commit.
    ///
    /// - Parameters:
    ///   - isDurable: Whether the answer promises that a crash of the machine undoes nothing; taking and renewing
    ///     leases does not need it, because a crash ends them anyway.
    ///   - body: The operation; it throws before it changes anything, or not at all, and can run again from its start.
    /// - Returns: What the operation returned.
    /// - Throws: `QueueError` that the operation threw, or why it could not be carried out.
    func perform<Result: Sendable>(
        isDurable: Bool = true,
        _ body: @escaping @Sendable (Transaction) throws -> Result
    ) async throws(QueueError) -> Result {
        let result = await withCheckedContinuation { continuation in
            let deadline = QueueClock.system.now() + configuration.timeout
            add(Operation(isDurable: isDurable, deadline: deadline, body: body, continuation: continuation))
        }
        return try result.get()
    }

    /// Runs an operation that nobody waits for.
    func post(_ body: @escaping @Sendable (Transaction) throws -> Void) {
        add(Posted(deadline: QueueClock.system.now() + configuration.timeout, body: body))
    }

    /// How many transactions were committed.
    var count: Int { state.withLock { $0.commits } }
    /// How many operations wait for a transaction.
    var waiting: Int { state.withLock { $0.waiting.count } }

    private func add(_ operation: some WriteOperation) {
        let (isShut, starts, isHeldUp) = state.withLock { state in
            if state.isShut { return (true, false, false) }
            state.waiting.append(operation)
            defer { state.isRunning = true }
            return (false, !state.isRunning, state.isHeldUp)
        }
        if isShut { return operation.conclude(.failure(Self.closed)) }
        if starts { start() }
        if isHeldUp { expireLater() }
    }

    private func start() {
        pool.asyncWriteWithoutTransaction { database in self.run(database) }
    }

    // MARK: - Running

    /// Runs transactions until nobody waits, on the queue of the writing connection.
    private func run(_ database: Database) {
        for _ in 0..<Self.stretch {
            let goesOn = state.withLock { state in
                state.isRunning = !state.waiting.isEmpty
                return state.isRunning
            }
            guard goesOn else { return finish() }
            var effects: Effects
            do {
                try turn.take {
                    self.state.withLock { $0.isHeldUp = true }
                    self.expireLater()
                }
                let batch = state.withLock { state in
                    state.isHeldUp = false
                    let batch = Array(state.waiting.prefix(Self.batch))
                    state.waiting.removeFirst(batch.count)
                    return batch
                }
                effects = batch.isEmpty ? Effects() : carryOut(batch, database)
                if isUpkeepDue(after: batch.count { !($0 is Nudge) }) {
                    // Nobody waits for it, not even those whose transaction is done.
                    effects.publish(onCommit)
                    effects = Effects()
                    keepUp(database)
                }
                turn.giveBack()
            } catch {
                let batch = state.withLock { state in
                    defer { state.waiting = [] }
                    return state.waiting
                }
                let failure = SQLiteErrors.error(error, file: configuration.path, .writing)
                for operation in batch { operation.conclude(.failure(failure)) }
                continue
            }
            effects.publish(onCommit)
        }
        // Others have work for this connection too: whoever looks for what nobody told of.
        start()
    }

    private func finish() {
        let onEnd = state.withLock { $0.isShut ? $0.onEnd.take() : nil }
        onEnd?()
    }

    /// What is left to do after the turn has been given back.
    private struct Effects {
        var concluded: [(any WriteOperation, Swift.Result<Void, QueueError>)] = []
        var wakes: Set<Int64> = []
        var signals: Set<UInt8> = []

        func publish(_ onCommit: (Set<Int64>, Set<UInt8>) -> Void) {
            if !wakes.isEmpty || !signals.isEmpty { onCommit(wakes, signals) }
            for (operation, result) in concluded { operation.conclude(result) }
        }
    }

    private func carryOut(_ batch: [any WriteOperation], _ database: Database) -> Effects {
        var effects = Effects()
        guard let failure = attempt(batch, database, &effects) else { return effects }
        // What does not begin fails for all of them: each would wait for as long again.
        guard batch.count > 1, failure.code != .indeterminate, memory.hasBegun else {
            effects.concluded += batch.map { ($0, .failure(failure)) }
            return effects
        }
        var rest = batch[...]
        while let operation = rest.popFirst() {
            guard let failure = attempt([operation], database, &effects) else { continue }
            effects.concluded.append((operation, .failure(failure)))
            guard memory.hasBegun else {
                effects.concluded += rest.map { ($0, .failure(failure)) }
                break
            }
        }
        return effects
    }

    /// Runs operations in one transaction.
    ///
    /// - Returns: Why nothing was changed (or, with the code `indeterminate`, why nobody knows); `nil` when the
    ///   transaction was committed and the operations are concluded.
    private func attempt(
        _ batch: [any WriteOperation],
        _ database: Database,
        _ effects: inout Effects
    ) -> QueueError? {
        var phase = SQLiteErrors.Phase.writing
        memory.hasBegun = false
        do {
            if database.isInsideTransaction { try database.rollback() }
            try setDurability(batch.contains { $0.isDurable }, database)
            try database.beginTransaction(.immediate)
            memory.hasBegun = true
            let transaction = Transaction(database, writer: memory, date: clock.date())
            for operation in batch { try operation.run(transaction) }
            try transaction.flush()
            phase = .committing
            try database.commit()
            state.withLock { $0.commits += 1 }
            effects.wakes.formUnion(transaction.wakes)
            effects.signals.formUnion(transaction.signals)
            effects.concluded += batch.map { ($0, .success(())) }
            return nil
        } catch {
            if database.isInsideTransaction {
                // One that cannot be rolled back now is before the next one begins.
                try? database.rollback()
            }
            memory.forget()
            return SQLiteErrors.error(error, file: configuration.path, phase)
        }
    }

    private func setDurability(_ isDurable: Bool, _ database: Database) throws {
        let wanted: SQLiteConfiguration.Synchronous = isDurable ? configuration.synchronous : .normal
        guard memory.synchronous != wanted else { return }
        try database.execute(sql: "PRAGMA synchronous = \(wanted.rawValue.uppercased())")
        memory.synchronous = wanted
    }

    /// When to look after the file next, and how much has happened since the last time.
    private struct UpkeepSchedule {
        var at: Duration = .zero
        var operations = 0
        var isPlanned = false
    }

    private func isUpkeepDue(after operations: Int) -> Bool {
        let now = clock.now()
        return schedule.withLock { schedule in
            schedule.operations += operations
            return now >= schedule.at
        }
    }

    /// Once a second at most: what nobody waits for.
    private func keepUp(_ database: Database) {
        let isBusy = schedule.withLock { schedule in
            defer { schedule.operations = 0 }
            return schedule.operations > Self.quiet
        }
        var isDone = true
        do {
            try setDurability(false, database)
            let now = FileTime.present(clock.date())
            isDone = try upkeep.run(database, memory, now: now, isBusy: isBusy)
        } catch {
            if database.isInsideTransaction { try? database.rollback() }
            memory.forget()
            upkeep.report(error)
        }
        let pause: Duration = isDone || isBusy ? .seconds(1) : .milliseconds(50)
        let plans = schedule.withLock { schedule in
            schedule.at = clock.now() + pause
            guard !isDone, !schedule.isPlanned else { return false }
            schedule.isPlanned = true
            return true
        }
        guard plans else { return }
        // What is left goes on although nobody calls.
        timers.asyncAfter(deadline: .now() + .milliseconds(Int(pause.milliseconds) + 1)) { [weak self] in
            self?.schedule.withLock { $0.isPlanned = false }
            self?.add(Nudge())
        }
    }

    /// So few operations between two looks after the file that nobody is held up by more of it.
    private static let quiet = 20

    // MARK: - Deadlines

    private func expireLater() {
        let delay = DispatchTimeInterval.milliseconds(Int(clamping: configuration.timeout.milliseconds) + 1)
        timers.asyncAfter(deadline: .now() + delay) { [weak self] in self?.expire() }
    }

    /// Answers operations that have waited too long for other processes to finish writing.
    private func expire() {
        let now = QueueClock.system.now()
        let late = state.withLock { state -> [any WriteOperation] in
            guard state.isHeldUp else { return [] }
            let late = state.waiting.filter { $0.deadline <= now }
            if !late.isEmpty { state.waiting.removeAll { $0.deadline <= now } }
            return late
        }
        let error = QueueError(
            .unavailable,
            "another process has been writing to the file '\(configuration.path)' for longer than "
                + "\(configuration.timeout); see whether one of them is stopped"
        )
        for operation in late { operation.conclude(.failure(error)) }
    }

    // MARK: - Ending

    /// Refuses further operations, and calls back once none is under way.
    func shut(_ onEnd: @escaping @Sendable () -> Void) {
        let (left, isIdle) = state.withLock { state in
            state.isShut = true
            defer { state.waiting = [] }
            if state.isRunning { state.onEnd = onEnd }
            return (state.waiting, !state.isRunning)
        }
        for operation in left { operation.conclude(.failure(Self.closed)) }
        if isIdle { onEnd() }
    }

    static var closed: QueueError { QueueError(.closed, "the queue was closed") }
}
#endif
