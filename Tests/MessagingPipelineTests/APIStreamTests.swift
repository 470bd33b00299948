import AsyncHTTPClient
import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import Messaging
import NIOCore
import NIOHTTP1
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@testable import MessagingPipeline

@Suite("The live stream", .timeLimit(.minutes(1)))
struct APIStreamTests {
    private struct Event: Equatable {
        var id: Int64
        var statement: String
    }

    /// A store that can be exchanged for another one while it is used.
    private final class ReplaceableStore: StatementStore {
        private let current = Mutex(MemoryStatementStore())

        var store: MemoryStatementStore { current.withLock { $0 } }

        func replace() { current.withLock { $0 = MemoryStatementStore() } }

        func apply(_ judged: JudgedStatement) async throws -> StatementChange { try await store.apply(judged) }
        func statement(id: String) async -> StoredStatement? { await store.statement(id: id) }
        func list(_ query: StatementQuery) async -> StatementPage { await store.list(query) }
        func counts() async -> StatementCounts { await store.counts() }
        func changes(after position: Int64, limit: Int) async -> StatementChanges {
            await store.changes(after: position, limit: limit)
        }
        func lastPosition() async -> Int64 { await store.lastPosition() }
    }

    private let base = MemoryStatementStore()

    private func api(
        _ store: any StatementStore,
        streamLimit: Int = 100,
        clock: QueueClock = .system
    ) -> StatementsAPI {
        StatementsAPI(
            store: store,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            streamLimit: streamLimit,
            clock: clock
        ) { StatementsAPI.Health(status: "ok", problems: []) }
    }

    private func apply(_ numbers: ClosedRange<Int>, to store: any StatementStore) async throws {
        for number in numbers {
            let date = Date(timeIntervalSince1970: Double(-number))
            let statement = AnalysedStatement(
                statement: Statement(id: "\(number)", createdAt: date, text: "said\n\(number)\r\n"),
                analysis: Analysis(normalizedText: "said \(number)")
            )
            let verdict = Verdict(order: statement.statement.orderKey)
            try await store.apply(JudgedStatement(analysed: statement, verdict: verdict))
        }
    }

    /// Reads events, and demands that there is nothing else but comments and the hint.
    private func events(_ text: String) throws -> [Event] {
        var events: [Event] = []
        for block in text.components(separatedBy: "\n\n") where !block.isEmpty {
            let lines = block.components(separatedBy: "\n")
            if lines.count == 1, lines[0].hasPrefix(":") || lines[0].hasPrefix("retry: ") { continue }
            try #require(lines.count == 3)
            let id = try #require(lines[0].hasPrefix("id: ") ? Int64(lines[0].dropFirst(4)) : nil)
            #expect(lines[1] == "event: statement")
            try #require(lines[2].hasPrefix("data: "))
            let statement = try PipelineJSON.decode(StoredStatement.self, from: lines[2].utf8.dropFirst(6))
            events.append(Event(id: id, statement: statement.statement.id))
        }
        return events
    }

    private func expected(_ numbers: ClosedRange<Int>) -> [Event] {
        numbers.map { Event(id: Int64($0), statement: "\($0)") }
    }

    @Test("what there is comes in the order in which it was applied, each once, and the stream ends")
    func catchUp() async throws {
        try await apply(1...300, to: base)
        try await apply(1...3, to: base)
        try await api(base).application(host: "127.0.0.1", port: 0).test(.ahc(.http)) { client in
            let all = try await client.execute(uri: "/statements/stream?after=0&wait=0", method: .get)
            #expect(all.headers[.contentType] == "text/event-stream")
            #expect(all.headers[.cacheControl] == "no-store")
            #expect(String(buffer: all.body).hasPrefix("retry: 2000\n\n"))
            #expect(try events(String(buffer: all.body)) == expected(1...300))
            let some = try await client.execute(uri: "/statements/stream?after=290&limit=3", method: .get)
            #expect(try events(String(buffer: some.body)) == expected(291...293))
            // A client that comes back has the old address and a newer position.
            let resumed = try await client.execute(
                uri: "/statements/stream?after=0&wait=0",
                method: .get,
                headers: [HTTPField.Name("Last-Event-ID")!: "297"]
            )
            #expect(try events(String(buffer: resumed.body)) == expected(298...300))
            let now = try await client.execute(uri: "/statements/stream?wait=0", method: .get)
            #expect(try events(String(buffer: now.body)) == [])
            // Of a store that was emptied nothing is known.
            let unknown = try await client.execute(uri: "/statements/stream?after=301&wait=0", method: .get)
            #expect(try events(String(buffer: unknown.body)) == expected(1...300))
        }
    }

    @Test(
        "a question that makes no sense is 400",
        arguments: [
            "after=-1", "after=x", "after=", "after=9223372036854775808", "limit=0", "limit=10001", "wait=-1",
            "wait=3601",
            "wait=1.5", "after=1&after=1",
        ]
    )
    func badRequest(_ query: String) async throws {
        try await api(base).application(host: "127.0.0.1", port: 0).test(.router) { client in
            let response = try await client.execute(uri: "/statements/stream?\(query)", method: .get)
            #expect(response.status == .badRequest)
        }
    }

    @Test("a header that is no position is 400", arguments: ["x", "", "-1", "1, 2", "9223372036854775808"])
    func badHeader(_ value: String) async throws {
        try await api(base).application(host: "127.0.0.1", port: 0).test(.router) { client in
            let headers: HTTPFields = [HTTPField.Name("Last-Event-ID")!: value]
            let response = try await client.execute(uri: "/statements/stream", method: .get, headers: headers)
            #expect(response.status == .badRequest)
        }
    }

    // MARK: - Over a connection

    /// Runs a server for the time of a body, and demands that it ends within a few seconds.
    private func serving(_ api: StatementsAPI, _ body: (_ url: String, _ stop: () async -> Void) async throws -> Void)
        async throws
    {
        let (ports, port) = AsyncStream<Int>.makeStream()
        let application = api.application(host: "127.0.0.1", port: 0) { port.yield($0) }
        let group = ServiceGroup(
            services: [application],
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        try await withThrowingTaskGroup { tasks in
            tasks.addTask { try await group.run() }
            var iterator = ports.makeAsyncIterator()
            let number = try #require(await iterator.next())
            do {
                try await body("http://127.0.0.1:\(number)/statements/stream") { await group.triggerGracefulShutdown() }
            } catch {
                await group.triggerGracefulShutdown()
                throw error
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    private func open(_ url: String) async throws -> HTTPClientResponse {
        try await HTTPClient.shared.execute(HTTPClientRequest(url: url), timeout: .seconds(20))
    }

    /// Reads from a stream until a text comes.
    @concurrent
    private func read(
        _ iterator: inout HTTPClientResponse.Body.AsyncIterator,
        _ text: inout String,
        until part: String
    ) async throws {
        while !text.contains(part) {
            let next = try await iterator.next()
            text += String(buffer: try #require(next))
        }
    }

    @Test("what is applied comes at once, to all who listen, while the clock stands still")
    func live() async throws {
        let clock = ManualClock()
        let store = NotifyingStatementStore(base)
        try await apply(1...5, to: store)
        try await serving(api(store, clock: clock.queueClock)) { url, _ in
            var streams: [HTTPClientResponse.Body.AsyncIterator] = []
            for _ in 0..<3 { streams.append(try await open(url).body.makeAsyncIterator()) }
            try await apply(6...7, to: store)
            // What comes twice is told once.
            try await apply(1...8, to: store)
            for var stream in streams {
                var text = ""
                try await read(&stream, &text, until: "id: 8\n")
                #expect(try events(text) == expected(6...8))
            }
        }
    }

    @Test("what another process applied comes with the next look, a second later; a heartbeat after 15")
    func others() async throws {
        let clock = ManualClock()
        try await serving(api(base, clock: clock.queueClock)) { url, _ in
            var stream = try await open(url).body.makeAsyncIterator()
            var text = ""
            try await read(&stream, &text, until: "retry")
            // The reader and the stream sleep.
            await clock.waitForSleepers(2)
            try await apply(1...2, to: base)
            clock.advance(by: .seconds(1))
            try await read(&stream, &text, until: "id: 2\n")
            #expect(try events(text) == expected(1...2))
            #expect(!text.contains(":  still") && !text.contains(": still"))
            for _ in 0..<16 {
                await clock.waitForSleepers(2)
                clock.advance(by: .seconds(1))
            }
            try await read(&stream, &text, until: ": still here\n\n")
            #expect(try events(text) == expected(1...2))
        }
    }

    @Test("streams are bounded; one that its client closes makes room")
    func bounded() async throws {
        let store = NotifyingStatementStore(base)
        let api = api(store, streamLimit: 2)
        try await serving(api) { url, _ in
            do {
                // Connections of their own, so that ending the client closes them.
                let client = HTTPClient(eventLoopGroupProvider: .singleton)
                var kept: [HTTPClientResponse] = []
                for _ in 0..<2 {
                    kept.append(try await client.execute(HTTPClientRequest(url: url), timeout: .seconds(20)))
                }
                #expect(kept.allSatisfy { $0.status == .ok })
                #expect(api.openStreams == 2)
                let refused = try await open(url)
                #expect(refused.status == .serviceUnavailable)
                #expect(refused.headers.first(name: "Retry-After") == "5")
                try? await client.shutdown()
            }
            #expect(try await eventually { api.openStreams == 0 })
            #expect(try await open(url + "?wait=0").status == .ok)
        }
    }

    @Test("a shutdown ends streams in an orderly way, and at once")
    func shutdown() async throws {
        let store = NotifyingStatementStore(base)
        try await serving(api(store)) { url, stop in
            var stream = try await open(url).body.makeAsyncIterator()
            var text = ""
            try await read(&stream, &text, until: "retry")
            try await apply(1...1, to: store)
            try await read(&stream, &text, until: "id: 1\n")
            await stop()
            // An end that is not announced would throw.
            while let next = try await stream.next() { text += String(buffer: next) }
            #expect(try events(text) == expected(1...1))
        }
    }

    @Test("streams of a store that is emptied end, so that clients begin anew")
    func emptied() async throws {
        let clock = ManualClock()
        let store = ReplaceableStore()
        try await apply(1...3, to: store)
        try await serving(api(store, clock: clock.queueClock)) { url, _ in
            var stream = try await open(url + "?after=0").body.makeAsyncIterator()
            var text = ""
            try await read(&stream, &text, until: "id: 3\n")
            await clock.waitForSleepers(2)
            store.replace()
            clock.advance(by: .seconds(1))
            while let next = try await stream.next() { text += String(buffer: next) }
            #expect(try events(text) == expected(1...3))
        }
    }

    @Test("a client that reads slowly misses nothing and costs a bounded amount, however much is applied meanwhile")
    func slow() async throws {
        let store = NotifyingStatementStore(base)
        let api = api(store)
        try await serving(api) { url, _ in
            let response = try await open(url + "?limit=2000")
            // More than the events that are kept and the buffers of the connection.
            try await apply(1...2000, to: store)
            var text = ""
            for try await part in response.body { text += String(buffer: part) }
            #expect(try events(text) == expected(1...2000))
        }
    }
}
