#if SQLite
import Foundation
import GRDB
import Logging
import Messaging
import MessagingPipeline
import MessagingSQLite
import PipelineTestSupport
import Testing

@testable import mq

@Suite("Stores in SQLite", .timeLimit(.minutes(3)))
struct SQLiteStoreTests {
    /// A file in a folder of its own that goes away with it.
    private final class File: Sendable {
        let folder: URL
        var path: String { folder.appending(path: "queue.sqlite").path }

        init() throws {
            folder = FileManager.default.temporaryDirectory.appending(path: "mq-stores-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        }

        deinit { try? FileManager.default.removeItem(at: folder) }

        func storage() -> SQLiteStorage {
            SQLiteStorage(
                SQLiteQueue(
                    SQLiteConfiguration(path: path, synchronous: .normal),
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
                )
            )
        }

        func open() throws -> PipelineStores { .sqlite(storage()) }
    }

    /// Three clients of one file, as in three processes.
    private func bed(_ file: File) throws -> StoreBed {
        let stores = try (0..<3).map { _ in try file.open() }
        return StoreBed(deduplication: stores.map(\.deduplication), statements: stores.map(\.statements))
    }

    @Test(arguments: StoreLaw.all)
    func law(_ law: StoreLaw) async throws {
        let file = try File()
        try await law.check(bed(file))
    }

    @Test func reopening() async throws {
        let file = try File()
        try await StoreModelCheck.run(seed: 77, count: 60, workers: 3, bed(file))
        let before = try await file.open().statements.everything()
        let stores = try file.open()
        #expect(try await stores.statements.everything(limit: 7) == before)
        #expect(before.count > 50)
        #expect(try await stores.statements.lastPosition() == Int64(before.count))
        // The same again changes nothing.
        try await StoreModelCheck.run(
            seed: 77,
            count: 60,
            workers: 1,
            StoreBed(deduplication: [stores.deduplication], statements: [stores.statements])
        )
        #expect(try await stores.statements.everything() == before)
    }

    /// Several clients at once find no tables: each makes them or sees that another has.
    @Test func manyClientsMakeTheTables() async throws {
        let file = try File()
        let stores = try (0..<6).map { _ in try file.open() }
        try await withThrowingTaskGroup(of: StatementCounts.self) { group in
            for store in stores { group.addTask { try await store.statements.counts() } }
            for try await counts in group { #expect(counts == StatementCounts(unique: 0, duplicates: 0)) }
        }
    }

    @Test func aFileOfAnotherVersionIsRefused() async throws {
        let file = try File()
        let storage = file.storage()
        _ = try await PipelineStores.sqlite(storage).statements.counts()
        try await storage.write { try $0.execute(sql: "UPDATE pipeline_meta SET value = 9 WHERE name = 'version'") }
        let error = await #expect(throws: QueueError.self) { try await file.open().statements.counts() }
        #expect(error?.code == .topologyConflict)
        #expect(error?.message.contains("version 9") == true)
    }

    @Test func theListingUsesItsIndexes() async throws {
        let file = try File()
        let storage = file.storage()
        _ = try await PipelineStores.sqlite(storage).statements.counts()
        let select = "SELECT * FROM pipeline_statement WHERE"
        let plans = [
            "\(select) is_unique = 1 AND sorting < ':' ORDER BY sorting DESC LIMIT 9": "pipeline_statement_unique",
            "\(select) sorting < ':' ORDER BY sorting DESC LIMIT 9": "pipeline_statement_all",
            "SELECT s.id FROM pipeline_text t JOIN pipeline_statement s ON s.text = t.text "
                + "WHERE t.original = x'31' AND s.is_unique = 0 AND s.id <> x'31'": "pipeline_statement_copies",
        ]
        for (sql, index) in plans {
            let steps = try await storage.read { db in
                try Row.fetchAll(db, sql: "EXPLAIN QUERY PLAN " + sql).map { $0["detail"] as String }
            }
            #expect(steps.contains { $0.contains(index) }, "\(steps)")
            #expect(!steps.contains { $0.hasPrefix("SCAN") || $0.contains("TEMP B-TREE") }, "\(steps)")
        }
    }

    @Test func sourceStates() async throws {
        let file = try File()
        let store = try file.open().sources
        let state = SourceState(etag: "\"a\"", lastModified: nil, fetchedAt: Date(timeIntervalSince1970: 12.5))
        #expect(try await store.state(of: "https://example.org/é") == nil)
        try await store.save(SourceState(), of: "https://example.org/é")
        try await store.save(state, of: "https://example.org/é")
        let other = try file.open().sources
        #expect(try await other.state(of: "https://example.org/é") == state)
        #expect(try await other.state(of: "https://example.org/") == nil)
    }
}
#endif
