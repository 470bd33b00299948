#if SQLite
import Foundation
import GRDB
import MessagingPipeline

/// Texts in the file of the queues, shared by the dedup workers of all processes.
struct SQLiteDeduplicationStore: DeduplicationStore {
    private let tables: SQLitePipelineTables

    init(_ tables: SQLitePipelineTables) {
        self.tables = tables
    }

    func insert(_ fingerprint: Fingerprint) async throws -> [Fingerprint] {
        try await tables.write { db in
            let find = try db.cachedStatement(sql: "SELECT * FROM pipeline_fingerprint WHERE text = ?")
            let number: Int64
            if let row = try Row.fetchOne(find, arguments: [fingerprint.exact.blob]) {
                if row["earliest"] < fingerprint.order { return try [Self.fingerprint(row)] }
                number = row["number"]
                try Self.move(fingerprint, number, from: Fingerprint.time(ofOrder: row["earliest"]), db)
                try db.cachedStatement(sql: "UPDATE pipeline_fingerprint SET id = ?, earliest = ? WHERE number = ?")
                    .execute(arguments: [fingerprint.id.blob, fingerprint.order, number])
            } else {
                number = try Self.add(fingerprint, db)
                let found = try Self.search(fingerprint, number, db)
                try Self.file(fingerprint, number, db)
                return found
            }
            return try Self.search(fingerprint, number, db)
        }
    }

    func count() async throws -> Int {
        // Nothing is ever deleted, so the numbers have no gaps.
        try await tables.read { try Int.fetchOne($0, sql: "SELECT max(number) FROM pipeline_fingerprint") ?? 0 }
    }

    private static func add(_ fingerprint: Fingerprint, _ db: Database) throws -> Int64 {
        try db.cachedStatement(
            sql: """
                INSERT INTO pipeline_fingerprint (text, id, earliest, original, figures, signature)
                VALUES (?, ?, ?, ?, ?, ?)
                """
        ).execute(arguments: [
            fingerprint.exact.blob, fingerprint.id.blob, fingerprint.order, fingerprint.order, fingerprint.figures,
            Data(fingerprint.packedSignature),
        ])
        return db.lastInsertedRowID
    }

    private static func file(_ fingerprint: Fingerprint, _ number: Int64, _ db: Database) throws {
        if fingerprint.buckets.isEmpty { return }
        // One statement for all of them: two bands may, though hardly ever, share a bucket.
        let rows = fingerprint.buckets.map { _ in "(?, ?, ?)" }.joined(separator: ", ")
        let values = fingerprint.buckets.flatMap { [Int64(bitPattern: $0), fingerprint.time, number] }
        try db.cachedStatement(sql: "INSERT OR IGNORE INTO pipeline_bucket (bucket, time, number) VALUES \(rows)")
            .execute(arguments: StatementArguments(values))
    }

    private static func move(_ fingerprint: Fingerprint, _ number: Int64, from time: Int64, _ db: Database) throws {
        if time == fingerprint.time { return }
        let remove = try db.cachedStatement(
            sql: "DELETE FROM pipeline_bucket WHERE bucket = ? AND time = ? AND number = ?"
        )
        for bucket in fingerprint.buckets {
            try remove.execute(arguments: [Int64(bitPattern: bucket), time, number])
        }
        try file(fingerprint, number, db)
    }

    private static func search(_ fingerprint: Fingerprint, _ number: Int64, _ db: Database) throws -> [Fingerprint] {
        if fingerprint.buckets.isEmpty { return [] }
        var seen: Set<Int64> = [number]
        var search = TextSearch(order: fingerprint.order)
        var original: Fingerprint?
        var found: [Fingerprint] = []
        let read = try db.cachedStatement(sql: "SELECT * FROM pipeline_fingerprint WHERE number = ?")
        func look(_ other: Int64) throws {
            guard seen.insert(other).inserted, let row = try Row.fetchOne(read, arguments: [other]) else { return }
            var candidate: Fingerprint?
            let finding = try search.look(earliest: row["earliest"], original: row["original"]) {
                let read = try Self.fingerprint(row)
                candidate = read
                return fingerprint.saysTheSame(as: read)
            }
            switch finding {
            case .nothing: break
            case .original: original = candidate
            case .superseded:
                if let candidate { found.append(candidate) }
                try db.cachedStatement(sql: "UPDATE pipeline_fingerprint SET original = ? WHERE number = ?")
                    .execute(arguments: [fingerprint.order, other])
            }
        }
        let places = try db.cachedStatement(
            sql: "SELECT time, number FROM pipeline_bucket WHERE bucket = ? AND time >= ? ORDER BY time, number"
        )
        for bucket in try filled(fingerprint.buckets, db) {
            var isCut = false
            let earlier = try Row.fetchCursor(places, arguments: [bucket, 0])
            while let place = try earlier.next() {
                isCut = search.isDone(at: place[0])
                if isCut { break }
                try look(place[1])
            }
            if !isCut { continue }
            let later = try Row.fetchCursor(places, arguments: [bucket, fingerprint.time])
            while let place = try later.next() { try look(place[1]) }
        }
        try db.cachedStatement(
            sql: "UPDATE pipeline_fingerprint SET original = ?1 WHERE number = ?2 AND original > ?1"
        ).execute(arguments: [search.original, number])
        if let original { found.append(original) }
        return found
    }

    /// Those of the buckets that are not empty, asked at once: for most new texts there is none.
    private static func filled(_ buckets: [UInt64], _ db: Database) throws -> [Int64] {
        let rows = buckets.map { _ in "(?)" }.joined(separator: ", ")
        let find = try db.cachedStatement(
            sql: """
                WITH wanted (bucket) AS (VALUES \(rows)) SELECT bucket FROM wanted
                WHERE EXISTS (SELECT 1 FROM pipeline_bucket AS filled WHERE filled.bucket = wanted.bucket)
                """
        )
        return try Int64.fetchAll(find, arguments: StatementArguments(buckets.map { Int64(bitPattern: $0) }))
    }

    private static func fingerprint(_ row: Row) throws -> Fingerprint {
        let signature: Data = row["signature"]
        let fingerprint = Fingerprint(
            id: String(blob: row["id"]),
            order: row["earliest"],
            packedSignature: signature,
            exact: String(blob: row["text"]),
            figures: row["figures"]
        )
        guard let fingerprint else {
            throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "a signature has \(signature.count) bytes")
        }
        return fingerprint
    }
}
#endif
