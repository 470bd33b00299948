#if SQLite
import Dispatch
import Foundation
import GRDB
import Logging
import Messaging
import Synchronization

/// An open file, as one client uses it: the connections, the turn to write, and the wake-ups between processes.
final class SQLiteFile: Sendable {
    let configuration: SQLiteConfiguration
    let clock: QueueClock
    let wakeups = Wakeups()
    let commits: GroupCommit
    private let pool: DatabasePool
    private let turn: WriteTurn
    private let peers: Peers
    private let logger: Logger
    private let watch: Watch

    /// How long closing may take.
    private static let closeLimit = 5

    /// What marks the files that belong to a database, beside SQLite's own `-wal` and `-shm`.
    static func folder(of path: String) -> String { path + "-mq" }

    /// Opens the file, and creates it when it is not there; blocks.
    init(_ configuration: SQLiteConfiguration, clock: QueueClock, logger: Logger) throws {
        var configuration = configuration
        // Whoever comes by a link must find the same locks and pipes as SQLite finds the same log.
        configuration.path = URL(fileURLWithPath: configuration.path).resolvingSymlinksInPath().path
        self.configuration = configuration
        self.clock = clock
        self.logger = logger
        guard configuration.createsFile || FileManager.default.fileExists(atPath: configuration.path) else {
            throw QueueError(
                .notFound,
                "there is no file '\(configuration.path)'; check the path, or publish something to begin with"
            )
        }
        let folder = Self.folder(of: configuration.path)
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        } catch {
            var isFolder = ObjCBool(false)
            guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), isFolder.boolValue else {
                throw Self.cannotCreate(folder, configuration.path, error)
            }
        }
        let turn = try WriteTurn(folder: folder)
        try turn.take()
        defer { turn.giveBack() }
        pool = try DatabasePool(path: configuration.path, configuration: Self.connections(configuration))
        try pool.writeWithoutTransaction { database in
            try database.inTransaction(.immediate) {
                try Schema.migrate(database, file: configuration.path)
                return .commit
            }
        }
        let wakeups = wakeups
        let peers = try Peers(folder: folder) { queues in wakeups.wake(queues: queues) }
        self.turn = turn
        self.peers = peers
        commits = GroupCommit(
            pool: pool,
            turn: turn,
            configuration: configuration,
            clock: clock,
            logger: logger
        ) { groups, queues in
            for group in groups { wakeups.wake(group: group) }
            peers.signal(queues)
        }
        watch = Watch(every: configuration.heartbeat, pool: pool, wakeups: wakeups, peers: peers)
    }

    /// A client that was dropped without being closed leaves nothing behind either.
    deinit {
        watch.end()
        peers.leave()
    }

    /// Runs a closure in a read transaction.
    func read<Result: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Result
    ) async throws(QueueError) -> Result {
        let path = configuration.path
        let result = await withCheckedContinuation { continuation in
            pool.asyncRead { database in
                let result = Swift.Result { try body(database.get()) }
                continuation.resume(returning: result.mapError { SQLiteErrors.error($0, file: path, .reading) })
            }
        }
        return try result.get()
    }

    /// Closes the connections once nothing is under way; a writer that is stopped elsewhere does not hold this up for
    /// longer than five seconds.
    func close() async {
        watch.end()
        wakeups.shut()
        await withCheckedContinuation { continuation in
            let once = Once { continuation.resume() }
            commits.shut { [self] in
                DispatchQueue.global().async {
                    self.peers.leave()
                    // Readers first: only a connection that can write takes the log away when it is the last.
                    self.pool.invalidateReadOnlyConnections()
                    do { try self.pool.close() } catch {
                        self.logger.debug("a connection stays open", metadata: [LogKeys.error: "\(error)"])
                    }
                    self.turn.shut()
                    once()
                }
            }
            DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(Self.closeLimit)) { once() }
        }
    }

    private static func connections(_ configuration: SQLiteConfiguration) -> Configuration {
        var connections = Configuration()
        connections.label = "mq.sqlite"
        connections.busyMode = .timeout(configuration.timeout.inSeconds)
        connections.maximumReaderCount = 3
        connections.foreignKeysEnabled = false
        // A transaction that a broken disk does not let us roll back ends with the next one, not with the program.
        connections.allowsUnsafeTransactions = true
        let maxFileBytes = configuration.maxFileBytes
        connections.prepareDatabase { database in
            // Bounds the memory of a connection, in units of 1024 bytes.
            try database.execute(sql: "PRAGMA cache_size = -8000")
            guard !database.configuration.readonly else { return }
            // For a new file only; an existing one keeps what it has.
            try database.execute(sql: "PRAGMA auto_vacuum = INCREMENTAL")
            try database.execute(sql: "PRAGMA journal_size_limit = 67108864")
            try database.execute(sql: "PRAGMA wal_autocheckpoint = 2000")
            if let maxFileBytes {
                let pageSize = try Int64.fetchOne(database, sql: "PRAGMA page_size") ?? 4096
                try database.execute(sql: "PRAGMA max_page_count = \(max(1, maxFileBytes / pageSize))")
            }
        }
        return connections
    }

    private static func cannotCreate(_ folder: String, _ path: String, _ error: any Error) -> QueueError {
        let isForbidden = (error as? CocoaError)?.code == .fileWriteNoPermission
        return QueueError(
            isForbidden ? .permissionDenied : .unavailable,
            "the file '\(path)' cannot be opened: the folder '\(folder)' beside it cannot be created; check that its "
                + "folder exists and may be written",
            isRetryable: false,
            underlying: error
        )
    }
}

/// Calls a closure the first time only.
private final class Once: Sendable {
    private let body: Mutex<(@Sendable () -> Void)?>

    init(_ body: @escaping @Sendable () -> Void) { self.body = Mutex(body) }

    func callAsFunction() {
        let body = body.withLock { $0.take() }
        body?()
    }
}
#endif
