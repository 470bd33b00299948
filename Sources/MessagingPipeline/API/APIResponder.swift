import Hummingbird
import Logging
import Messaging
import NIOCore
import ServiceLifecycle

/// What comes with a request: its connection, so that it can be closed.
struct APIContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }
}

/// Answers requests.
///
/// Routes are matched here and not by a router, so that every path, method and parameter that makes no sense gets an answer
/// in JSON, as the OpenAPI description says.
struct APIResponder: HTTPResponder {
    /// The longest path and query, in bytes.
    static let targetLimit = 32 * 1024
    /// The label of requests whose path is none of ours.
    static let unknownRoute = "unknown"

    let store: any StatementStore
    let health: @Sendable () async -> StatementsAPI.Health
    let feed: StatementFeed
    let metrics: PrometheusMetrics
    let instruments: HTTPInstruments
    let figures: QueueFigures?
    let clock: QueueClock
    let logger: Logger

    func respond(to request: Request, context: APIContext) async throws -> Response {
        let start = clock.now()
        var route = Self.unknownRoute
        var response: Response
        do {
            response = try await answer(request, context, &route)
        } catch let error as APIError {
            response = try Self.failure(error, context.channel)
        } catch {
            logger.error("a request failed", metadata: ["http.route": "\(route)", LogKeys.error: "\(error)"])
            let unavailable = APIError(
                .serviceUnavailable,
                "the statements cannot be read at the moment",
                retryAfter: 5
            )
            response = try Self.failure(unavailable, context.channel)
        }
        if request.method == .head { response = response.createHeadResponse() }
        instruments.record(route, request.method, response.status, clock.now() - start)
        return response
    }

    private func answer(_ request: Request, _ context: APIContext, _ route: inout String) async throws -> Response {
        // A client that goes on sending is not listened to.
        let hasBody = request.headers[.transferEncoding] != nil || (request.headers[.contentLength] ?? "0") != "0"
        guard request.uri.string.utf8.count <= Self.targetLimit else {
            throw APIError(
                .uriTooLong,
                "the path and query must have at most \(Self.targetLimit) bytes",
                closes: hasBody
            )
        }
        guard let (found, id) = try APIRoute.match(request.uri.path) else {
            throw APIError(
                .notFound,
                "there is nothing at this path; /openapi.json lists what there is",
                closes: hasBody
            )
        }
        route = found.rawValue
        guard request.method == .get || request.method == .head else {
            throw APIError(
                .methodNotAllowed,
                "this path knows only the methods \(APIRoute.methods)",
                allow: APIRoute.methods,
                closes: hasBody
            )
        }
        if hasBody { throw APIError(.badRequest, "a request must not have a body", closes: true) }
        switch found {
        case .statements: return try Self.json(try await store.list(StatementQuery(api: request.uri.query)))
        case .statement: return try await statement(id ?? "")
        case .stream: return try await stream(request, context)
        case .stats: return try Self.json(try await store.counts())
        case .live: return try Self.json(StatementsAPI.Health(status: "ok", problems: []))
        case .health:
            let health = await health()
            return try Self.json(health, health.problems.isEmpty ? .ok : .serviceUnavailable)
        case .metrics:
            var text = metrics.text()
            if let figures { text += QueueFigures.text(await figures.figures()) }
            return Self.response(ByteBuffer(string: text), PrometheusText.contentType)
        case .openAPI:
            return Self.response(
                OpenAPIDescription.bytes,
                "application/json; charset=utf-8",
                cacheControl: "max-age=300"
            )
        }
    }

    private func statement(_ id: String) async throws -> Response {
        guard let found = try await store.statement(id: id) else {
            throw APIError(.notFound, "there is no statement with the id '\(id.prefix(200))'")
        }
        return try Self.json(found)
    }

    private func stream(_ request: Request, _ context: APIContext) async throws -> Response {
        let query = try StreamQuery(
            api: request.uri.query,
            lastEventID: HTTPFields.Key("Last-Event-ID").flatMap { request.headers[$0] }
        )
        let last = try await store.lastPosition()
        var headers: HTTPFields = [
            .contentType: "text/event-stream", .cacheControl: "no-store", .xContentTypeOptions: "nosniff",
        ]
        // Who reads a stream to its end has watched the connection for the client's leaving, and cannot give it back.
        headers[.connection] = "close"
        // nginx would collect events before it passes them on.
        if let name = HTTPFields.Key("X-Accel-Buffering") { headers[name] = "no" }
        if request.method == .head { return Response(status: .ok, headers: headers) }
        guard let place = feed.enter() else {
            throw APIError(.serviceUnavailable, "all \(feed.streamLimit) streams are taken", retryAfter: 5)
        }
        let stream = StatementStream(feed, place, query, last: last, logger: logger)
        let channel = context.channel
        return Response(
            status: .ok,
            headers: headers,
            body: ResponseBody { writer in
                try await request.body.consumeWithCancellationOnInboundClose { rest in
                    try await withGracefulShutdownHandler {
                        // Hummingbird 2.28.1 ends the process when we end before it has read the end of the request.
                        for try await _ in rest {}
                        try await stream.write(to: &writer)
                    } onGracefulShutdown: {
                        stream.stop()
                        // One that hangs in a write because its client does not read.
                        channel.eventLoop.scheduleTask(in: .seconds(1)) { channel.close(promise: nil) }
                    }
                }
                try await writer.finish(nil)
            }
        )
    }

    // MARK: - Answers

    private struct Failure: Encodable {
        let error: String
    }

    private static func failure(_ error: APIError, _ channel: any Channel) throws -> Response {
        var response = try json(Failure(error: error.message), error.status)
        if let allow = error.allow { response.headers[.allow] = allow }
        if let seconds = error.retryAfter { response.headers[.retryAfter] = String(seconds) }
        guard error.closes, let length = response.body.contentLength else { return response }
        response.headers[.connection] = "close"
        let body = response.body
        // What the client still sends is not read.
        response.body = ResponseBody(contentLength: length) { writer in
            try await body.write(writer)
            channel.close(promise: nil)
        }
        return response
    }

    private static func json(_ value: some Encodable, _ status: HTTPResponse.Status = .ok) throws -> Response {
        response(ByteBuffer(bytes: try PipelineJSON.encode(value)), "application/json; charset=utf-8", status)
    }

    private static func response(
        _ body: ByteBuffer,
        _ contentType: String,
        _ status: HTTPResponse.Status = .ok,
        cacheControl: String = "no-store"
    ) -> Response {
        Response(
            status: status,
            headers: [
                .contentType: contentType, .cacheControl: cacheControl, .xContentTypeOptions: "nosniff",
            ],
            body: ResponseBody(byteBuffer: body)
        )
    }
}
