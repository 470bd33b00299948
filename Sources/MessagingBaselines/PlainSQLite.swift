#if SQLite
import GRDBSQLite
import Messaging
import MessagingSQLite

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

extension PlainLibrary {
    /// SQLite's C interface: rows in a table of a further file, in the same batches and with the same `synchronous`.
    ///
    /// - Parameter configuration: Beside which file, and how.
    /// - Returns: The library.
    public static func sqlite(_ configuration: SQLiteConfiguration) -> PlainLibrary {
        PlainLibrary(name: "SQLite \(String(cString: sqlite3_libversion()))") {
            try PlainSQLite(
                path: "\(configuration.path)-\($0.queue)",
                synchronous: configuration.synchronous,
                $0
            )
        }
    }
}

/// Inserts rows into a table of SQLite by the plain C interface, and takes them out again: what a queue on SQLite is
/// compared with.
public final class PlainSQLite: PlainClient {
    private let path: String
    private let settings: PlainSettings
    private let body: [UInt8]
    private var connection: OpaquePointer?
    private var insert: OpaquePointer?
    private var select: OpaquePointer?
    private var delete: OpaquePointer?
    private var next: Int64 = 1

    /// Makes a file with a table.
    ///
    /// - Parameters:
    ///   - path: A file that is not there yet; `close()` removes it.
    ///   - synchronous: When a commit is on the disk.
    ///   - settings: The body's size, and how many rows go into one transaction.
    /// - Throws: `QueueError` when the file is there or cannot be made.
    public init(path: String, synchronous: SQLiteConfiguration.Synchronous, _ settings: PlainSettings) throws {
        self.path = path
        self.settings = settings
        body = settings.body
        guard access(path, F_OK) != 0 else {
            throw QueueError(.invalidArgument, "the file '\(path)' of the plain SQLite client is there already")
        }
        do {
            guard sqlite3_open(path, &connection) == SQLITE_OK else { throw Self.failure("opening '\(path)'") }
            sqlite3_busy_timeout(connection, Int32(PlainLimits.answerSeconds * 1000))
            for sql in [
                "PRAGMA journal_mode = WAL", "PRAGMA synchronous = \(synchronous.rawValue)",
                """
                CREATE TABLE message (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, body BLOB NOT NULL, key TEXT,
                content_type TEXT, headers BLOB, published_at INTEGER NOT NULL)
                """,
            ] { try execute(sql) }
            insert = try prepare("INSERT INTO message (seq, id, body, published_at) VALUES (?, ?, ?, ?)")
            select = try prepare("SELECT seq, id, body FROM message ORDER BY seq LIMIT ?")
            delete = try prepare("DELETE FROM message WHERE seq <= ?")
        } catch {
            close()
            throw error
        }
    }

    /// Inserts so many rows, each batch in one transaction.
    ///
    /// - Parameter count: How many.
    /// - Throws: `QueueError` when SQLite refuses one.
    public func publish(_ count: Int) throws {
        var left = count
        while left > 0 {
            let part = min(left, settings.window)
            try execute("BEGIN IMMEDIATE")
            for _ in 0..<part {
                let code = body.withUnsafeBytes { body in
                    "01900000-0000-7000-8000-000000000000".withCString { id in
                        sqlite3_bind_int64(insert, 1, next)
                        sqlite3_bind_text(insert, 2, id, -1, nil)
                        sqlite3_bind_blob(insert, 3, body.baseAddress, Int32(body.count), nil)
                        sqlite3_bind_int64(insert, 4, 1_700_000_000_000)
                        return sqlite3_step(insert)
                    }
                }
                sqlite3_reset(insert)
                guard code == SQLITE_DONE else { throw Self.failure("inserting") }
                next += 1
            }
            try execute("COMMIT")
            left -= part
        }
    }

    /// Reads so many rows and deletes them, each batch in one transaction.
    ///
    /// - Parameter count: How many.
    /// - Throws: `QueueError` when there are fewer.
    public func consume(_ count: Int) throws {
        var left = count
        while left > 0 {
            let part = min(left, settings.window)
            try execute("BEGIN IMMEDIATE")
            sqlite3_bind_int64(select, 1, Int64(part))
            var taken = 0
            var bytes = 0
            var last: Int64 = 0
            while sqlite3_step(select) == SQLITE_ROW {
                last = sqlite3_column_int64(select, 0)
                let size = Int(sqlite3_column_bytes(select, 2))
                bytes += UnsafeRawBufferPointer(start: sqlite3_column_blob(select, 2), count: size).count
                taken += 1
            }
            sqlite3_reset(select)
            guard taken == part, bytes >= part * settings.size else { throw Self.failure("\(left) rows are missing") }
            sqlite3_bind_int64(delete, 1, last)
            let code = sqlite3_step(delete)
            sqlite3_reset(delete)
            guard code == SQLITE_DONE else { throw Self.failure("deleting") }
            try execute("COMMIT")
            left -= part
        }
    }

    /// Closes the file and removes it.
    public func close() {
        guard let open = connection else { return }
        for statement in [insert, select, delete] { sqlite3_finalize(statement) }
        (insert, select, delete, connection) = (nil, nil, nil, nil)
        sqlite3_close_v2(open)
        for suffix in ["", "-wal", "-shm", "-journal"] { unlink(path + suffix) }
    }

    deinit { close() }

    private func prepare(_ sql: String) throws -> OpaquePointer {
        var statement: OpaquePointer?
        guard sqlite3_prepare_v2(connection, sql, -1, &statement, nil) == SQLITE_OK, let statement else {
            throw Self.failure(sql)
        }
        return statement
    }

    private func execute(_ sql: String) throws {
        guard sqlite3_exec(connection, sql, nil, nil, nil) == SQLITE_OK else { throw Self.failure(sql) }
    }

    private static func failure(_ step: String) -> QueueError { QueueError.plain("SQLite", step) }
}
#endif
