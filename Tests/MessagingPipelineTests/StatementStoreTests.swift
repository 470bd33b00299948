import Foundation
import Testing

@testable import MessagingPipeline

// What stores of every backend have in common is in PipelineTestSupport.
@Suite struct StatementStoreTests {
    private func judged(_ id: String, supersedes: [String] = []) -> JudgedStatement {
        let statement = analysed(id, "text")
        let verdict = Verdict(order: statement.statement.orderKey, supersedes: supersedes)
        return JudgedStatement(analysed: statement, verdict: verdict)
    }

    @Test(arguments: [0, -1, 201])
    func limitsOutOfRange(limit: Int) {
        #expect(throws: StatementQueryError.limitOutOfRange(limit)) { try StatementQuery(limit: limit) }
    }

    @Test(arguments: ["", "x", "%%%", "AAAA", "bm90IGEgY3Vyc29y=", String(repeating: "a", count: 10_000)])
    func invalidCursors(cursor: String) {
        #expect(throws: StatementQueryError.invalidCursor) { try StatementQuery(cursor: cursor) }
    }

    @Test func textsTooLong() {
        #expect(throws: StatementQueryError.textTooLong) {
            try StatementQuery(text: String(repeating: "a", count: 1025))
        }
    }

    @Test func aFullStoreRefusesNewStatements() async throws {
        let store = MemoryStatementStore(capacity: 2)
        try await store.apply(judged("1"))
        try await store.apply(judged("2"))
        await #expect(throws: StoreError.full(capacity: 2)) { try await store.apply(judged("3")) }
        await #expect(throws: StoreError.full(capacity: 2)) {
            try await store.apply(judged("1", supersedes: ["2", "3", "4"]))
        }
        try await store.apply(judged("1"))
        #expect(await store.counts() == StatementCounts(unique: 2, duplicates: 0))
    }

    @Test func pagesSurviveARoundTrip() throws {
        let page = StatementPage(items: [StoredStatement(analysed("1", "a"), duplicates: ["3", "2"])], nextCursor: "c")
        #expect(try PipelineJSON.decode(StatementPage.self, from: PipelineJSON.encode(page)) == page)
    }
}
