import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
import Testing

@testable import MessagingPipeline

@Suite("Requests that are refused", .timeLimit(.minutes(1)))
struct APIRequestTests {
    private struct Failure: Decodable {
        let error: String
    }

    private struct Broken: Error {}

    /// A store that does not answer.
    private struct BrokenStore: StatementStore {
        func apply(_ judged: JudgedStatement) throws -> StatementChange { throw Broken() }
        func statement(id: String) throws -> StoredStatement? { throw Broken() }
        func list(_ query: StatementQuery) throws -> StatementPage { throw Broken() }
        func counts() throws -> StatementCounts { throw Broken() }
        func changes(after position: Int64, limit: Int) throws -> StatementChanges { throw Broken() }
        func lastPosition() throws -> Int64 { throw Broken() }
    }

    private let store = MemoryStatementStore()

    private func api(_ store: any StatementStore) -> some ApplicationProtocol {
        StatementsAPI(store: store, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }) {
            StatementsAPI.Health(status: "ok", problems: [])
        }.application(host: "127.0.0.1", port: 0)
    }

    private func error(_ response: TestResponse) throws -> String {
        #expect(response.headers[.contentType] == "application/json; charset=utf-8")
        #expect(response.headers[.cacheControl] == "no-store")
        return try PipelineJSON.decode(Failure.self, from: Array(response.body.readableBytesView)).error
    }

    @Test("a method that a path does not know is 405 with those that it knows, on every path")
    func methods() async throws {
        let methods: [HTTPRequest.Method] = [.post, .put, .delete, .options, .patch, .trace]
        try await api(store).test(.router) { client in
            for route in APIRoute.allCases {
                for method in methods {
                    let response = try await client.execute(uri: route.rawValue, method: method)
                    #expect(response.status == .methodNotAllowed)
                    #expect(response.headers[.allow] == "GET, HEAD")
                    #expect(try error(response).contains("GET, HEAD"))
                }
            }
        }
    }

    @Test("HEAD answers as GET does, without the body")
    func head() async throws {
        try await api(store).test(.live) { client in
            for uri in ["/statements", "/stats", "/live", "/openapi.json", "/statements/none", "/statements?limit=0"] {
                let get = try await client.execute(uri: uri, method: .get)
                let head = try await client.execute(uri: uri, method: .head)
                #expect(head.status == get.status)
                #expect(head.body.readableBytes == 0)
                #expect(head.headers[.contentLength] == String(get.body.readableBytes), "\(uri)")
            }
            // A stream has no length, and must not begin.
            let stream = try await client.execute(uri: "/statements/stream", method: .head)
            #expect(stream.status == .ok)
            #expect(stream.headers[.contentType] == "text/event-stream")
        }
    }

    @Test(
        "a path that is none of ours is 404",
        arguments: [
            "/", "/nowhere", "/statements/", "/statements/a/b", "//statements", "/STATS", "/stats/", "/statementsx",
        ]
    )
    func unknownPath(_ path: String) async throws {
        try await api(store).test(.router) { client in
            let response = try await client.execute(uri: path, method: .get)
            #expect(response.status == .notFound)
            #expect(try error(response).contains("/openapi.json"))
        }
    }

    @Test(
        "an id that is not percent-encoded UTF-8 is 400",
        arguments: ["%", "%4", "%zz", "%ff", "%c3%28", "%ed%a0%80", String(repeating: "x", count: 1025)]
    )
    func badID(_ id: String) async throws {
        try await api(store).test(.router) { client in
            let response = try await client.execute(uri: "/statements/\(id)", method: .get)
            #expect(response.status == .badRequest)
            #expect(try error(response).hasPrefix("the id in the path must"))
        }
    }

    @Test("the statement whose id is 'stream' is not the stream")
    func streamID() async throws {
        let statement = analysed("stream", "odd id")
        try await store.apply(
            JudgedStatement(analysed: statement, verdict: Verdict(order: statement.statement.orderKey))
        )
        try await api(store).test(.router) { client in
            let response = try await client.execute(uri: "/statements/%73tream", method: .get)
            #expect(response.status == .ok)
            #expect(String(buffer: response.body).contains("\"id\":\"stream\""))
        }
    }

    @Test("unknown parameters are ignored, whatever they are")
    func unknownParameters() async throws {
        try await api(store).test(.router) { client in
            for query in ["?utm_source=x", "?x=%zz", "?x&x&&=", "?limit=1&x=%ff"] {
                let response = try await client.execute(uri: "/statements\(query)", method: .get)
                #expect(response.status == .ok, "\(query)")
            }
        }
    }

    @Test("a request with a body is refused and its connection closed")
    func body() async throws {
        try await api(store).test(.live) { client in
            let body = ByteBuffer(string: "x")
            let get = try await client.execute(uri: "/stats", method: .get, headers: [.connection: "close"], body: body)
            #expect(get.status == .badRequest)
            #expect(get.headers[.connection] == "close")
            let message = try error(get)
            #expect(message == "a request must not have a body")
        }
        try await api(store).test(.live) { client in
            let post = try await client.execute(uri: "/stats", method: .post, body: ByteBuffer(string: "x"))
            #expect(post.status == .methodNotAllowed)
            #expect(post.headers[.connection] == "close")
        }
    }

    @Test("an address that is too long is 414")
    func longTarget() async throws {
        try await api(store).test(.live) { client in
            let rest = String(repeating: "x", count: APIResponder.targetLimit)
            let response = try await client.execute(uri: "/statements?x=\(rest)", method: .get)
            #expect(response.status == .uriTooLong)
            #expect(try error(response).contains("32768"))
        }
    }

    @Test("a store that does not answer is 503, and nothing of its error is shown")
    func brokenStore() async throws {
        try await api(BrokenStore()).test(.router) { client in
            for uri in ["/statements", "/statements/1", "/stats", "/statements/stream"] {
                let response = try await client.execute(uri: uri, method: .get)
                #expect(response.status == .serviceUnavailable)
                #expect(response.headers[.retryAfter] == "5")
                #expect(try error(response) == "the statements cannot be read at the moment")
            }
            #expect(try await client.execute(uri: "/live", method: .get).status == .ok)
            #expect(try await client.execute(uri: "/metrics", method: .get).status == .ok)
        }
    }
}
