#if SQLite
import Dispatch
import GRDB
import Logging
import Messaging
import Synchronization

/// The embedded backend: the whole contract in one SQLite file that several processes can use at the same time.
///
/// The file is opened by the first call. See `docs/guarantees.md` for what survives what.
public final class SQLiteQueue: MessageQueue {
    private enum State {
        case new
        case opening(Task<SQLiteFile, any Error>)
        case open(SQLiteFile)
        case closed
    }

    private struct Shared {
        var state = State.new
        var consumers: [UInt32: Weak] = [:]
    }

    private struct Weak: Sendable {
        weak var consumer: SQLiteConsumer?
    }

    /// Where the file is and how it is used.
    public let configuration: SQLiteConfiguration
    let clock: QueueClock
    let logger: Logger
    private let shared = Mutex(Shared())

    /// The backend's name, `sqlite`.
    public var system: String { "sqlite" }

    /// Creates a client of a file; nothing is opened yet.
    ///
    /// - Parameters:
    ///   - configuration: Where the file is and how it is used.
    ///   - clock: What leases, delays and windows are measured by. Processes that share a file must share its wall
    ///     clock; the machine's clocks by default.
    ///   - logger: Where the client reports.
    public init(_ configuration: SQLiteConfiguration, clock: QueueClock = .system, logger: Logger) {
        self.configuration = configuration.settled
        self.clock = clock
        self.logger = logger
    }

    // MARK: - The file

    /// Returns the open file, and opens it first if need be.
    func file() async throws(QueueError) -> SQLiteFile {
        let (file, task): (SQLiteFile?, Task<SQLiteFile, any Error>?) = try shared.withLock {
            shared throws(QueueError) in
            switch shared.state {
            case .open(let file): return (file, nil)
            case .opening(let task): return (nil, task)
            case .closed: throw GroupCommit.closed
            case .new:
                let task = Task { [configuration, clock, logger] in
                    try await Self.open(configuration, clock, logger)
                }
                shared.state = .opening(task)
                return (nil, task)
            }
        }
        if let file { return file }
        let failure: QueueError
        do {
            guard let opened = try await task?.value else { throw GroupCommit.closed }
            let isOurs = shared.withLock { shared in
                switch shared.state {
                case .opening(let current) where current == task:
                    shared.state = .open(opened)
                    return true
                case .open(let file): return file === opened
                case .opening, .new, .closed: return false
                }
            }
            if isOurs { return opened }
            failure = GroupCommit.closed
        } catch {
            // The next call tries again; one that has begun already is left alone.
            shared.withLock { shared in
                if case .opening(let current) = shared.state, current == task { shared.state = .new }
            }
            failure = SQLiteErrors.error(error, file: configuration.path, .opening)
        }
        throw failure
    }

    /// Opens the file on a thread that may block, within the timeout.
    private static func open(
        _ configuration: SQLiteConfiguration,
        _ clock: QueueClock,
        _ logger: Logger
    ) async throws -> SQLiteFile {
        let answer = Answer()
        return try await withCheckedThrowingContinuation { continuation in
            answer.begin(continuation)
            DispatchQueue.global().async {
                let result = Result { try SQLiteFile(configuration, clock: clock, logger: logger) }
                // Nobody waits any more: what was opened late is closed again.
                if !answer.give(result), case .success(let file) = result { Task { await file.close() } }
            }
            let limit = DispatchTimeInterval.milliseconds(Int(clamping: configuration.timeout.milliseconds) + 1000)
            DispatchQueue.global().asyncAfter(deadline: .now() + limit) {
                let error = QueueError(
                    .unavailable,
                    "the file '\(configuration.path)' could not be opened within \(configuration.timeout): another "
                        + "process is writing to it; see whether one of them is stopped"
                )
                _ = answer.give(.failure(error))
            }
        }
    }

    // MARK: - The contract

    /// Tells what this backend can do, which does not depend on the file.
    ///
    /// - Returns: The features, limits, SQLite's version and the durability that was configured.
    /// - Throws: `QueueError` with the code `closed` after `close()`.
    public func capabilities() async throws(QueueError) -> Capabilities {
        if shared.withLock({ if case .closed = $0.state { true } else { false } }) { throw GroupCommit.closed }
        let version = Prepared.libraryVersion
        let findings =
            configuration.synchronous == .full
            ? []
            : ["synchronous=normal: a crash of the machine can lose what was confirmed since the last checkpoint"]
        return Capabilities(
            system: system,
            version: version,
            durability: configuration.synchronous == .full
                ? .disk : .unknown("a crash of the machine loses what was confirmed since the last checkpoint"),
            maxBodyBytes: configuration.maxBodyBytes,
            support: Dictionary(
                uniqueKeysWithValues: Capabilities.Feature.allCases.map { ($0, Capabilities.Support.native) }
            ),
            findings: findings
        )
    }

    /// Creates a queue with its groups, or adds missing groups to it; doing so again changes nothing.
    ///
    /// - Parameter definition: The settings, kept in whole milliseconds. Groups that exist and are not named stay.
    /// - Throws: `QueueError`: `topologyConflict` when the queue or a group exists with other settings, naming both and
    ///   changing nothing; `invalidName` and `invalidArgument` as `QueueDefinition.validate()`; those of ``SQLiteStorage``
    ///   for a file that cannot be used.
    public func declare(_ definition: QueueDefinition) async throws(QueueError) {
        try definition.validate()
        try await file().commits.perform { transaction in try transaction.declare(definition) }
    }

    /// Deletes a queue with all it has, in one transaction; its consumers hear `notFound`.
    ///
    /// - Parameter queue: The queue's name.
    /// - Returns: Whether there was such a queue.
    /// - Throws: `QueueError`: those of ``SQLiteStorage`` for a file that cannot be used.
    public func deleteQueue(_ queue: String) async throws(QueueError) -> Bool {
        try NameRules.validate(queue: queue)
        return try await file().commits.perform { transaction in try transaction.deleteQueue(queue) }
    }

    /// Returns the settings of a queue.
    ///
    /// - Parameter queue: The queue's name.
    /// - Returns: What `declare` created, with all groups; `nil` when there is no such queue.
    /// - Throws: `QueueError` when the file cannot be read.
    public func definition(of queue: String) async throws(QueueError) -> QueueDefinition? {
        try await inspect { inspection in try inspection.existing(queue)?.definition }
    }

    /// Lists the queues that were declared.
    ///
    /// - Returns: Their names, sorted.
    /// - Throws: `QueueError` when the file cannot be read.
    public func queues() async throws(QueueError) -> [String] {
        try await inspect { inspection in try inspection.queues() }
    }

    /// Opens a consumer of one group, which fetches nothing before `receive` asks for it.
    ///
    /// - Parameters:
    ///   - queue: A declared queue.
    ///   - group: A declared group of it.
    ///   - consumer: The consumer's name.
    ///   - options: How deliveries are handed over.
    /// - Returns: The consumer; close it when done.
    /// - Throws: `QueueError`: `notFound` for an unknown queue or group, `invalidName`; those of ``SQLiteStorage`` for a
    ///   file that cannot be used.
    public func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        try NameRules.validate(consumer: consumer, queue: queue)
        let file = try await file()
        let member = Member(
            queue: queue,
            group: group,
            name: consumer,
            token: .random(in: 1 ... .max),
            mode: options.mode
        )
        let found = try await file.commits.perform(isDurable: false) { transaction in
            let ids = try transaction.group(member.group, of: member.queue)
            return (definition: try transaction.join(member), group: ids.1.id, queue: ids.0.id)
        }
        let opened = SQLiteConsumer(
            owner: self,
            file: file,
            member: member,
            lease: found.definition.lease,
            groupID: found.group,
            queueID: found.queue
        )
        let isClosed = shared.withLock { shared in
            if case .closed = shared.state { return true }
            shared.consumers = shared.consumers.filter { $0.value.consumer != nil }
            shared.consumers[member.token] = Weak(consumer: opened)
            return false
        }
        // The client may have been closed while the consumer was being opened.
        guard !isClosed else { throw GroupCommit.closed }
        return opened
    }

    /// Returns the figures of a queue in one state of the file; all are exact but the number of consumers, which counts
    /// those that were there within the last 30 seconds.
    ///
    /// - Parameter queue: A declared queue.
    /// - Returns: The figures. In a keyed queue, what waits behind its key counts as ready.
    /// - Throws: `QueueError`: `notFound` for an unknown queue; those of ``SQLiteStorage`` for a file that cannot be read.
    public func statistics(of queue: String) async throws(QueueError) -> QueueStatistics {
        try await inspect { inspection in try inspection.statistics(of: queue) }
    }

    /// Closes this client, its consumers and the file; later calls throw `closed`, closing twice is fine.
    public func close() async {
        let (file, task, consumers) = shared.withLock { shared in
            defer {
                shared.state = .closed
                shared.consumers = [:]
            }
            let consumers = shared.consumers.values.compactMap(\.consumer)
            switch shared.state {
            case .open(let file): return (file as SQLiteFile?, nil as Task<SQLiteFile, any Error>?, consumers)
            case .opening(let task): return (nil, task, consumers)
            case .new, .closed: return (nil, nil, consumers)
            }
        }
        // Side by side: where the turn to write does not come, each waits for as long as the timeout.
        await withTaskGroup { group in
            for consumer in consumers { group.addTask { await consumer.close() } }
        }
        if let file { await file.close() }
        if let file = try? await task?.value { await file.close() }
    }

    func forget(_ token: UInt32) { shared.withLock { $0.consumers[token] = nil } }

    func inspect<Result: Sendable>(
        _ body: @escaping @Sendable (Inspection) throws -> Result
    ) async throws(QueueError) -> Result {
        let clock = clock
        return try await file().read { database in
            try body(Inspection(database: database, now: FileTime.present(clock.date())))
        }
    }
}

/// A continuation that the first answer resumes.
private final class Answer: Sendable {
    private let waiting = Mutex<CheckedContinuation<SQLiteFile, any Error>?>(nil)

    func begin(_ continuation: CheckedContinuation<SQLiteFile, any Error>) { waiting.withLock { $0 = continuation } }

    /// Returns whether this was the first answer.
    func give(_ result: Result<SQLiteFile, any Error>) -> Bool {
        guard let continuation = waiting.withLock({ $0.take() }) else { return false }
        continuation.resume(with: result)
        return true
    }
}
#endif
