#if SQLite
import GRDB
import GRDBSQLite

/// A value for a parameter of a statement.
enum SQLValue {
    case null
    case integer(Int64)
    case text(String)
    case bytes([UInt8])

    static func integer(_ value: Int) -> SQLValue { .integer(Int64(value)) }
    static func optional(_ value: String?) -> SQLValue { value.map { .text($0) } ?? .null }
    static func optional(_ value: Int64?) -> SQLValue { value.map { .integer($0) } ?? .null }
    static func optional(_ value: [UInt8]?) -> SQLValue { value.map { .bytes($0) } ?? .null }
}

/// A prepared statement, run without the detours that a general library needs.
///
/// The only file of this backend that calls SQLite's C interface. The statement belongs to GRDB's cache of its
/// connection, is used on that connection's queue only, and is reset before every return.
struct Prepared {
    private let statement: Statement
    private let pointer: OpaquePointer
    private let connection: OpaquePointer?

    /// The version of the SQLite library that is linked.
    static var libraryVersion: String { String(cString: sqlite3_libversion()) }

    init(_ database: Database, _ sql: String) throws {
        statement = try database.cachedStatement(sql: sql)
        pointer = statement.sqliteStatement
        connection = database.sqliteConnection
    }

    /// Runs a statement that returns no rows.
    ///
    /// - Returns: How many rows it changed.
    @discardableResult
    func run(_ values: SQLValue...) throws -> Int { try run(values) }

    /// Runs a statement that returns no rows.
    ///
    /// - Returns: How many rows it changed.
    @discardableResult
    func run(_ values: [SQLValue]) throws -> Int {
        defer { sqlite3_reset(pointer) }
        try bind(values)
        while try step() {}
        return Int(sqlite3_changes(connection))
    }

    /// Returns what a closure makes of the first row.
    func first<Result>(_ values: SQLValue..., read: (SQLRow) throws -> Result) throws -> Result? {
        defer { sqlite3_reset(pointer) }
        try bind(values)
        return try step() ? try read(SQLRow(pointer)) : nil
    }

    /// Calls a closure with each row; the row is valid within the call only.
    func each(_ values: SQLValue..., read: (SQLRow) throws -> Void) throws {
        defer { sqlite3_reset(pointer) }
        try bind(values)
        while try step() { try read(SQLRow(pointer)) }
    }

    /// Calls a closure with each row until it says that this is enough.
    func eachWhile(_ values: SQLValue..., read: (SQLRow) throws -> Bool) throws {
        defer { sqlite3_reset(pointer) }
        try bind(values)
        while try step(), try read(SQLRow(pointer)) {}
    }

    private func step() throws -> Bool {
        switch sqlite3_step(pointer) {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw failure()
        }
    }

    private func bind(_ values: [SQLValue]) throws {
        for (index, value) in values.enumerated() {
            let position = Int32(index + 1)
            let code =
                switch value {
                case .null: sqlite3_bind_null(pointer, position)
                case .integer(let number): sqlite3_bind_int64(pointer, position, number)
                case .text(let text): Self.bind(text, pointer, position)
                case .bytes(let bytes): Self.bind(bytes, pointer, position)
                }
            guard code == SQLITE_OK else { throw failure() }
        }
    }

    /// SQLite copies what it is given: the memory is valid during the call only.
    private static var copied: sqlite3_destructor_type { unsafeBitCast(-1, to: sqlite3_destructor_type.self) }

    private static func bind(_ text: String, _ pointer: OpaquePointer, _ position: Int32) -> Int32 {
        var text = text
        return text.withUTF8 { utf8 in
            guard let base = utf8.baseAddress else { return sqlite3_bind_text(pointer, position, "", 0, copied) }
            return base.withMemoryRebound(to: CChar.self, capacity: utf8.count) { base in
                sqlite3_bind_text64(
                    pointer,
                    position,
                    base,
                    sqlite3_uint64(utf8.count),
                    copied,
                    UInt8(truncatingIfNeeded: SQLITE_UTF8)
                )
            }
        }
    }

    private static func bind(_ bytes: [UInt8], _ pointer: OpaquePointer, _ position: Int32) -> Int32 {
        // A null pointer would bind NULL instead of no bytes.
        guard !bytes.isEmpty else { return sqlite3_bind_zeroblob(pointer, position, 0) }
        return bytes.withUnsafeBytes { buffer in
            sqlite3_bind_blob64(pointer, position, buffer.baseAddress, sqlite3_uint64(buffer.count), copied)
        }
    }

    private func failure() -> DatabaseError {
        let code = connection.map { sqlite3_extended_errcode($0) } ?? SQLITE_ERROR
        let message = connection.flatMap { sqlite3_errmsg($0) }.map { String(cString: $0) }
        return DatabaseError(resultCode: ResultCode(rawValue: code), message: message)
    }
}

/// The row a statement stands at.
struct SQLRow {
    private let pointer: OpaquePointer

    fileprivate init(_ pointer: OpaquePointer) { self.pointer = pointer }

    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(pointer, column) == SQLITE_NULL }

    /// Whether a value was written as text, by a program that knows nothing of this library's packed form.
    func isText(_ column: Int32) -> Bool { sqlite3_column_type(pointer, column) == SQLITE_TEXT }

    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(pointer, column) }

    func optionalInteger(_ column: Int32) -> Int64? { isNull(column) ? nil : integer(column) }

    func text(_ column: Int32) -> String {
        guard let base = sqlite3_column_text(pointer, column) else { return "" }
        let length = Int(sqlite3_column_bytes(pointer, column))
        return String(decoding: UnsafeBufferPointer(start: base, count: length), as: UTF8.self)
    }

    func optionalText(_ column: Int32) -> String? { isNull(column) ? nil : text(column) }

    func bytes(_ column: Int32) -> [UInt8] {
        guard let base = sqlite3_column_blob(pointer, column) else { return [] }
        return Array(UnsafeRawBufferPointer(start: base, count: Int(sqlite3_column_bytes(pointer, column))))
    }

    func optionalBytes(_ column: Int32) -> [UInt8]? { isNull(column) ? nil : bytes(column) }
}
#endif
