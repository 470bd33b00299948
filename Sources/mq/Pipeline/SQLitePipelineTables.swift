#if SQLite
import Foundation
import GRDB
import Messaging
import MessagingSQLite
import Synchronization

/// The pipeline's tables in the file of its queues, made when they are first used.
///
/// Ids and names of texts are stored as bytes, for a text in SQLite may end at a NUL.
final class SQLitePipelineTables: Sendable {
    private static let version = 1

    private let storage: SQLiteStorage
    private let isReady = Atomic(false)

    init(_ storage: SQLiteStorage) {
        self.storage = storage
    }

    func write<Result: Sendable>(
        _ body: @escaping @Sendable (GRDB.Database) throws -> Result
    ) async throws(QueueError) -> Result {
        try await prepare()
        return try await storage.write(body)
    }

    func read<Result: Sendable>(
        _ body: @escaping @Sendable (GRDB.Database) throws -> Result
    ) async throws(QueueError) -> Result {
        try await prepare()
        return try await storage.read(body)
    }

    private func prepare() async throws(QueueError) {
        if isReady.load(ordering: .acquiring) { return }
        // Another task or process may do the same; the transactions come one after the other.
        try await storage.write { try Self.create($0) }
        isReady.store(true, ordering: .releasing)
    }

    private static func create(_ db: Database) throws {
        try db.execute(
            sql:
                "CREATE TABLE IF NOT EXISTS pipeline_meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID"
        )
        let found = try Int.fetchOne(db, sql: "SELECT value FROM pipeline_meta WHERE name = 'version'")
        if let found, found != version {
            throw QueueError(
                .topologyConflict,
                "the pipeline's tables in this file have version \(found), and this program knows version \(version); "
                    + "use a program that knows \(found), or another file"
            )
        }
        if found != nil { return }
        try db.execute(sql: schema)
        try db.execute(
            sql: "INSERT INTO pipeline_meta (name, value) VALUES ('version', ?), ('unique', 0)",
            arguments: [version]
        )
    }

    private static let schema = """
        -- Deduplication: each text with its earliest statement. `original` is the order of the earliest statement known to
        -- say the same.
        CREATE TABLE pipeline_fingerprint (
            number INTEGER PRIMARY KEY, text BLOB NOT NULL UNIQUE, id BLOB NOT NULL, earliest TEXT NOT NULL,
            original TEXT NOT NULL, figures TEXT NOT NULL, signature BLOB NOT NULL);
        CREATE TABLE pipeline_bucket (
            bucket INTEGER NOT NULL, time INTEGER NOT NULL, number INTEGER NOT NULL,
            PRIMARY KEY (bucket, time, number)) WITHOUT ROWID;
        -- API: the statements, in the order in which they were first applied, and the original of each text.
        CREATE TABLE pipeline_statement (
            position INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, sorting TEXT NOT NULL, text BLOB NOT NULL,
            is_unique INTEGER NOT NULL, content TEXT NOT NULL);
        CREATE INDEX pipeline_statement_all ON pipeline_statement (sorting);
        CREATE INDEX pipeline_statement_unique ON pipeline_statement (sorting) WHERE is_unique = 1;
        CREATE INDEX pipeline_statement_copies ON pipeline_statement (text) WHERE is_unique = 0;
        CREATE TABLE pipeline_text (
            text BLOB PRIMARY KEY, original BLOB NOT NULL, sorting TEXT NOT NULL) WITHOUT ROWID;
        CREATE INDEX pipeline_text_original ON pipeline_text (original);
        -- Collection: what is remembered of each source.
        CREATE TABLE pipeline_source (source BLOB PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
        """
}

extension String {
    /// The text as SQLite keeps an id.
    var blob: Data { Data(utf8) }

    /// A text from an id in SQLite.
    init(blob: Data) { self.init(decoding: blob, as: UTF8.self) }
}
#endif
