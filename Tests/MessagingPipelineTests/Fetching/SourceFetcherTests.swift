import Foundation
import Hummingbird
import Messaging
import NIOCore
import Synchronization
import Testing

@testable import MessagingPipeline

@Suite("Reading sources over HTTP", .timeLimit(.minutes(1)))
struct SourceFetcherTests {
    private static func fetch(
        _ source: RemoteSource,
        _ state: SourceState? = nil,
        _ configuration: FetchConfiguration = .init()
    ) async throws -> SourceFetcher.Answer {
        try await SourceFetcher.withClient(configuration) { client in
            try await SourceFetcher(client: client, configuration: configuration, clock: .system).fetch(
                source,
                state: state
            )
        }
    }

    private static func body(_ answer: SourceFetcher.Answer) -> String {
        guard case .document(let body, _, _) = answer else { return "" }
        return String(decoding: body, as: UTF8.self)
    }

    /// What is said about an attempt that fails.
    private static func failure(
        _ source: RemoteSource,
        _ configuration: FetchConfiguration = .init()
    ) async throws -> FetchFailure {
        do {
            _ = try await fetch(source, nil, configuration)
        } catch let failure as FetchFailure {
            return failure
        }
        return FetchFailure("it did not fail")
    }

    @Test("what a server says about its answer comes back the next time")
    func conditional() async throws {
        let date = "Wed, 21 Oct 2015 07:28:00 GMT"
        try await FeedServer.run { asked in
            asked["If-None-Match"] == "\"v1\"" && asked["If-Modified-Since"] == date
                ? FeedServer.response(304) : FeedServer.feed(["1"], ["ETag": "\"v1\"", "Last-Modified": date])
        } _: { server in
            let source = try server.source("/feed")
            guard case .document(_, _, let state) = try await Self.fetch(source) else {
                Issue.record("there is no document")
                return
            }
            #expect(state.etag == "\"v1\"")
            #expect(state.lastModified == date)
            guard case .unchanged = try await Self.fetch(source, state) else {
                Issue.record("the state was not sent")
                return
            }
            #expect(server.requests.first?["User-Agent"] == "swift-message-queue")
            #expect(server.requests.first?["If-None-Match"] == nil)
            #expect(server.requests.first?["Accept-Encoding"]?.contains("gzip") == true)
        }
    }

    @Test("credentials are sent to their host, and a redirect to another one does without")
    func credentials() async throws {
        try await FeedServer.run { asked in
            switch asked.path {
            case "/a?token=s3cret": FeedServer.response(302, ["Location": "/b"])
            case "/b":
                FeedServer.response(
                    301,
                    ["Location": "http://localhost:\(asked.authority.split(separator: ":").last ?? "")/c"]
                )
            default: FeedServer.feed(["1"])
            }
        } _: { server in
            let source = try RemoteSource(url: server.url("/a?token=s3cret", user: "me:pass@"))
            #expect(Self.body(try await Self.fetch(source)).contains("Title of 1"))
            let basic = "Basic " + Data("me:pass".utf8).base64EncodedString()
            #expect(server.requests.map(\.path) == ["/a?token=s3cret", "/b", "/c"])
            #expect(server.requests.map { $0["Authorization"] } == [basic, basic, nil])
            #expect(server.requests.allSatisfy { $0["Referer"] == nil })
        }
    }

    @Test("redirects that go round in circles end")
    func loop() async throws {
        try await FeedServer.run { _ in
            FeedServer.response(308, ["Location": "/again"])
        } _: { server in
            let failure = try await Self.failure(try server.source("/"))
            #expect(failure.description == "more than 5 redirects")
            #expect(server.requests.count == 6)
        }
    }

    @Test("an answer that is too large is given up, told in advance or not, compressed or not")
    func size() async throws {
        let limits = FetchConfiguration(maxBytes: 100_000)
        try await FeedServer.run { asked in
            switch asked.path {
            case "/told": return FeedServer.response(200, body: Array(repeating: 65, count: 100_001))
            case "/untold":
                return Response(
                    status: .ok,
                    body: ResponseBody { writer in
                        for _ in 0..<10_000 { try await writer.write(ByteBuffer(repeating: 65, count: 1000)) }
                        try await writer.finish(nil)
                    }
                )
            case "/bomb": return FeedServer.response(200, ["Content-Encoding": "gzip"], body: Gzip.bomb(40_000))
            default: return FeedServer.response(200, body: Array(repeating: 65, count: 100_000))
            }
        } _: { server in
            for path in ["/told", "/untold", "/bomb"] {
                let failure = try await Self.failure(try server.source(path), limits)
                #expect(failure.description.hasPrefix("the answer is larger than 100000 bytes"), "\(path)")
            }
            #expect(Self.body(try await Self.fetch(try server.source("/fits"), nil, limits)).utf8.count == 100_000)
        }
    }

    @Test("compressed answers are read, and broken ones fail")
    func compressed() async throws {
        try await FeedServer.run { asked in
            let whole = Gzip.stored(Array("hello, compressed world".utf8))
            let body =
                asked.path == "/whole" ? whole : asked.path == "/cut" ? Array(whole.dropLast(14)) : Array("plain".utf8)
            return FeedServer.response(200, ["Content-Encoding": "gzip"], body: body)
        } _: { server in
            #expect(Self.body(try await Self.fetch(try server.source("/whole"))) == "hello, compressed world")
            for path in ["/cut", "/plain"] {
                let failure = try await Self.failure(try server.source(path))
                #expect(failure.description == "the answer cannot be decompressed", "\(path)")
            }
        }
    }

    @Test("an answer that trickles, or never begins, ends with the time for it", arguments: ["/trickle", "/silence"])
    func slow(_ path: String) async throws {
        try await FeedServer.run { asked in
            if asked.path == "/silence" {
                await asked.server.hang()
                return FeedServer.feed(["1"])
            }
            return Response(
                status: .ok,
                body: ResponseBody { writer in
                    // Twenty seconds, or until the test is over.
                    for _ in 0..<400 where !asked.server.isOver {
                        try await writer.write(ByteBuffer(string: "<"))
                        try await Task.sleep(for: .milliseconds(50))
                    }
                    try await writer.finish(nil)
                }
            )
        } _: { server in
            let start = ContinuousClock.now
            let failure = try await Self.failure(
                try server.source(path),
                FetchConfiguration(timeout: .seconds(3))
            )
            #expect(failure.description == "no complete answer within 3.0 seconds")
            // Far less than the server would take.
            #expect(ContinuousClock.now - start < .seconds(15))
        }
    }

    @Test("an answer that is cut off fails as a whole")
    func cut() async throws {
        struct Gone: Error {}
        try await FeedServer.run { _ in
            Response(
                status: .ok,
                headers: [.contentLength: "1000"],
                body: ResponseBody { writer in
                    try await writer.write(ByteBuffer(string: "<rss>"))
                    throw Gone()
                }
            )
        } _: { server in
            let failure = try await Self.failure(try server.source("/"))
            #expect(failure.description != "it did not fail")
        }
    }

    @Test("refusals say how long to stay away")
    func retryAfter() async throws {
        try await FeedServer.run { asked in
            FeedServer.response(
                asked.path == "/busy" ? 429 : 503,
                ["Retry-After": asked.path == "/busy" ? "77" : "Fri, 31 Dec 1999 23:59:59 GMT"]
            )
        } _: { server in
            let busy = try await Self.failure(try server.source("/busy"))
            #expect(busy.description.contains("429"))
            #expect(busy.retryAfter == .seconds(77))
            #expect(try await Self.failure(try server.source("/ill")).retryAfter == .zero)
        }
    }

    @Test("a server that is not there is named without the rest of its address")
    func away() async throws {
        let source = try RemoteSource(url: "http://me:s3cret@127.0.0.1:1/path?token=t0ken")
        let failure = try await Self.failure(source)
        #expect(failure.description.contains("cannot be reached") || failure.description.contains("failed"))
        #expect(!failure.description.contains("s3cret") && !failure.description.contains("t0ken"))
    }
}
