#if SQLite
import GRDB
import Messaging

/// The tables of the file, in the version that this library writes.
///
/// Every name begins with `mq_`, so that the file can be one that an application has already. Each queue has two tables of
/// its own, `mq_message_N` and `mq_seen_N`: rows are appended at the end of the tree and removed at its beginning, which
/// keeps the cost of a message the same however many queues and messages there are.
enum Schema {
    /// The version that this library reads and writes.
    static let version: Int64 = 2

    /// What brings a file from one version to the next; the first one begins with an empty file.
    private static let steps: [[String]] = [
        [
            "CREATE TABLE mq_meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
            "INSERT INTO mq_meta VALUES ('version', 0), ('topology', 0)",
            """
            CREATE TABLE mq_queue (
                id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, dedupe_window INTEGER NOT NULL,
                retention INTEGER NOT NULL, max_ready INTEGER, keyed INTEGER NOT NULL,
                next_seq INTEGER NOT NULL DEFAULT 1, stored INTEGER NOT NULL DEFAULT 0,
                swept TEXT NOT NULL DEFAULT '', sweep_at INTEGER NOT NULL DEFAULT 0)
            """,
            """
            CREATE TABLE mq_group (
                id INTEGER PRIMARY KEY, queue_id INTEGER NOT NULL, name TEXT NOT NULL, lease INTEGER NOT NULL,
                max_attempts INTEGER NOT NULL, start TEXT NOT NULL, cursor INTEGER NOT NULL,
                fence INTEGER NOT NULL DEFAULT 0, UNIQUE (queue_id, name))
            """,
            """
            CREATE TABLE mq_inflight (
                group_id INTEGER NOT NULL, seq INTEGER NOT NULL, fence INTEGER NOT NULL, until INTEGER NOT NULL,
                attempt INTEGER NOT NULL, redrives INTEGER NOT NULL, owner INTEGER NOT NULL, history TEXT,
                PRIMARY KEY (group_id, seq)) WITHOUT ROWID
            """,
            """
            CREATE TABLE mq_waiting (
                group_id INTEGER NOT NULL, due INTEGER NOT NULL, seq INTEGER NOT NULL, attempt INTEGER NOT NULL,
                redrives INTEGER NOT NULL, history TEXT, PRIMARY KEY (group_id, due, seq)) WITHOUT ROWID
            """,
            "CREATE INDEX mq_waiting_seq ON mq_waiting (group_id, seq)",
            """
            CREATE TABLE mq_held (
                group_id INTEGER NOT NULL, key TEXT NOT NULL, place INTEGER NOT NULL, seq INTEGER NOT NULL,
                redrives INTEGER NOT NULL, history TEXT, PRIMARY KEY (group_id, key, place)) WITHOUT ROWID
            """,
            "CREATE INDEX mq_held_seq ON mq_held (group_id, seq)",
            """
            CREATE TABLE mq_lane (group_id INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (group_id, key)) WITHOUT ROWID
            """,
            """
            CREATE TABLE mq_scheduled (
                number INTEGER PRIMARY KEY AUTOINCREMENT, queue_id INTEGER NOT NULL, due INTEGER NOT NULL, \(columns))
            """,
            "CREATE INDEX mq_scheduled_due ON mq_scheduled (queue_id, due)",
            "CREATE INDEX mq_scheduled_id ON mq_scheduled (queue_id, id)",
            """
            CREATE TABLE mq_dead (
                number INTEGER PRIMARY KEY AUTOINCREMENT, queue_id INTEGER NOT NULL, group_id INTEGER NOT NULL,
                reason TEXT NOT NULL, error TEXT, attempts INTEGER NOT NULL, redrives INTEGER NOT NULL,
                failed_at INTEGER NOT NULL, history TEXT, due INTEGER, \(columns))
            """,
            "CREATE INDEX mq_dead_queue ON mq_dead (queue_id)",
            "CREATE INDEX mq_dead_group ON mq_dead (group_id)",
            """
            CREATE TABLE mq_redriven (number INTEGER PRIMARY KEY AUTOINCREMENT, due INTEGER, \(columns))
            """,
            """
            CREATE TABLE mq_consumer (
                token INTEGER PRIMARY KEY, group_id INTEGER NOT NULL, name TEXT NOT NULL, seen_at INTEGER NOT NULL)
            """,
            "CREATE INDEX mq_consumer_group ON mq_consumer (group_id)",
            // The notes of `SQLiteProcessedStore`.
            """
            CREATE TABLE mq_processed (
                scope TEXT NOT NULL, id TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (scope, id)) WITHOUT ROWID
            """,
            "CREATE INDEX mq_processed_until ON mq_processed (until)",
            // What other programs publish through; see docs/wire-format.md. Each queue adds a trigger.
            """
            CREATE VIEW mq_publish AS
            SELECT NULL AS queue, NULL AS body, NULL AS id, NULL AS key, NULL AS content_type, NULL AS headers WHERE 0
            """,
            """
            CREATE TRIGGER mq_publish_check INSTEAD OF INSERT ON mq_publish
            WHEN NOT EXISTS (SELECT 1 FROM mq_queue WHERE name = new.queue)
            BEGIN SELECT RAISE(ABORT, 'there is no such queue; declare it first'); END
            """,
        ],
        [
            // Closed for publications.
            "ALTER TABLE mq_queue ADD COLUMN closed INTEGER NOT NULL DEFAULT 0",
            // What came from elsewhere, so that it comes once.
            "CREATE TABLE mq_restored (queue_id INTEGER NOT NULL, id TEXT NOT NULL, PRIMARY KEY (queue_id, id)) WITHOUT ROWID",
        ],
    ]

    /// The columns of a message, wherever it is.
    ///
    /// What may be large is last: SQLite walks through all that comes before a column to read it.
    static let columns = """
        published_at INTEGER NOT NULL, id TEXT NOT NULL, key TEXT, content_type TEXT, headers BLOB, body BLOB NOT NULL
        """

    /// Brings a file to the current version, in one transaction.
    ///
    /// - Throws: `QueueError` for a file of a later version, `DatabaseError`.
    static func migrate(_ database: Database, file: String) throws {
        let present = try version(of: database)
        guard present <= version else {
            throw QueueError(
                .unsupported,
                "the file '\(file)' was written by a later version of this library (format \(present), this one reads "
                    + "up to \(version)); update this program"
            )
        }
        guard present < version else { return }
        for step in steps[Int(present)...] {
            for statement in step { try database.execute(sql: statement) }
        }
        try database.execute(sql: "UPDATE mq_meta SET value = ? WHERE name = 'version'", arguments: [version])
    }

    /// The version of a file; 0 when it has none of the tables.
    static func version(of database: Database) throws -> Int64 {
        guard try database.tableExists("mq_meta") else { return 0 }
        return try Int64.fetchOne(database, sql: "SELECT value FROM mq_meta WHERE name = 'version'") ?? 0
    }

    /// What keeps other programs from publishing to a queue that is closed.
    static func closing(_ queue: Int64, named name: String) -> String {
        """
        CREATE TRIGGER IF NOT EXISTS mq_closed_\(queue) INSTEAD OF INSERT ON mq_publish WHEN new.queue = '\(quoted(name))'
        BEGIN SELECT RAISE(ABORT, 'the queue is closed for publications'); END
        """
    }

    // NameRules lets no quote through; doubling them keeps this true on its own.
    private static func quoted(_ name: String) -> String {
        name.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''")
    }

    /// What a new queue needs beside its row in `mq_queue`.
    static func tables(of queue: Int64, named name: String) -> [String] {
        // Rounded: a day as a binary fraction is up to 0.04 ms beside the millisecond that is meant.
        let now = "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"
        return [
            "CREATE TABLE mq_message_\(queue) (seq INTEGER PRIMARY KEY, due INTEGER, \(columns))",
            """
            CREATE TABLE mq_seen_\(queue) (
                id TEXT PRIMARY KEY, digest INTEGER, published_at INTEGER NOT NULL) WITHOUT ROWID
            """,
            """
            CREATE TRIGGER mq_publish_\(queue) INSTEAD OF INSERT ON mq_publish WHEN new.queue = '\(quoted(name))'
            BEGIN
                SELECT RAISE(IGNORE) FROM mq_seen_\(queue) s JOIN mq_queue q ON q.id = \(queue)
                    WHERE s.id = new.id AND s.published_at + q.dedupe_window > \(now);
                SELECT RAISE(ABORT, 'the queue has reached its bound') FROM mq_queue q
                    WHERE q.id = \(queue) AND q.max_ready <= coalesce((SELECT max(q.next_seq - 1 - g.cursor
                        + (SELECT count(*) FROM mq_waiting w WHERE w.group_id = g.id AND w.due <= \(now))
                        + (SELECT count(*) FROM mq_held h WHERE h.group_id = g.id))
                        FROM mq_group g WHERE g.queue_id = \(queue)), q.stored);
                -- Not INSERT OR REPLACE: what the program says after INSERT would be used instead.
                DELETE FROM mq_seen_\(queue) WHERE id = new.id;
                INSERT INTO mq_seen_\(queue) (id, digest, published_at)
                    SELECT new.id, NULL, \(now) FROM mq_queue q
                    WHERE new.id IS NOT NULL AND q.id = \(queue) AND q.dedupe_window > 0;
                INSERT INTO mq_message_\(queue) (seq, id, body, key, content_type, headers, published_at)
                    SELECT next_seq, coalesce(new.id, lower(hex(randomblob(16)))), CAST(coalesce(new.body, '') AS BLOB),
                        new.key, new.content_type, new.headers, \(now) FROM mq_queue WHERE id = \(queue);
                UPDATE mq_queue SET next_seq = next_seq + 1, stored = stored + 1 WHERE id = \(queue);
            END
            """,
        ]
    }
}
#endif
