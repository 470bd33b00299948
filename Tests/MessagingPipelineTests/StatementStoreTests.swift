import Foundation
import Testing

@testable import MessagingPipeline

@Suite struct StatementStoreTests {
    private func judged(
        _ id: String,
        _ text: String = "text",
        at seconds: Double? = 0,
        original: (String, Double)? = nil,
        supersedes: [String] = []
    ) -> JudgedStatement {
        let statement = analysed(id, text, at: seconds)
        let origin = original.map { (id: $0.0, order: analysed($0.0, "", at: $0.1).statement.orderKey) }
        let order = statement.statement.orderKey
        return JudgedStatement(
            analysed: statement,
            verdict: Verdict(order: order, original: origin, supersedes: supersedes)
        )
    }

    @Test func applyingAgainChangesNothing() async throws {
        let store = MemoryStatementStore()
        let statement = judged("1", supersedes: ["2"])
        #expect(try await store.apply(statement) == .added)
        #expect(try await store.apply(statement) == .unchanged)
        #expect(await store.counts() == StatementCounts(unique: 1, duplicates: 0))
        #expect(await store.statement(id: "1") == StoredStatement(statement.analysed))
        #expect(await store.statement(id: "2") == nil)
    }

    @Test func whatIsSupersededMayComeLater() async throws {
        let store = MemoryStatementStore()
        try await store.apply(judged("1", supersedes: ["2"]))
        try await store.apply(judged("2", at: 5))
        #expect(await store.statement(id: "2")?.duplicateOf == "1")
        #expect(await store.statement(id: "1")?.duplicates == ["2"])
        #expect(await store.counts() == StatementCounts(unique: 1, duplicates: 1))
    }

    @Test func theEarliestOriginalCounts() async throws {
        let all = [
            judged("9", at: 90, original: ("5", 50)), judged("5", at: 50), judged("1", at: 10, supersedes: ["9"]),
            judged("3", at: 30, supersedes: ["9"]),
        ]
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
            let store = MemoryStatementStore()
            for index in order { try await store.apply(all[index]) }
            #expect(await store.statement(id: "9")?.duplicateOf == "1")
            #expect(await store.statement(id: "1")?.duplicates == ["9"])
            #expect(await store.statement(id: "5")?.duplicates == [])
        }
    }

    @Test func differentContentsUnderOneIDAreSettledTheSameWay() async throws {
        let all = [judged("1", "b", at: 5), judged("1", "a", at: 70)]
        var found: [StatementPage] = []
        for order in [[0, 1], [1, 0], [0, 1, 0]] {
            let store = MemoryStatementStore()
            for index in order { try await store.apply(all[index]) }
            found.append(await store.list(try StatementQuery()))
        }
        #expect(found[0].items.count == 1)
        #expect(found.allSatisfy { $0 == found[0] })
    }

    @Test func pagesFollowOneAnother() async throws {
        let store = MemoryStatementStore()
        for number in 0..<25 { try await store.apply(judged("\(number)", at: Double(number / 2))) }
        try await store.apply(judged("undated é", at: nil))
        var ids: [String] = []
        var cursor: String?
        var pages = 0
        repeat {
            let page = await store.list(try StatementQuery(limit: 5, cursor: cursor))
            #expect(page.items.count <= 5)
            ids += page.items.map(\.statement.id)
            cursor = page.nextCursor
            pages += 1
        } while cursor != nil && pages < 20
        #expect(ids == ["undated é"] + (0..<25).reversed().map { "\($0)" })
        #expect(pages == 6)
        let exact = await store.list(try StatementQuery(limit: 26))
        #expect(exact.nextCursor == nil)
    }

    @Test func filters() async throws {
        let store = MemoryStatementStore()
        try await store.apply(judged("1", "The new TARIFF, finally", at: 100))
        try await store.apply(judged("2", "Polls are out", at: 200))
        try await store.apply(judged("3", "Polls are out!", at: 300, original: ("2", 200)))
        func ids(_ query: StatementQuery) async -> [String] { await store.list(query).items.map(\.statement.id) }
        #expect(await ids(try StatementQuery()) == ["2", "1"])
        #expect(await ids(try StatementQuery(includesDuplicates: true)) == ["3", "2", "1"])
        #expect(await ids(try StatementQuery(since: Date(timeIntervalSince1970: 200))) == ["2"])
        #expect(await ids(try StatementQuery(topic: "trade")) == ["1"])
        #expect(await ids(try StatementQuery(text: "Tariff Fin")) == ["1"])
        #expect(await ids(try StatementQuery(text: "nothing like it")) == [])
        #expect(await ids(try StatementQuery(text: "!!")) == [])
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
