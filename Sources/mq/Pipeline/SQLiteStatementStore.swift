#if SQLite
import Foundation
import GRDB
import MessagingPipeline

/// Statements in the file of the queues.
struct SQLiteStatementStore: StatementStore {
    private let tables: SQLitePipelineTables

    init(_ tables: SQLitePipelineTables) {
        self.tables = tables
    }

    func apply(_ judged: JudgedStatement) async throws -> StatementChange {
        let content = String(decoding: try PipelineJSON.encode(judged.analysed), as: UTF8.self)
        let marks = judged.marks
        let statement = judged.analysed.statement
        let new = Entry(id: statement.id, sorting: statement.orderKey, text: judged.text, content: content)
        return try await tables.write { db in
            for mark in marks { try Self.apply(mark, db) }
            guard let known = try Self.entry(new.id, db) else {
                try Self.insert(new, db)
                return .added
            }
            // Two contents under one id: the smaller one stays, whichever came first.
            if new.content.utf8.lexicographicallyPrecedes(known.entry.content.utf8) {
                try Self.replace(known, with: new, db)
            }
            return .unchanged
        }
    }

    func statement(id: String) async throws -> StoredStatement? {
        try await tables.read { db in
            try Self.entry(id, db).map {
                try Self.stored($0.entry, PipelineJSON.decode(from: $0.entry.content.utf8), db)
            }
        }
    }

    func list(_ query: StatementQuery) async throws -> StatementPage {
        let rows = "SELECT * FROM pipeline_statement WHERE \(query.includesDuplicates ? "" : "is_unique = 1 AND ")"
        // Without a filter one page is enough. Each page is a transaction of its own, so that none takes long.
        let limit = query.topic == nil && query.text == nil ? query.limit + 1 : 200
        var items: [StoredStatement] = []
        var end = query.before
        while true {
            let (from, wanted) = (end, query.limit + 1 - items.count)
            let page = try await tables.read { db in
                // The greatest order key begins with a digit.
                let select = try db.cachedStatement(sql: rows + "sorting < ? ORDER BY sorting DESC LIMIT ?")
                let entries = try Row.fetchAll(select, arguments: [from ?? ":", limit]).map(Entry.init)
                return try Self.matching(query, entries, wanted, isLast: entries.count < limit, db)
            }
            items += page.items
            if items.count > query.limit {
                items.removeLast()
                let cursor = items.last.map { StatementQuery.cursor(after: $0.statement.orderKey) }
                return StatementPage(items: items, nextCursor: cursor)
            }
            guard let next = page.end else { return StatementPage(items: items) }
            end = next
        }
    }

    func counts() async throws -> StatementCounts {
        try await tables.read { db in
            let all = try Self.lastPosition(db)
            let unique = try Int.fetchOne(db, sql: "SELECT value FROM pipeline_meta WHERE name = 'unique'") ?? 0
            return StatementCounts(unique: unique, duplicates: Int(all) - unique)
        }
    }

    func changes(after position: Int64, limit: Int) async throws -> StatementChanges {
        guard limit > 0 else { return StatementChanges(items: []) }
        return try await tables.read { db in
            let select = try db.cachedStatement(
                sql: "SELECT * FROM pipeline_statement WHERE position > ? ORDER BY position LIMIT ?"
            )
            let rows = try Row.fetchAll(select, arguments: [position, limit])
            return StatementChanges(
                items: try rows.map { row in
                    let entry = Entry(row)
                    return .init(
                        position: row["position"],
                        statement: try Self.stored(entry, PipelineJSON.decode(from: entry.content.utf8), db)
                    )
                }
            )
        }
    }

    func lastPosition() async throws -> Int64 {
        try await tables.read { try Self.lastPosition($0) }
    }
}

extension SQLiteStatementStore {
    /// A row of `pipeline_statement`.
    private struct Entry: Sendable {
        let id: String
        let sorting: String
        let text: String
        let content: String

        init(id: String, sorting: String, text: String, content: String) {
            self.id = id
            self.sorting = sorting
            self.text = text
            self.content = content
        }

        init(_ row: Row) {
            self.init(
                id: String(blob: row["id"]),
                sorting: row["sorting"],
                text: String(blob: row["text"]),
                content: row["content"]
            )
        }
    }

    private static func lastPosition(_ db: Database) throws -> Int64 {
        // Nothing is ever deleted, so the positions have no gaps.
        try Int64.fetchOne(db, sql: "SELECT max(position) FROM pipeline_statement") ?? 0
    }

    private static func entry(_ id: String, _ db: Database) throws -> (entry: Entry, isUnique: Bool)? {
        let find = try db.cachedStatement(sql: "SELECT * FROM pipeline_statement WHERE id = ?")
        return try Row.fetchOne(find, arguments: [id.blob]).map { (Entry($0), $0["is_unique"]) }
    }

    private static func insert(_ new: Entry, _ db: Database) throws {
        let isUnique = try original(of: new.text, db)?.id == new.id
        try db.cachedStatement(
            sql: "INSERT INTO pipeline_statement (id, sorting, text, is_unique, content) VALUES (?, ?, ?, ?, ?)"
        ).execute(arguments: [new.id.blob, new.sorting, new.text.blob, isUnique, new.content])
        if isUnique { try count(1, db) }
    }

    private static func replace(_ known: (entry: Entry, isUnique: Bool), with new: Entry, _ db: Database) throws {
        let isUnique = try original(of: new.text, db)?.id == new.id
        try db.cachedStatement(
            sql: "UPDATE pipeline_statement SET sorting = ?, text = ?, is_unique = ?, content = ? WHERE id = ?"
        ).execute(arguments: [new.sorting, new.text.blob, isUnique, new.content, new.id.blob])
        try count((isUnique ? 1 : 0) - (known.isUnique ? 1 : 0), db)
    }

    private static func original(of text: String, _ db: Database) throws -> (id: String, sorting: String)? {
        let find = try db.cachedStatement(sql: "SELECT original, sorting FROM pipeline_text WHERE text = ?")
        return try Row.fetchOne(find, arguments: [text.blob]).map { (String(blob: $0["original"]), $0["sorting"]) }
    }

    private static func apply(_ mark: OriginalMark, _ db: Database) throws {
        let before = try original(of: mark.text, db)
        if let before, (before.sorting, before.id) <= (mark.order, mark.id) { return }
        try db.cachedStatement(sql: "INSERT OR REPLACE INTO pipeline_text (text, original, sorting) VALUES (?, ?, ?)")
            .execute(arguments: [mark.text.blob, mark.id.blob, mark.order])
        guard let before, before.id != mark.id else { return }
        // Of all statements of the text only these two can be, or have been, unique.
        let change = try db.cachedStatement(
            sql: "UPDATE pipeline_statement SET is_unique = ?1 WHERE id = ?2 AND text = ?3 AND is_unique <> ?1"
        )
        try change.execute(arguments: [false, before.id.blob, mark.text.blob])
        let gone = db.changesCount
        try change.execute(arguments: [true, mark.id.blob, mark.text.blob])
        try count(db.changesCount - gone, db)
    }

    private static func count(_ change: Int, _ db: Database) throws {
        if change == 0 { return }
        try db.cachedStatement(sql: "UPDATE pipeline_meta SET value = value + ? WHERE name = 'unique'")
            .execute(arguments: [change])
    }

    /// The wanted ones of a page, and where the next page begins; nil when there is none.
    private static func matching(
        _ query: StatementQuery,
        _ entries: [Entry],
        _ wanted: Int,
        isLast: Bool,
        _ db: Database
    ) throws -> (items: [StoredStatement], end: String?) {
        var items: [StoredStatement] = []
        for entry in entries {
            let analysed: AnalysedStatement = try PipelineJSON.decode(from: entry.content.utf8)
            if query.isBelow(analysed.statement) { return (items, nil) }
            // Duplicates were left out by the index.
            guard query.matches(analysed, isDuplicate: false) else { continue }
            items.append(try stored(entry, analysed, db))
            if items.count == wanted { break }
        }
        return (items, isLast ? nil : entries.last?.sorting)
    }

    private static func stored(
        _ entry: Entry,
        _ analysed: AnalysedStatement,
        _ db: Database
    ) throws -> StoredStatement {
        let original = try original(of: entry.text, db)?.id
        let find = try db.cachedStatement(
            sql: """
                SELECT s.id FROM pipeline_text t JOIN pipeline_statement s ON s.text = t.text
                WHERE t.original = ?1 AND s.is_unique = 0 AND s.id <> ?1
                """
        )
        return StoredStatement(
            analysed,
            duplicateOf: original == entry.id ? nil : original,
            duplicates: try Data.fetchAll(find, arguments: [entry.id.blob]).map(String.init(blob:))
        )
    }
}
#endif
