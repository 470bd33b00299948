#if SQLite
import Foundation
import GRDB
import Messaging

/// What is known of migrations: an SQLite file of its own, which is none of the sides and has no credentials in it.
///
/// Every change of a migration is one compare-and-set on its epoch. Several processes of a machine share the file.
public final class MigrationJournal: Sendable {
    /// Where the file is.
    public let path: String
    private let file: DatabaseQueue

    /// Opens the file, and creates it unless told otherwise.
    ///
    /// - Parameters:
    ///   - path: Where the file is.
    ///   - creates: Whether a file that is not there is created; its folder never is.
    /// - Throws: `MigrationError` when it cannot be used, `notFound` when it is not there.
    public convenience init(path: String, creates: Bool = true) throws {
        try self.init(path: path, creates: creates, version: Self.version)
    }

    /// Opens the file as some version would.
    init(path: String, creates: Bool, version: Int) throws {
        self.path = path
        guard creates || FileManager.default.fileExists(atPath: path) else {
            throw MigrationError(.notFound, "there is no journal of migrations at '\(path)'; give --journal")
        }
        var configuration = Configuration()
        configuration.label = "mq-migration"
        configuration.busyMode = .timeout(10)
        configuration.prepareDatabase { database in
            try Self.useLog(database)
            try database.execute(sql: "PRAGMA synchronous = FULL")
        }
        do {
            file = try DatabaseQueue(path: path, configuration: configuration)
            // One transaction that waits for others from its beginning.
            try file.inDatabase { database in
                try database.inTransaction(.immediate) {
                    try Self.prepare(database, version)
                    return .commit
                }
            }
        } catch {
            throw Self.failure(error, path)
        }
    }

    /// Whether there is a journal.
    ///
    /// - Parameter path: Where it would be.
    /// - Returns: Whether a file is there.
    public static func exists(at path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    /// Switches a new file to write-ahead logging, which it keeps.
    ///
    /// SQLite does not wait for whoever does the same at this moment (its busy handler is only asked by a connection
    /// that has no transaction yet, and this one has begun one to read the header), so an empty transaction, which does
    /// wait, stands between two tries.
    private static func useLog(_ database: Database) throws {
        for _ in 0..<100 {
            do {
                try database.execute(sql: "PRAGMA journal_mode = WAL")
                return
            } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
                try database.inTransaction(.immediate) { .commit }
            }
        }
        try database.execute(sql: "PRAGMA journal_mode = WAL")
    }

    private static func failure(_ error: any Error, _ path: String) -> MigrationError {
        if let error = error as? MigrationError { return error }
        return MigrationError(
            .journal,
            "the journal of migrations '\(path)' cannot be used: \(error); check its folder, rights and disk"
        )
    }

    /// What to throw: SQLite says of a statement that was cancelled that it was interrupted.
    private static func ending(_ error: any Error, _ path: String) -> any Error {
        if error is CancellationError { return error }
        let isEnded = [.SQLITE_INTERRUPT, .SQLITE_ABORT].contains((error as? DatabaseError)?.resultCode)
        return isEnded && Task.isCancelled ? CancellationError() : failure(error, path)
    }

    func write<Result: Sendable>(_ body: @escaping @Sendable (Database) throws -> Result) async throws -> Result {
        do { return try await file.write(body) } catch { throw Self.ending(error, path) }
    }

    func read<Result: Sendable>(_ body: @escaping @Sendable (Database) throws -> Result) async throws -> Result {
        do { return try await file.read(body) } catch { throw Self.ending(error, path) }
    }

    // MARK: - Migrations

    /// Writes a new migration down.
    ///
    /// - Parameter migration: The migration.
    /// - Throws: `MigrationError` with the kind `busy` when the queue is moving already.
    public func begin(_ migration: Migration) async throws {
        try await write { database in
            if let other = try Self.latest(migration.queue, database), other.isLive {
                throw MigrationError(
                    .busy,
                    "queue '\(migration.queue)' is moving from '\(other.from)' to '\(other.to)' already; 'mq migrate "
                        + "status' says how far it is"
                )
            }
            try MigrationRow(migration).insert(database)
        }
    }

    /// Replaces a migration by the next one, if nobody else has meanwhile.
    ///
    /// - Parameters:
    ///   - old: The migration as it was read.
    ///   - new: The same with a higher epoch.
    /// - Throws: `MigrationError` with the kind `busy` when it is no longer as it was read.
    public func advance(_ old: Migration, to new: Migration) async throws {
        try await write { database in
            let changed = try MigrationRow.filter(Column("id") == old.id && Column("epoch") == old.epoch)
                .updateAll(
                    database,
                    Column("state").set(to: new.state.rawValue),
                    Column("percent").set(to: new.percent),
                    Column("epoch").set(to: new.epoch),
                    Column("leg").set(to: new.leg),
                    Column("reversed").set(to: new.isReversed),
                    Column("changed_at").set(to: new.changedAt)
                )
            guard changed == 1 else {
                throw MigrationError(.busy, "the migration of '\(old.queue)' was changed by somebody else meanwhile")
            }
        }
    }

    /// Returns the last migration of a queue.
    ///
    /// - Parameter queue: The queue.
    /// - Returns: The migration, finished or not; `nil` when there was none.
    /// - Throws: `MigrationError`.
    public func latest(_ queue: String) async throws -> Migration? {
        try await read { database in try Self.latest(queue, database) }
    }

    /// Returns all migrations, oldest first.
    ///
    /// - Returns: The migrations.
    /// - Throws: `MigrationError`.
    public func all() async throws -> [Migration] {
        try await read { database in
            try MigrationRow.order(Column.rowID).fetchAll(database).map { try $0.migration() }
        }
    }

    /// Returns the last migration of a queue if a backend has taken part in any of that queue.
    func latest(_ queue: String, involving place: String) async throws -> Migration? {
        try await read { database in
            let isInvolved = try MigrationRow.filter(
                Column("queue") == queue && (Column("source") == place || Column("target") == place)
            ).fetchCount(database)
            return isInvolved > 0 ? try Self.latest(queue, database) : nil
        }
    }

    private static func latest(_ queue: String, _ database: Database) throws -> Migration? {
        try MigrationRow.filter(Column("queue") == queue).order(Column.rowID.desc).fetchOne(database)?.migration()
    }

    // MARK: - Leases

    /// Takes the lease of whoever carries a migration out, or renews it.
    func control(_ migration: Migration, by owner: String, until: Date, now: Date) async throws {
        try await write { database in
            let other = try Row.fetchOne(
                database,
                sql: "SELECT owner FROM controller WHERE migration = ? AND owner <> ? AND expires_at > ?",
                arguments: [migration.id, owner, now]
            )
            guard other == nil else {
                throw MigrationError(
                    .busy,
                    "another process carries out the migration of '\(migration.queue)'; wait until it has ended"
                )
            }
            try database.execute(
                sql: "INSERT OR REPLACE INTO controller (migration, owner, expires_at) VALUES (?, ?, ?)",
                arguments: [migration.id, owner, until]
            )
        }
    }

    func releaseControl(_ migration: Migration, by owner: String) async throws {
        try await write { database in
            try database.execute(
                sql: "DELETE FROM controller WHERE migration = ? AND owner = ?",
                arguments: [migration.id, owner]
            )
        }
    }

    func join(_ participant: Participant, _ migration: Migration) async throws {
        try await write { database in
            try database.execute(
                sql: """
                    INSERT OR REPLACE INTO participant (migration, id, name, epoch, expires_at, attempted, failed, has_left)
                        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    migration.id, participant.id, participant.name, participant.epoch, participant.expiresAt,
                    participant.lately.attempted, participant.lately.failed, participant.hasLeft,
                ]
            )
        }
    }

    func leave(_ participant: String) async throws {
        try await write { database in
            try database.execute(
                sql: "DELETE FROM participant WHERE id = ? AND has_left = 0",
                arguments: [participant]
            )
        }
    }

    /// Lists the processes that take part, and those that have left and had something to tell.
    ///
    /// - Parameters:
    ///   - migration: The migration.
    ///   - now: The time; those whose lease is over are not listed.
    /// - Returns: The processes.
    /// - Throws: `MigrationError`.
    public func participants(of migration: Migration, now: Date) async throws -> [Participant] {
        try await read { database in
            try Row.fetchAll(
                database,
                sql: "SELECT * FROM participant WHERE migration = ? AND expires_at > ? ORDER BY name, id",
                arguments: [migration.id, now]
            ).map {
                Participant(
                    id: $0["id"],
                    name: $0["name"],
                    epoch: $0["epoch"],
                    expiresAt: $0["expires_at"],
                    lately: PublicationCount(attempted: $0["attempted"], failed: $0["failed"]),
                    hasLeft: $0["has_left"]
                )
            }
        }
    }
}
#endif
