#if SQLite
import Foundation
import GRDB
import MessagingPipeline

/// What the collector remembers of its sources, in the file of the queues.
struct SQLiteSourceStateStore: SourceStateStore {
    private let tables: SQLitePipelineTables

    init(_ tables: SQLitePipelineTables) {
        self.tables = tables
    }

    func state(of source: String) async throws -> SourceState? {
        let json = try await tables.read { db in
            try String.fetchOne(
                db.cachedStatement(sql: "SELECT state FROM pipeline_source WHERE source = ?"),
                arguments: [source.blob]
            )
        }
        return try json.map { try PipelineJSON.decode(SourceState.self, from: $0.utf8) }
    }

    func save(_ state: SourceState, of source: String) async throws {
        let json = String(decoding: try PipelineJSON.encode(state), as: UTF8.self)
        try await tables.write { db in
            try db.cachedStatement(sql: "INSERT OR REPLACE INTO pipeline_source (source, state) VALUES (?, ?)")
                .execute(arguments: [source.blob, json])
        }
    }
}
#endif
