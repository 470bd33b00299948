import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
import Synchronization
import Testing

@testable import MessagingPipeline

@Suite("The HTTP interface", .timeLimit(.minutes(1)))
struct StatementsAPITests {
    private struct Failure: Decodable {
        let error: String
    }

    private final class Problems: Sendable {
        private let list = Mutex<[String]>([])
        var all: [String] { list.withLock { $0 } }
        func set(_ problems: [String]) { list.withLock { $0 = problems } }
    }

    private let problems = Problems()
    private let store = MemoryStatementStore()

    /// Six statements: 1 to 5 a day apart, and 6, which repeats 1.
    private func fill() async throws {
        let texts = [
            "The Fed raises interest rates", "Great rally in Iowa tonight", "Tariffs on steel from China",
            "The border wall is being built", "50% more & better jobs", "the fed raises INTEREST rates",
        ]
        for (index, text) in texts.enumerated() {
            let statement = analysed("\(index + 1)", text, at: Double(index) * 86400)
            let order = statement.statement.orderKey
            let first = analysed("1", "", at: 0).statement.orderKey
            let verdict = Verdict(order: order, original: index == 5 ? (id: "1", order: first) : nil)
            try await store.apply(JudgedStatement(analysed: statement, verdict: verdict))
        }
    }

    private func add(_ id: String) async throws {
        let statement = analysed(id, "odd id", at: -86400)
        try await store.apply(
            JudgedStatement(analysed: statement, verdict: Verdict(order: statement.statement.orderKey))
        )
    }

    private func app() -> some ApplicationProtocol {
        let problems = problems
        return StatementsAPI(store: store, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) {
            StatementsAPI.Health(status: problems.all.isEmpty ? "ok" : "unhealthy", problems: problems.all)
        }.application(host: "127.0.0.1", port: 0)
    }

    private func get(_ client: any TestClientProtocol, _ uri: String) async throws -> TestResponse {
        let response = try await client.execute(uri: uri, method: .get)
        #expect(response.headers[.contentType] == "application/json; charset=utf-8" || response.status == .notFound)
        return response
    }

    private func decode<Value: Decodable>(_ type: Value.Type, _ response: TestResponse) throws -> Value {
        try PipelineJSON.decode(Value.self, from: Array(response.body.readableBytesView))
    }

    private func page(_ client: any TestClientProtocol, _ query: String = "") async throws -> StatementPage {
        let response = try await get(client, "/statements\(query)")
        #expect(response.status == .ok)
        return try decode(StatementPage.self, response)
    }

    private func ids(_ client: any TestClientProtocol, _ query: String) async throws -> [String] {
        try await page(client, query).items.map(\.statement.id)
    }

    @Test("statements are listed, newest first and without duplicates")
    func list() async throws {
        try await fill()
        try await app().test(.router) { client in
            #expect(try await ids(client, "") == ["5", "4", "3", "2", "1"])
            #expect(try await ids(client, "?duplicates=1") == ["6", "5", "4", "3", "2", "1"])
            #expect(try await ids(client, "?duplicates=true").count == 6)
            #expect(try await ids(client, "?duplicates=0").count == 5)
            let all = try await page(client, "?duplicates=1")
            #expect(all.nextCursor == nil)
            #expect(all.items.first?.duplicateOf == "1")
            #expect(all.items.last?.duplicates == ["6"])
        }
    }

    @Test("a long list comes in pages, each beginning where the last one ended")
    func paging() async throws {
        try await fill()
        try await app().test(.router) { client in
            var found: [[String]] = []
            var query = "?limit=2"
            while true {
                let page = try await page(client, query)
                found.append(page.items.map(\.statement.id))
                guard let cursor = page.nextCursor else { break }
                #expect(cursor.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") })
                query = "?limit=2&cursor=\(cursor)"
            }
            #expect(found == [["5", "4"], ["3", "2"], ["1"]])
        }
    }

    @Test("a cursor stays where it is while statements arrive")
    func pagingWhileTheyArrive() async throws {
        try await fill()
        try await app().test(.router) { client in
            let first = try await page(client, "?limit=2")
            let cursor = try #require(first.nextCursor)
            let newer = analysed("9", "brand new", at: 1e8)
            try await store.apply(JudgedStatement(analysed: newer, verdict: Verdict(order: newer.statement.orderKey)))
            #expect(try await ids(client, "?limit=2&cursor=\(cursor)") == ["3", "2"])
        }
    }

    @Test("filters: since, topic and text")
    func filters() async throws {
        try await fill()
        try await app().test(.router) { client in
            #expect(try await ids(client, "?since=1970-01-03T00:00:00Z") == ["5", "4", "3"])
            #expect(try await ids(client, "?since=1970-01-03T00:00:00.001Z") == ["5", "4"])
            #expect(try await ids(client, "?since=1970-01-03T01:00:00%2B01:00") == ["5", "4", "3"])
            #expect(try await ids(client, "?q=steel") == ["3"])
            #expect(try await ids(client, "?q=STEEL%20from") == ["3"])
            #expect(try await ids(client, "?q=STEEL+from") == ["3"])
            #expect(try await ids(client, "?since=1970-01-04") == ["5", "4"])
            #expect(try await ids(client, "?q=nothing-like-it") == [])
            let topic = try #require(await store.statement(id: "3")?.analysis.topics.first)
            let escaped = try #require(topic.addingPercentEncoding(withAllowedCharacters: .alphanumerics))
            #expect(try await ids(client, "?topic=\(escaped)").contains("3"))
            #expect(try await ids(client, "?topic=no-such-topic") == [])
            #expect(try await ids(client, "?q=rates&duplicates=1&limit=1") == ["6"])
        }
    }

    @Test("one statement by its id, however the id is written")
    func byID() async throws {
        try await fill()
        let odd = ["a/b", "a b", "50%", "%41", "é", "statement:1?x=1#y", "日本"]
        for id in odd { try await add(id) }
        try await app().test(.router) { client in
            let found = try decode(StoredStatement.self, try await get(client, "/statements/6"))
            #expect(found.statement.id == "6")
            #expect(found.duplicateOf == "1")
            for id in odd {
                let escaped = try #require(id.addingPercentEncoding(withAllowedCharacters: .alphanumerics))
                let response = try await get(client, "/statements/\(escaped)")
                #expect(response.status == .ok, "\(id) as \(escaped)")
                if response.status == .ok {
                    #expect(try decode(StoredStatement.self, response).statement.id == id)
                }
            }
        }
    }

    @Test("what is not there is 404")
    func notFound() async throws {
        try await app().test(.router) { client in
            let missing = try await get(client, "/statements/none")
            #expect(missing.status == .notFound)
            #expect(try decode(Failure.self, missing).error == "there is no statement with the id 'none'")
            #expect(try await client.execute(uri: "/nowhere", method: .get).status == .notFound)
        }
    }

    @Test(
        "a question that makes no sense is 400 and says why",
        arguments: [
            ("limit=0", "'limit' must be a whole number from 1 to 200"),
            ("limit=201", "'limit' must be a whole number"),
            ("limit=-1", "'limit' must be a whole number"), ("limit=many", "'limit' must be a whole number"),
            ("limit=", "'limit' must be a whole number"), ("limit=%2B5", "'limit' must be a whole number"),
            ("limit=5&limit=5", "'limit' is given more than once"), ("limit", "'limit' must be a whole number"),
            ("limit=99999999999999999999", "'limit' must be a whole number"),
            ("cursor=nonsense", "'cursor' must be"), ("cursor=", "'cursor' must be"),
            ("cursor=!!!", "'cursor' must be"),
            ("since=yesterday", "'since' must be a date"), ("since=", "'since' must be"),
            ("since=1470000000", "'since' must be a date"), ("since=2026-02-30", "'since' must be a date"),
            ("since=1970-01-03T01:00:00+01:00", "'since' must be a date"),
            ("duplicates=maybe", "'duplicates' must be"), ("duplicates=", "'duplicates' must be"),
            ("duplicates=TRUE", "'duplicates' must be"),
            ("topic=\(String(repeating: "x", count: 101))", "'topic' must have at most 100 characters"),
            ("q=\(String(repeating: "x", count: 1025))", "'q' must have at most 1024 characters"),
            ("q=%", "'q' must be UTF-8 and percent-encoded"), ("q=%4", "'q' must be UTF-8 and percent-encoded"),
            ("q=%zz", "'q' must be UTF-8 and percent-encoded"), ("q=%ff", "'q' must be UTF-8 and percent-encoded"),
            ("%71=a&q=b", "'q' is given more than once"),
        ]
    )
    func badRequest(_ query: String, _ reason: String) async throws {
        try await fill()
        try await app().test(.router) { client in
            let response = try await get(client, "/statements?\(query)")
            #expect(response.status == .badRequest)
            #expect(try decode(Failure.self, response).error.hasPrefix(reason))
        }
    }

    @Test("counts, liveness and health")
    func health() async throws {
        try await fill()
        try await app().test(.router) { client in
            #expect(
                try decode(StatementCounts.self, try await get(client, "/stats")) == .init(unique: 5, duplicates: 1)
            )
            #expect(try await get(client, "/live").status == .ok)
            let healthy = try await get(client, "/health")
            #expect(healthy.status == .ok)
            #expect(try decode(StatementsAPI.Health.self, healthy) == .init(status: "ok", problems: []))
            problems.set(["worker 1 is lost"])
            let ill = try await get(client, "/health")
            #expect(ill.status == .serviceUnavailable)
            #expect(try decode(StatementsAPI.Health.self, ill).problems == ["worker 1 is lost"])
            // A process that cannot reach its broker need not be started again.
            #expect(try await get(client, "/live").status == .ok)
        }
    }

    @Test("the same over a real connection")
    func live() async throws {
        try await fill()
        try await add("a/b %41")
        try await app().test(.live) { client in
            #expect(try await ids(client, "?limit=1") == ["5"])
            let odd = try await get(client, "/statements/a%2Fb%20%2541")
            #expect(odd.status == .ok)
            #expect(try await get(client, "/statements/none").status == .notFound)
        }
    }
}
