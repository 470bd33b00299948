#if SQLite
import Foundation
import GRDB
import Messaging

extension MigrationJournal {
    static let version = 2

    /// Makes the tables of a new file, in a transaction that nobody else can begin meanwhile.
    static func prepare(_ database: Database, _ version: Int) throws {
        let found = try Int.fetchOne(database, sql: "PRAGMA user_version") ?? 0
        guard found <= version else {
            throw MigrationError(.journal, "the journal of migrations was written by a newer version; use that one")
        }
        if found < 1 { try database.execute(sql: first) }
        if found < 2, version >= 2 { try database.execute(sql: second) }
        if found < version { try database.execute(sql: "PRAGMA user_version = \(version)") }
    }

    private static let first = """
        CREATE TABLE migration (
            id TEXT NOT NULL UNIQUE, queue TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL,
            mode TEXT NOT NULL, ordered INTEGER NOT NULL, state TEXT NOT NULL, percent INTEGER NOT NULL,
            epoch INTEGER NOT NULL, leg INTEGER NOT NULL, reversed INTEGER NOT NULL,
            lease_ms INTEGER NOT NULL, started_at TEXT NOT NULL, changed_at TEXT NOT NULL
        );
        CREATE INDEX migration_queue ON migration (queue);
        CREATE TABLE intent (
            migration TEXT NOT NULL, leg INTEGER NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL,
            group_name TEXT, message_id TEXT NOT NULL, source_id TEXT NOT NULL, hash TEXT NOT NULL, due TEXT,
            state TEXT NOT NULL, reason TEXT, PRIMARY KEY (migration, leg, id)
        ) WITHOUT ROWID;
        CREATE TABLE controller (
            migration TEXT NOT NULL PRIMARY KEY, owner TEXT NOT NULL, expires_at TEXT NOT NULL
        );
        CREATE TABLE participant (
            migration TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, epoch INTEGER NOT NULL,
            expires_at TEXT NOT NULL, PRIMARY KEY (migration, id)
        );
        """

    /// How often something may have been written in on the new side, and what became of publications to it.
    ///
    /// How often the version before had written something in nobody knows: its second copies stay excused.
    private static let second = """
        ALTER TABLE intent ADD COLUMN tries INTEGER NOT NULL DEFAULT 1;
        UPDATE intent SET tries = 65;
        ALTER TABLE participant ADD COLUMN attempted INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE participant ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE participant ADD COLUMN has_left INTEGER NOT NULL DEFAULT 0;
        """
}

/// A migration as a row.
struct MigrationRow: Codable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "migration"
    static var databaseColumnDecodingStrategy: DatabaseColumnDecodingStrategy { .convertFromSnakeCase }
    static var databaseColumnEncodingStrategy: DatabaseColumnEncodingStrategy { .convertToSnakeCase }

    var id: String
    var queue: String
    var source: String
    var target: String
    var mode: String
    var ordered: Bool
    var state: String
    var percent: Int
    var epoch: Int
    var leg: Int
    var reversed: Bool
    var leaseMs: Int64
    var startedAt: Date
    var changedAt: Date

    init(_ migration: Migration) {
        id = migration.id
        queue = migration.queue
        source = migration.source
        target = migration.target
        mode = migration.mode.rawValue
        ordered = migration.isOrdered
        state = migration.state.rawValue
        percent = migration.percent
        epoch = migration.epoch
        leg = migration.leg
        reversed = migration.isReversed
        leaseMs = migration.lease.milliseconds
        startedAt = migration.startedAt
        changedAt = migration.changedAt
    }

    /// Returns the migration.
    ///
    /// - Throws: `MigrationError` when a newer version has written words that this one does not know.
    func migration() throws -> Migration {
        guard let mode = MigrationMode(rawValue: mode), let state = MigrationState(rawValue: state) else {
            throw MigrationError(
                .journal,
                "the migration of '\(queue)' was written by a newer version; use that one"
            )
        }
        var migration = Migration(
            id: id,
            queue: queue,
            source: source,
            target: target,
            mode: mode,
            isOrdered: ordered,
            lease: .milliseconds(leaseMs),
            date: startedAt
        )
        migration.state = state
        migration.percent = percent
        migration.epoch = epoch
        migration.leg = leg
        migration.isReversed = reversed
        migration.changedAt = changedAt
        return migration
    }
}

/// A message on its way as a row; read by hand, because a move has one for each message.
struct IntentRow: FetchableRecord, TableRecord {
    static let databaseTableName = "intent"

    let id: String
    let state: String
    /// The message; `nil` when a newer version has written words that this one does not know.
    let intent: Intent?

    init(row: Row) {
        id = row["id"]
        state = row["state"]
        guard let kind = StoredMessage.State(rawValue: row["kind"]), let known = Intent.State(rawValue: state) else {
            intent = nil
            return
        }
        intent = Intent(
            id: id,
            sourceID: row["source_id"],
            kind: kind,
            group: row["group_name"],
            messageID: row["message_id"],
            hash: row["hash"],
            due: row["due"],
            state: known,
            reason: row["reason"]
        )
    }
}
#endif
