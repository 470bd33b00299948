import Foundation
import Hummingbird
import Logging
import Messaging

/// Serves the statements over HTTP.
///
/// `GET /statements` lists unique statements, newest first (`limit`, `cursor`, `since`, `topic`, `q`, `duplicates`);
/// `GET /statements/{id}` shows one; `GET /stats` counts; `GET /live` answers while the process runs, and
/// `GET /health` tells whether the pipeline is connected and has polled recently.
public struct StatementsAPI: Sendable {
    /// Whether the pipeline is well, and what is wrong if it is not.
    public struct Health: Sendable, Hashable, Codable {
        /// `ok` or `unhealthy`.
        public var status: String
        /// One line for each thing that is wrong.
        public var problems: [String]
    }

    private let store: any StatementStore
    private let health: @Sendable () async -> Health
    private let logger: Logger

    /// Creates the service.
    ///
    /// - Parameters:
    ///   - store: The statements.
    ///   - logger: Where failures are reported.
    ///   - health: Tells whether the pipeline is well.
    public init(store: any StatementStore, logger: Logger, health: @escaping @Sendable () async -> Health) {
        self.store = store
        self.logger = logger
        self.health = health
    }

    /// Creates an HTTP server for the routes.
    ///
    /// - Parameters:
    ///   - host: The address to listen on.
    ///   - port: The port; 0 lets the system choose.
    ///   - onListening: Called with the port once the server listens.
    /// - Returns: A service to run.
    public func application(
        host: String,
        port: Int,
        onListening: @escaping @Sendable (Int) -> Void = { _ in }
    ) -> some ApplicationProtocol {
        Application(
            router: router(),
            configuration: .init(address: .hostname(host, port: port), serverName: "mq"),
            onServerRunning: { channel in onListening(channel.localAddress?.port ?? port) },
            logger: logger
        )
    }

    /// The routes.
    func router() -> Router<BasicRequestContext> {
        let router = Router()
        router.get("/statements") { request, _ in try await list(request) }
        router.get("/statements/:id") { _, context in
            let id = try context.parameters.require("id")
            let decoded = id.removingPercentEncoding ?? id
            guard let found = try await store.statement(id: decoded) else {
                return try Self.failure(.notFound, "there is no statement with the id '\(decoded.prefix(200))'")
            }
            return try Self.json(found)
        }
        router.get("/stats") { _, _ in try Self.json(try await store.counts()) }
        router.get("/live") { _, _ in try Self.json(Health(status: "ok", problems: [])) }
        router.get("/health") { _, _ in
            let health = await health()
            return try Self.json(health, health.problems.isEmpty ? .ok : .serviceUnavailable)
        }
        return router
    }

    private func list(_ request: Request) async throws -> Response {
        let parameters = request.uri.queryParameters
        func text(_ name: String) -> String? { parameters[name[...]].map(String.init) }
        var limit = 50
        if let wanted = text("limit") {
            guard let number = Int(wanted) else { return try Self.failure(.badRequest, "'limit' must be a number") }
            limit = number
        }
        var since: Date?
        if let wanted = text("since") {
            guard let date = StatementDate.parse(wanted) else {
                return try Self.failure(.badRequest, "'since' must be a date such as 2026-01-31T00:00:00Z")
            }
            since = date
        }
        let query: StatementQuery
        do {
            query = try StatementQuery(
                limit: limit,
                cursor: text("cursor"),
                since: since,
                topic: text("topic"),
                text: text("q") ?? text("text"),
                includesDuplicates: ["1", "true"].contains(text("duplicates") ?? "")
            )
        } catch .limitOutOfRange {
            return try Self.failure(.badRequest, "'limit' must be from 1 to 200")
        } catch .invalidCursor {
            return try Self.failure(.badRequest, "'cursor' must be the 'next_cursor' of an earlier answer")
        } catch .textTooLong {
            return try Self.failure(.badRequest, "'q' must have at most \(StatementQuery.textLimit) bytes")
        }
        return try Self.json(try await store.list(query))
    }

    private struct Failure: Encodable {
        let error: String
    }

    private static func failure(_ status: HTTPResponse.Status, _ message: String) throws -> Response {
        try json(Failure(error: message), status)
    }

    private static func json(_ value: some Encodable, _ status: HTTPResponse.Status = .ok) throws -> Response {
        Response(
            status: status,
            headers: [.contentType: "application/json; charset=utf-8"],
            body: .init(byteBuffer: ByteBuffer(bytes: try PipelineJSON.encode(value)))
        )
    }
}

extension Pipeline {
    /// Tells whether the workers of this process are connected and have asked for work recently.
    ///
    /// - Parameter limit: The longest time since a worker's last answer from its broker.
    /// - Returns: The health.
    public func health(within limit: Duration = .seconds(45)) -> StatementsAPI.Health {
        var problems: [String] = []
        for (layer, statuses) in status.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            for (index, status) in statuses.enumerated() {
                let name = "worker \(index + 1) of layer '\(layer.rawValue)'"
                if let problem = status.problem {
                    problems.append("\(name) cannot reach its broker: \(problem)")
                } else if let age = status.sinceLastPoll, age > limit, status.inFlight < concurrency {
                    // One whose slots are all taken has no reason to ask for more.
                    problems.append("\(name) has not polled for \(Int(age.inSeconds)) s")
                } else if status.sinceLastPoll == nil {
                    problems.append("\(name) has not polled yet")
                }
            }
        }
        return StatementsAPI.Health(status: problems.isEmpty ? "ok" : "unhealthy", problems: problems)
    }
}
