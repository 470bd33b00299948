import Foundation
import Hummingbird
import Logging
import Messaging
import MessagingMemory
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@testable import MessagingPipeline

/// A queue that is away as long as a test says so.
private final class AwayQueue: QueueDecorator {
    let base: any MessageQueue
    private let isAway: Mutex<Bool>

    init(_ base: any MessageQueue) {
        self.base = base
        isAway = Mutex(true)
    }

    func comeBack() { isAway.withLock { $0 = false } }

    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        if isAway.withLock({ $0 }) { throw QueueError(.unavailable, "the broker is away") }
        return try await base.publish(messages, to: queue)
    }
}

@Suite("Collecting from sources", .timeLimit(.minutes(1)))
struct SourceCollectorTests {
    /// A collector on a clock that stands still, and what it publishes to.
    private struct Bench: Sendable {
        let clock = ManualClock()
        let queue: any MessageQueue
        let states = MemorySourceStateStore()
        let board = CollectBoard()
        let list: SourceList

        init(_ sources: [RemoteSource], queue: any MessageQueue = MemoryQueue()) {
            self.queue = queue
            list = SourceList(sources)
        }

        func declare() async throws {
            let definition = try #require(Layer.analysis.definition(lease: .seconds(30)))
            try await queue.declare(definition)
        }

        func collector(_ fetcher: SourceFetcher) -> SourceCollector {
            var collector = Collector(queue: queue, clock: clock.queueClock, board: board)
            collector.patience = .zero
            var sources = SourceCollector(
                collector: collector,
                fetcher: fetcher,
                states: states,
                clock: clock.queueClock,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
            // No jitter: intervals are exact, waits after failures are whole.
            sources.random = { 0 }
            return sources
        }

        /// Follows the list while a closure runs.
        func following(
            _ configuration: FetchConfiguration = FetchConfiguration(jitter: 0),
            _ body: @escaping @Sendable () async throws -> Void
        ) async throws {
            try await declare()
            try await SourceFetcher.withClient(configuration) { client in
                let fetcher = SourceFetcher(client: client, configuration: configuration, clock: clock.queueClock)
                let sources = collector(fetcher)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await sources.follow(list, endsWhenRead: false) }
                    defer { group.cancelAll() }
                    try await body()
                }
            }
        }

        func report(_ source: RemoteSource) -> SourceReport? {
            board.report.sources.first { $0.name == source.name }
        }
    }

    @Test("a source is read at its interval, and what has not changed costs nothing")
    func interval() async throws {
        let version = Mutex(1)
        try await FeedServer.run { asked in
            let now = version.withLock { $0 }
            if asked["If-None-Match"] == "\"\(now)\"" { return FeedServer.response(304) }
            return FeedServer.feed((1...now).map(String.init), ["ETag": "\"\(now)\""])
        } _: { server in
            let source = try server.source("/", every: .seconds(60))
            let bench = Bench([source])
            try await bench.following { () async throws in
                await bench.clock.waitForSleepers(1)
                #expect(bench.board.report.collected == 1)
                bench.clock.advance(by: .seconds(59))
                #expect(server.requests.count == 1)
                bench.clock.advance(by: .seconds(1))
                #expect(try await eventually { bench.report(source)?.notModified == 1 })
                await bench.clock.waitForSleepers(1)
                #expect(server.requests.count == 2)
                version.withLock { $0 = 3 }
                bench.clock.advance(by: .seconds(60))
                #expect(try await eventually { bench.report(source)?.fetched == 2 })
                #expect(bench.board.report.collected == 3)
                #expect(bench.board.report.alreadyKnown == 1)
                #expect(bench.report(source)?.failed == 0)
                #expect(await bench.states.state(of: source.key)?.etag == "\"3\"")
            }
        }
    }

    @Test("a source that fails is tried again, later each time, and does not hold up another one")
    func failing() async throws {
        let isWell = Mutex(false)
        try await FeedServer.run { asked in
            if asked.path == "/good" { return FeedServer.feed(["good"]) }
            if isWell.withLock({ $0 }) { return FeedServer.feed(["ill"]) }
            return FeedServer.response(503, ["Retry-After": "100"])
        } _: { server in
            let ill = try server.source("/ill", every: .seconds(10))
            let good = try server.source("/good")
            let bench = Bench([ill, good])
            try await bench.following { () async throws in
                await bench.clock.waitForSleepers(1)
                #expect(try await eventually { bench.report(good)?.fetched == 1 })
                #expect(bench.report(ill)?.failed == 1)
                #expect(bench.report(ill)?.lastError?.contains("503") == true)
                bench.clock.advance(by: .seconds(99))
                #expect(bench.report(ill)?.failed == 1)
                bench.clock.advance(by: .seconds(1))
                #expect(try await eventually { bench.report(ill)?.failed == 2 })
                await bench.clock.waitForSleepers(1)
                isWell.withLock { $0 = true }
                bench.clock.advance(by: .seconds(100))
                #expect(try await eventually { bench.report(ill)?.fetched == 1 })
                #expect(bench.report(ill)?.lastError == nil)
                #expect(server.requests.filter { $0.path == "/good" }.count == 1)
            }
        }
    }

    @Test("a source is only taken as read once everything was published")
    func unpublished() async throws {
        let queue = AwayQueue(MemoryQueue())
        try await FeedServer.run { _ in
            FeedServer.feed(["1", "2"], ["ETag": "\"v\""])
        } _: { server in
            let source = try server.source("/", every: .seconds(60))
            let bench = Bench([source], queue: queue)
            try await bench.following { () async throws in
                await bench.clock.waitForSleepers(1)
                #expect(bench.report(source)?.failed == 1)
                #expect(bench.report(source)?.lastError?.contains("broker is away") == true)
                #expect(await bench.states.state(of: source.key) == nil)
                queue.comeBack()
                bench.clock.advance(by: .seconds(30))
                #expect(try await eventually { bench.report(source)?.fetched == 1 })
                #expect(bench.board.report.collected == 2)
                #expect(await bench.states.state(of: source.key)?.etag == "\"v\"")
            }
        }
    }

    @Test("a feed that breaks off gives what is whole, and is read as a whole the next time")
    func brokenOff() async throws {
        let text = "<rss><channel><item><guid>1</guid><title>T</title></item><item>"
        try await FeedServer.run { _ in
            FeedServer.response(200, ["ETag": "\"v\""], body: Array(text.utf8))
        } _: { server in
            let source = try server.source("/", every: .seconds(60))
            let bench = Bench([source])
            try await bench.following { () async throws in
                await bench.clock.waitForSleepers(1)
                #expect(bench.report(source)?.fetched == 1)
                #expect(bench.report(source)?.collected == 1)
                #expect(bench.report(source)?.malformed == 1)
                #expect(await bench.states.state(of: source.key)?.etag == nil)
            }
        }
    }

    @Test("a changed list takes effect while it is followed")
    func replaced() async throws {
        try await FeedServer.run { asked in
            if asked.path == "/hangs" { await asked.server.hang() }
            return FeedServer.feed([asked.path])
        } _: { server in
            let kept = try server.source("/kept", every: .seconds(100))
            let gone = try server.source("/gone", every: .seconds(10))
            let hangs = try server.source("/hangs", every: .seconds(10))
            let new = try server.source("/new", every: .seconds(100))
            let bench = Bench([kept, gone, hangs])
            try await bench.following { () async throws in
                await bench.clock.waitForSleepers(2)
                #expect(try await eventually { server.requests.count == 3 })
                bench.list.replace([kept, new])
                #expect(try await eventually { bench.report(new)?.fetched == 1 })
                #expect(bench.report(gone) == nil)
                #expect(bench.report(hangs) == nil)
                #expect(try await eventually { bench.clock.sleepers == 2 })
                bench.clock.advance(by: .seconds(50))
                // What is new was read after what was kept, so both wait; nobody asks for what is gone.
                #expect(server.requests.count == 4)
                bench.clock.advance(by: .seconds(50))
                #expect(try await eventually { bench.report(kept)?.fetched == 2 })
                #expect(server.requests.filter { $0.path == "/gone" }.count == 1)
            }
        }
    }

    @Test("no more sources than allowed are read at the same time")
    func concurrency() async throws {
        let figures = Mutex((now: 0, most: 0))
        try await FeedServer.run { asked in
            figures.withLock {
                $0.now += 1
                $0.most = max($0.most, $0.now)
            }
            try await Task.sleep(for: .milliseconds(20))
            figures.withLock { $0.now -= 1 }
            return FeedServer.feed([asked.path])
        } _: { server in
            let bench = Bench(try (0..<12).map { try server.source("/\($0)") })
            try await bench.following(FetchConfiguration(maxConcurrent: 3)) { () async throws in
                #expect(try await eventually { bench.board.report.collected == 12 })
            }
            #expect(figures.withLock { $0.most } <= 3)
        }
    }

    // MARK: - In a pipeline

    @Test("a run until everything is done reads every source once and reports each")
    func untilIdle() async throws {
        try await FeedServer.run { asked in
            switch asked.path {
            case "/rss": FeedServer.feed(["1", "2"])
            case "/json":
                FeedServer.response(200, body: Array(#"[{"id": "1", "text": "quite another statement"}]"#.utf8))
            default: FeedServer.response(404)
            }
        } _: { server in
            let plant = Plant()
            let pipeline = plant.pipeline()
            try await pipeline.declare()
            let list = SourceList(try ["/rss", "/json", "/none"].map { try server.source($0, every: .seconds(5)) })
            let report = try await pipeline.run(sources: list, untilIdle: true)
            #expect(report.collect.read == 3)
            #expect(report.collect.collected == 3)
            #expect(report.counts.unique + report.counts.duplicates == 3)
            #expect(!report.wasInterrupted)
            #expect(report.collect.sources.map(\.name) == ["/json", "/none", "/rss"])
            #expect(report.collect.sources.map(\.failed) == [0, 1, 0])
            #expect(report.collect.sources.map(\.fetched) == [1, 0, 1])
            #expect(report.collect.sources[1].lastError?.contains("404") == true)
            #expect(server.requests.count == 3)
            let again = try await pipeline.run(
                inputs: [CollectInput(name: "in", bytes: Array("{\"id\":\"x\",\"text\":\"from a file\"}".utf8))],
                sources: list,
                untilIdle: true
            )
            #expect(again.collect.collected == 1)
            #expect(again.collect.alreadyKnown == 3)
        }
    }

    @Test("a process that only collects ends when nothing is left to be read again")
    func collectOnly() async throws {
        try await FeedServer.run { _ in
            FeedServer.feed(["1"])
        } _: { server in
            let plant = Plant()
            let pipeline = plant.pipeline()
            try await pipeline.declare()
            let list = SourceList([try server.source("/")])
            let report = try await pipeline.run(layers: [.collect], sources: list, untilIdle: false)
            #expect(report.collect.collected == 1)
            #expect(!report.wasInterrupted)
        }
    }

    @Test("shutdown stops a service in the middle of an answer")
    func shutdown() async throws {
        let isAsked = ProgressSignal()
        try await FeedServer.run { asked in
            if asked.path == "/slow" {
                isAsked.send()
                await asked.server.hang()
            }
            return FeedServer.feed(["1"])
        } _: { server in
            let plant = Plant()
            let pipeline = plant.pipeline()
            try await pipeline.declare()
            let list = SourceList(try ["/fast", "/slow"].map { try server.source($0, every: .seconds(3600)) })
            let service = PipelineRun(pipeline: pipeline, list: list)
            let group = ServiceGroup(services: [service], logger: plant.logger)
            let start = ContinuousClock.now
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await group.run() }
                await isAsked.wait(atMost: .seconds(10), clock: .system)
                #expect(try await eventually { service.collected == 1 })
                await group.triggerGracefulShutdown()
                try await tasks.waitForAll()
            }
            // The server would take until the end of the test.
            #expect(ContinuousClock.now - start < .seconds(15))
            #expect(service.report?.wasInterrupted == false)
            #expect(service.report?.collect.sources.map(\.fetched) == [1, 0])
        }
    }
}

/// A pipeline that runs as a service until shutdown.
private final class PipelineRun: Service {
    private let pipeline: Pipeline
    private let list: SourceList
    private let state = Mutex<(collected: Int, report: PipelineReport?)>((0, nil))

    init(pipeline: Pipeline, list: SourceList) {
        self.pipeline = pipeline
        self.list = list
    }

    var collected: Int { state.withLock(\.collected) }
    var report: PipelineReport? { state.withLock(\.report) }

    func run() async throws {
        let report = try await pipeline.run(sources: list, untilIdle: false) { report in
            self.state.withLock { $0.collected = report.collect.collected }
        }
        state.withLock { $0.report = report }
    }
}
