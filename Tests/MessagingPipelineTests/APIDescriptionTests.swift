import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
import Testing

@testable import MessagingPipeline

@Suite("The OpenAPI description", .timeLimit(.minutes(1)))
struct APIDescriptionTests {
    private typealias Object = [String: Any]

    private let store = MemoryStatementStore()

    private func document() throws -> Object {
        let data = Data(OpenAPIDescription.bytes.readableBytesView)
        return try #require(try JSONSerialization.jsonObject(with: data) as? Object)
    }

    private func get(_ route: APIRoute, in document: Object) throws -> Object {
        let paths = try #require(document["paths"] as? Object)
        return try #require((paths[route.rawValue] as? Object)?["get"] as? Object)
    }

    private func app(healthy: Bool = true) -> some ApplicationProtocol {
        StatementsAPI(store: store, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) {
            StatementsAPI.Health(status: healthy ? "ok" : "unhealthy", problems: healthy ? [] : ["worker 1 is lost"])
        }.application(host: "127.0.0.1", port: 0)
    }

    @Test("every route is described, and nothing else")
    func routes() throws {
        let document = try document()
        let paths = try #require(document["paths"] as? Object)
        #expect(Set(paths.keys) == Set(APIRoute.allCases.map(\.rawValue)))
        for route in APIRoute.allCases {
            #expect((paths[route.rawValue] as? Object)?.keys.sorted() == ["get"])
            let responses = try #require(try get(route, in: document)["responses"] as? Object)
            #expect(Set(responses.keys).isSuperset(of: ["200", "400", "405", "414"]))
        }
        let identifiers = try APIRoute.allCases.map { try get($0, in: document)["operationId"] as? String }
        #expect(Set(identifiers).count == APIRoute.allCases.count)
    }

    @Test("parameters are those that are read, with the bounds that are kept")
    func parameters() throws {
        let document = try document()
        func schemas(_ route: APIRoute) throws -> [String: Object] {
            let parameters = try #require(try get(route, in: document)["parameters"] as? [Object])
            let pairs = try parameters.map { parameter in
                (
                    try #require(parameter["name"] as? String),
                    try #require(parameter["schema"] as? Object)
                )
            }
            return Dictionary(uniqueKeysWithValues: pairs)
        }
        let list = try schemas(.statements)
        #expect(Set(list.keys) == StatementQuery.parameters)
        #expect(list["limit"]?["minimum"] as? Int == StatementQuery.limits.lowerBound)
        #expect(list["limit"]?["maximum"] as? Int == StatementQuery.limits.upperBound)
        #expect(list["q"]?["maxLength"] as? Int == StatementQuery.textLimit)
        #expect(list["topic"]?["maxLength"] as? Int == StatementQuery.topicLimit)
        #expect(list["cursor"]?["maxLength"] as? Int == StatementQuery.cursorLimit)
        let stream = try schemas(.stream)
        #expect(Set(stream.keys) == StreamQuery.parameters.union(["Last-Event-ID"]))
        #expect(stream["limit"]?["maximum"] as? Int == StreamQuery.limits.upperBound)
        #expect(stream["wait"]?["maximum"] as? Int == StreamQuery.waits.upperBound)
        #expect((stream["after"]?["maximum"] as? NSNumber)?.int64Value == Int64.max)
        #expect(try schemas(.statement)["id"]?["maxLength"] as? Int == APIRoute.idLimit)
    }

    @Test("enumerations are complete")
    func enumerations() throws {
        let components = try #require(try document()["components"] as? Object)
        let schemas = try #require(components["schemas"] as? [String: Object])
        func kinds(_ name: String) -> [String]? {
            ((schemas[name]?["properties"] as? [String: Object])?["kind"]?["enum"]) as? [String]
        }
        #expect(kinds("Entity").map(Set.init) == Set(Entity.Kind.allCases.map(\.rawValue)))
        #expect(kinds("Mention").map(Set.init) == Set(Mention.Kind.allCases.map(\.rawValue)))
    }

    @Test("the pattern of cursors fits those that are given, and no others are taken")
    func cursors() throws {
        let list = try #require(try get(.statements, in: try document())["parameters"] as? [Object])
        let schema = try #require(list.first { $0["name"] as? String == "cursor" }?["schema"] as? Object)
        let pattern = try Regex(try #require(schema["pattern"] as? String))
        let given = [("1", 0.0), ("a/b \"~", 1e9), ("日本", -1e9), ("", 5)].map { id, time in
            StatementQuery.cursor(after: analysed(id, "x", at: time).statement.orderKey)
        }
        let start = StatementQuery.cursor(after: "000000000000000n")
        let odd = [
            "", start + "6", start + "7f", start + "1f", start.uppercased() + "AA", String(start.dropLast(2)),
            start + "xx",
        ]
        for cursor in given + odd + [start, start + "7e"] {
            let isTaken = (try? StatementQuery(cursor: cursor)) != nil
            #expect(isTaken == (cursor.wholeMatch(of: pattern) != nil), "\(cursor)")
        }
        for cursor in given { #expect((try? StatementQuery(cursor: cursor)) != nil) }
    }

    @Test("what the service answers is what it describes")
    func answers() async throws {
        let text = "@fed: 50% more, $1.5 billion for #jobs in Iowa by 2026-01-31, see https://example.com $TSLA"
        for number in 1...3 {
            let statement = analysed("\(number)", text, at: number == 3 ? nil : Double(number) + 0.5)
            let original = analysed("1", text, at: 1.5).statement.orderKey
            let verdict = Verdict(
                order: statement.statement.orderKey,
                original: number == 1 ? nil : (id: "1", order: original)
            )
            try await store.apply(JudgedStatement(analysed: statement, verdict: verdict))
        }
        let requests: [(APIRoute, String, HTTPRequest.Method)] = [
            (.statements, "/statements?duplicates=1", .get), (.statements, "/statements?duplicates=1&limit=1", .get),
            (.statements, "/statements?limit=0", .get), (.statements, "/statements", .post),
            (.statement, "/statements/1", .get), (.statement, "/statements/2", .get),
            (.statement, "/statements/9", .get),
            (.statement, "/statements/%ff", .get), (.statement, "/statements/1", .delete), (.stats, "/stats", .get),
            (.live, "/live", .get), (.health, "/health", .get), (.openAPI, "/openapi.json", .get),
            (.metrics, "/metrics", .get), (.stream, "/statements/stream?after=0&wait=0", .get),
            (.stream, "/statements/stream?after=x", .get), (.stats, "/stats", .put),
        ]
        try await app().test(.router) { client in
            for (route, uri, method) in requests {
                try check(try await client.execute(uri: uri, method: method), route, uri)
            }
        }
        try await app(healthy: false).test(.router) { client in
            let response = try await client.execute(uri: "/health", method: .get)
            #expect(response.status == .serviceUnavailable)
            try check(response, .health, "/health")
        }
    }

    private func check(_ response: TestResponse, _ route: APIRoute, _ uri: String) throws {
        let document = try document()
        let schemas = JSONSchema(document: document)
        let responses = try #require(try get(route, in: document)["responses"] as? Object)
        let described = try #require(responses[String(response.status.code)] as? Object, "\(uri): \(response.status)")
        let answer = try #require(try schemas.resolved(described) as Object?)
        let content = try #require(answer["content"] as? [String: Object])
        let written = try #require(response.headers[.contentType])
        let type = String(written.prefix { $0 != ";" })
        let schema = try #require(content[type]?["schema"] as? Object, "\(uri): \(type)")
        for name in (answer["headers"] as? Object ?? [:]).keys {
            #expect(response.headers[try #require(HTTPField.Name(name))] != nil, "\(uri): \(name)")
        }
        let body = String(buffer: response.body)
        switch type {
        case "application/json":
            let value = try JSONSerialization.jsonObject(with: Data(body.utf8))
            #expect(try schemas.problems(value, schema) == [], "\(uri)")
        case "text/event-stream":
            let events = body.components(separatedBy: "\n\n").filter { $0.hasPrefix("id: ") }
            #expect(events.count == 3)
            for event in events {
                let fields = event.components(separatedBy: "\n").map { line in
                    let parts = line.components(separatedBy: ": ")
                    return (parts[0], parts.dropFirst().joined(separator: ": "))
                }
                let value = Dictionary(uniqueKeysWithValues: fields)
                #expect(try schemas.problems(value, schema) == [])
                let data = try JSONSerialization.jsonObject(with: Data((value["data"] ?? "").utf8))
                #expect(try schemas.problems(data, ["$ref": "#/components/schemas/StoredStatement"]) == [])
            }
        default:
            #expect(try schemas.problems(body, schema) == [])
        }
    }

    @Test("the check finds what does not fit")
    func checkIsStrict() throws {
        let schemas = JSONSchema(document: try document())
        let page: Object = ["$ref": "#/components/schemas/Page"]
        #expect(try schemas.problems(["items": [Any]()] as Object, page) == [])
        #expect(try schemas.problems(["items": [Any](), "x": 1] as Object, page) == ["$.x: not described"])
        #expect(try schemas.problems(Object(), page) == ["$.items: missing"])
        #expect(try schemas.problems(["items": [Any](), "next_cursor": "zz"] as Object, page).count == 1)
        let statement: Object = ["$ref": "#/components/schemas/Statement"]
        #expect(try schemas.problems(["id": 1, "text": "a"] as Object, statement) == ["$.id: no string"])
        #expect(try schemas.problems(["id": "", "text": "a", "created_at": "x"] as Object, statement).count == 1)
        #expect(throws: (any Error).self) { try schemas.problems("a", ["unheard": true]) }
    }
}
