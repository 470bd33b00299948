#if SQLite
import GRDBSQLite
import Messaging

/// Inserts rows into a table of SQLite by the plain C interface: what a queue on SQLite is compared with.
struct PlainInserts: ~Copyable {
    private let connection: OpaquePointer
    private let statement: OpaquePointer
    private var next: Int64 = 1

    init(_ path: String) throws {
        var opened: OpaquePointer?
        guard sqlite3_open(path, &opened) == SQLITE_OK, let opened else { throw Self.failure("open") }
        for sql in [
            "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL",
            """
            CREATE TABLE message (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, body BLOB NOT NULL, key TEXT,
            content_type TEXT, headers BLOB, published_at INTEGER NOT NULL)
            """,
        ] {
            guard sqlite3_exec(opened, sql, nil, nil, nil) == SQLITE_OK else { throw Self.failure(sql) }
        }
        var prepared: OpaquePointer?
        let insert = "INSERT INTO message (seq, id, body, published_at) VALUES (?, ?, ?, ?)"
        guard sqlite3_prepare_v2(opened, insert, -1, &prepared, nil) == SQLITE_OK, let prepared else {
            throw Self.failure(insert)
        }
        connection = opened
        statement = prepared
    }

    deinit {
        sqlite3_finalize(statement)
        sqlite3_close(connection)
    }

    /// Inserts rows in one transaction.
    mutating func insert(_ rows: [Message]) throws {
        try execute("BEGIN IMMEDIATE")
        for row in rows {
            let code = row.body.withUnsafeBytes { body in
                row.id.rawValue.withCString { id in
                    sqlite3_bind_int64(statement, 1, next)
                    sqlite3_bind_text(statement, 2, id, -1, nil)
                    sqlite3_bind_blob(statement, 3, body.baseAddress, Int32(body.count), nil)
                    sqlite3_bind_int64(statement, 4, 1_700_000_000_000)
                    return sqlite3_step(statement)
                }
            }
            sqlite3_reset(statement)
            guard code == SQLITE_DONE else { throw Self.failure("insert") }
            next += 1
        }
        try execute("COMMIT")
    }

    private func execute(_ sql: String) throws {
        guard sqlite3_exec(connection, sql, nil, nil, nil) == SQLITE_OK else { throw Self.failure(sql) }
    }

    private static func failure(_ what: String) -> QueueError {
        QueueError(.brokerError, "plain SQLite: \(what) failed")
    }
}
#endif
