import AsyncHTTPClient
import Foundation
import Logging
import Messaging
import NIOCore
import NIOHTTP1
import NIOHTTPCompression

/// Reads sources over HTTP, within the bounds of the configuration.
struct SourceFetcher: Sendable {
    /// What a source answered.
    enum Answer {
        /// Nothing is new.
        case unchanged
        /// What the source has.
        case document(body: [UInt8], contentType: String?, state: SourceState)
    }

    let client: HTTPClient
    let configuration: FetchConfiguration
    let clock: QueueClock

    /// Runs a closure with a client of its own, which is shut down afterwards.
    static func withClient<Value>(
        _ configuration: FetchConfiguration,
        _ body: (HTTPClient) async throws -> Value
    ) async throws -> Value {
        let timeout = TimeAmount(configuration.timeout)
        var settings = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: .init(connect: min(timeout, .seconds(10)), read: timeout),
            // An answer is looked at piece by piece as well; this one stops within a piece.
            decompression: .enabled(limit: .size(configuration.maxBytes))
        )
        settings.connectionPool.idleTimeout = .seconds(15)
        // A source is tried again by its own schedule.
        settings.connectionPool.retryConnectionEstablishment = false
        // A span would show the whole address, with the tokens in it.
        settings.tracing.tracer = nil
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: settings)
        let result: Result<Value, any Error>
        do {
            result = .success(try await body(client))
        } catch {
            result = .failure(error)
        }
        try? await client.shutdown()
        return try result.get()
    }

    /// Asks a source for what it has.
    ///
    /// - Parameters:
    ///   - source: The source.
    ///   - state: What is known of it.
    /// - Returns: What it answers.
    /// - Throws: `FetchFailure`, or `CancellationError` when the task is cancelled.
    func fetch(_ source: RemoteSource, state: SourceState?) async throws -> Answer {
        do {
            return try await withThrowingTaskGroup(of: Answer?.self) { group in
                group.addTask { try await follow(source, state) }
                group.addTask {
                    // The time of the network, whatever the clock of the schedule shows.
                    try await Task.sleep(for: configuration.timeout)
                    return nil
                }
                defer { group.cancelAll() }
                guard let first = try await group.next(), let answer = first else {
                    throw Self.tooLate(configuration)
                }
                return answer
            }
        } catch {
            if Task.isCancelled { throw CancellationError() }
            throw Self.failure(error, configuration)
        }
    }

    private func follow(_ source: RemoteSource, _ state: SourceState?) async throws -> Answer {
        let rules = FetchRules(source: source, configuration: configuration)
        var url = source.address
        var redirects = 0
        while true {
            let request = request(url, rules, state)
            let response = try await client.execute(request, timeout: TimeAmount(configuration.timeout))
            let step = rules.step(
                status: response.status.code,
                from: url,
                header: { response.headers.first(name: $0) },
                redirects: redirects,
                wasConditional: state?.etag != nil || state?.lastModified != nil,
                now: clock.date()
            )
            switch step {
            case .read: return try await read(response, rules)
            case .unchanged: return .unchanged
            case .fail(let failure): throw failure
            case .follow(let next):
                url = next
                redirects += 1
            }
        }
    }

    private func request(_ url: URL, _ rules: FetchRules, _ state: SourceState?) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: url.absoluteString)
        request.headers.add(name: "User-Agent", value: configuration.userAgent)
        request.headers.add(
            name: "Accept",
            value: """
                application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, \
                application/json;q=0.9, application/jsonl;q=0.9, text/csv;q=0.9, text/xml;q=0.9, */*;q=0.5
                """
        )
        if let etag = state?.etag { request.headers.add(name: "If-None-Match", value: etag) }
        if let date = state?.lastModified { request.headers.add(name: "If-Modified-Since", value: date) }
        if let authorization = rules.source.authorization, rules.mayKnowCredentials(url) {
            request.headers.add(name: "Authorization", value: authorization)
        }
        return request
    }

    private func read(_ response: HTTPClientResponse, _ rules: FetchRules) async throws -> Answer {
        var body: [UInt8] = []
        for try await piece in response.body {
            guard body.count + piece.readableBytes <= configuration.maxBytes else { throw rules.tooLarge }
            body += piece.readableBytesView
        }
        try Task.checkCancellation()
        let state = SourceState(
            etag: Self.kept(response.headers.first(name: "etag")),
            lastModified: Self.kept(response.headers.first(name: "last-modified")),
            fetchedAt: clock.date()
        )
        return .document(body: body, contentType: response.headers.first(name: "content-type"), state: state)
    }

    /// A validator that can be sent back as it is.
    private static func kept(_ value: String?) -> String? {
        guard let value, !value.isEmpty, value.utf8.count <= 1024,
            value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F })
        else { return nil }
        return value
    }

    private static func tooLate(_ configuration: FetchConfiguration) -> FetchFailure {
        FetchFailure("no complete answer within \(configuration.timeout)")
    }

    /// The failure for an error of the client, which may name the host and never the rest of an address.
    private static func failure(_ error: any Error, _ configuration: FetchConfiguration) -> FetchFailure {
        switch error {
        case let failure as FetchFailure: failure
        case NIOHTTPDecompression.DecompressionError.limit:
            FetchFailure("the answer is larger than \(configuration.maxBytes) bytes when decompressed")
        case is NIOHTTPDecompression.DecompressionError, is NIOHTTPDecompression.ExtraDecompressionError:
            FetchFailure("the answer cannot be decompressed")
        case let error as HTTPClientError where error == .deadlineExceeded || error == .readTimeout:
            Self.tooLate(configuration)
        case let error as HTTPClientError: FetchFailure("the answer failed: \(error.shortDescription)")
        default: FetchFailure("the server cannot be reached: \(error)")
        }
    }
}
