#if SQLite
import GRDB
import GRDBSQLite

/// A statement about many messages at once, whose texts SQLite reads where they stand.
///
/// GRDB makes several copies of each text on the way; a move binds a dozen for each message. The only file of this module that
/// calls SQLite's C interface: the statement belongs to GRDB's cache of its connection and is used on that connection's queue
/// only, and what is bound is forgotten before ``run()`` returns.
struct BulkStatement: ~Copyable {
    private let statement: Statement
    private let connection: OpaquePointer?
    private var bytes: [UInt8] = []
    /// Where each text ends; nothing for a value that is none.
    private var ends: [Int?] = []

    /// Prepares a statement.
    ///
    /// - Parameters:
    ///   - database: The connection.
    ///   - sql: The statement.
    ///   - size: About how many bytes its texts have.
    /// - Throws: `DatabaseError`.
    init(_ database: Database, _ sql: String, size: Int) throws {
        statement = try database.cachedStatement(sql: sql)
        connection = database.sqliteConnection
        bytes.reserveCapacity(size)
    }

    /// Adds the value of the next parameter.
    mutating func add(_ text: String?) {
        guard let text else { return ends.append(nil) }
        bytes.append(contentsOf: text.utf8)
        ends.append(bytes.count)
    }

    /// Runs the statement, which returns no rows.
    ///
    /// - Returns: How many rows it changed.
    /// - Throws: `DatabaseError`.
    consuming func run() throws -> Int {
        let pointer = statement.sqliteStatement
        // So that there is a pointer even where all texts are empty.
        bytes.append(0)
        return try bytes.withUnsafeBytes { buffer in
            defer {
                sqlite3_reset(pointer)
                sqlite3_clear_bindings(pointer)
            }
            var start = 0
            for (index, end) in ends.enumerated() {
                let position = Int32(clamping: index + 1)
                guard let end else {
                    try check(sqlite3_bind_null(pointer, position), SQLITE_OK)
                    continue
                }
                let text = buffer[start..<end].withMemoryRebound(to: CChar.self) { text in
                    // Static: it is not changed until the bindings are cleared.
                    sqlite3_bind_text(pointer, position, text.baseAddress, Int32(clamping: text.count), nil)
                }
                try check(text, SQLITE_OK)
                start = end
            }
            try check(sqlite3_step(pointer), SQLITE_DONE)
            return Int(sqlite3_changes(connection))
        }
    }

    private func check(_ code: Int32, _ expected: Int32) throws {
        guard code != expected else { return }
        let extended = connection.map { sqlite3_extended_errcode($0) } ?? code
        let message = connection.flatMap { sqlite3_errmsg($0) }.map { String(cString: $0) }
        throw DatabaseError(resultCode: ResultCode(rawValue: extended), message: message)
    }
}
#endif
