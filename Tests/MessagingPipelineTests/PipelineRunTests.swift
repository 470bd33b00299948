import Logging
import Messaging
import MessagingMemory
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@testable import MessagingPipeline

/// Statements in JSON lines of which it is known how many are new, repeated and broken.
struct SampleInput: Sendable {
    let unique: Int
    let duplicates: Int
    let lines: [String]

    init(unique: Int = 60, duplicates: Int = 15, malformed: Int = 0) {
        self.unique = unique
        self.duplicates = duplicates
        var generator = SeededGenerator(seed: 11)
        let texts = (0..<unique).map { _ in
            (0..<12).map { _ in "w\(Int.random(in: 0..<100_000, using: &generator))x" }.joined(separator: " ")
        }
        var lines = texts.enumerated().map { index, text in Self.line("s\(index)", text, second: index) }
        for index in 0..<duplicates {
            // The same again, later, in other letters.
            lines.append(Self.line("d\(index)", texts[index].uppercased() + "!", second: 1000 + index))
        }
        lines.shuffle(using: &generator)
        for index in 0..<malformed { lines.insert(#"{"id": "m\#(index)", "text": "#, at: index * 7) }
        self.lines = lines
    }

    private static func line(_ id: String, _ text: String, second: Int) -> String {
        #"{"id": "\#(id)", "text": "\#(text)", "created_at": \#(1_700_000_000 + second)}"#
    }

    var bytes: [UInt8] { Array(lines.map { $0 + "\n" }.joined().utf8) }
    var collect: CollectInput { CollectInput(name: "sample.jsonl", bytes: bytes) }
    var counts: StatementCounts { StatementCounts(unique: unique, duplicates: duplicates) }
}

/// A queue whose broker loses answers, is away now and then, and delivers some messages twice.
final class UnreliableQueue: QueueDecorator {
    let base: any MessageQueue
    private let state: Mutex<SeededGenerator>
    private let isDown = Atomic(false)
    private let noted = Mutex((failed: 0, repeated: 0))

    init(_ base: any MessageQueue, seed: UInt64) {
        self.base = base
        state = Mutex(SeededGenerator(seed: seed))
    }

    /// How many calls failed and how many messages were delivered again.
    var troubles: (failed: Int, repeated: Int) { noted.withLock { $0 } }

    func goDown(_ down: Bool) { isDown.store(down, ordering: .relaxed) }

    private func roll(_ sides: Int) -> Int { state.withLock { Int.random(in: 0..<sides, using: &$0) } }

    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        switch roll(12) {
        case 0:
            noted.withLock { $0.failed += 1 }
            throw QueueError(.unavailable, "the broker is away")
        case 1:
            noted.withLock { $0.failed += 1 }
            _ = try await base.publish(messages, to: queue)
            return messages.map { _ in .indeterminate(QueueError(.indeterminate, "the answer was lost")) }
        case 2:
            noted.withLock { $0.failed += 1 }
            let half = Array(messages.prefix(messages.count / 2))
            return try await base.publish(half, to: queue)
                + messages.dropFirst(half.count).map { _ in .refused(QueueError(.queueFull, "full")) }
        default: return try await base.publish(messages, to: queue)
        }
    }

    func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        if isDown.load(ordering: .relaxed) { throw QueueError(.unavailable, "the broker is away") }
        return UnreliableConsumer(
            base: try await base.consume(queue, group: group, consumer: consumer, options: options),
            again: { request in
                // What was handled and is delivered all the same: as after a crash before the acknowledgement.
                guard request.settlement == .acknowledge, self.roll(5) == 0 else { return request }
                self.noted.withLock { $0.repeated += 1 }
                return SettleRequest(request.receipt, .retry(after: .zero, error: "again"))
            }
        )
    }
}

private struct UnreliableConsumer: ConsumerDecorator {
    let base: any QueueConsumer
    let again: @Sendable (SettleRequest) -> SettleRequest

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        try await base.settle(requests.map(again))
    }
}

/// An analyser that a test can make fail or wait.
final class MoodyAnalyzer: Analyzer {
    struct Failed: Error, CustomStringConvertible { let description = "the model is away" }

    private let failures: Mutex<[String: Int]>
    private let allowed: Mutex<Int>

    /// - Parameters say how often each statement fails, and how many are analysed before it waits for ever.
    init(failures: [String: Int] = [:], allowed: Int = .max) {
        self.failures = Mutex(failures)
        self.allowed = Mutex(allowed)
    }

    func analyse(_ statement: Statement) async throws -> Analysis {
        let fails = failures.withLock { failures in
            guard let left = failures[statement.id], left > 0 else { return false }
            failures[statement.id] = left - 1
            return true
        }
        if fails { throw Failed() }
        let waits = allowed.withLock { allowed in
            allowed -= 1
            return allowed < 0
        }
        if waits { try await Task.sleep(for: .seconds(3600)) }
        return LexiconAnalyzer().analyse(statement)
    }
}

/// A queue that counts what is ready and nothing else, as RabbitMQ does without its management plugin.
private struct ReticentQueue: QueueDecorator {
    let base: any MessageQueue

    func statistics(of queue: String) async throws(QueueError) -> QueueStatistics {
        var statistics = try await base.statistics(of: queue)
        for index in statistics.groups.indices {
            statistics.groups[index].inFlight = .unavailable("it does not say")
            statistics.groups[index].delayed = .unavailable("it does not say")
        }
        return statistics
    }
}

/// One broker per layer, the stores, and pipelines over them.
struct Plant: Sendable {
    let queues: [Layer: any MessageQueue]
    let deduplication = MemoryDeduplicationStore()
    let statements = MemoryStatementStore()
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    init(_ queue: any MessageQueue = MemoryQueue()) {
        self.init([.analysis: queue, .deduplication: queue, .api: queue])
    }

    init(_ queues: [Layer: any MessageQueue]) { self.queues = queues }

    func pipeline(
        workers: Int = 2,
        analyzer: any Analyzer = LexiconAnalyzer(),
        drainDeadline: Duration = .seconds(20),
        backoff: Duration = .milliseconds(1),
        clock: QueueClock = .system
    ) -> Pipeline {
        Pipeline(
            queues: queues,
            deduplication: deduplication,
            statements: statements,
            analyzer: analyzer,
            configuration: PipelineConfiguration(
                workersPerLayer: workers,
                retryPolicy: RetryPolicy(maxAttempts: 3, backoff: .fixed(backoff)),
                drainDeadline: drainDeadline
            ),
            clock: clock,
            logger: logger
        )
    }

    /// Declares and runs until everything is done.
    @discardableResult
    func run(
        _ inputs: [CollectInput] = [],
        layers: Set<Layer> = Set(Layer.allCases),
        workers: Int = 2,
        analyzer: any Analyzer = LexiconAnalyzer()
    ) async throws -> PipelineReport {
        let pipeline = pipeline(workers: workers, analyzer: analyzer)
        try await pipeline.declare()
        return try await pipeline.run(layers: layers, inputs: inputs, untilIdle: true)
    }

    func letters(_ layer: Layer) async throws -> [DeadLetter] {
        let queue = try #require(queues[layer])
        let name = try #require(layer.queue)
        return try await queue.deadLetters(of: name, matching: .all, after: nil, limit: 100).elements
    }

    /// Every statement with what it is a duplicate of.
    func verdicts() async throws -> [String: String?] {
        var verdicts: [String: String?] = [:]
        var cursor: String?
        repeat {
            let page = await statements.list(try StatementQuery(limit: 200, cursor: cursor, includesDuplicates: true))
            for item in page.items { verdicts[item.statement.id] = .some(item.duplicateOf) }
            cursor = page.nextCursor
        } while cursor != nil
        return verdicts
    }
}

@Suite("A run of the pipeline", .timeLimit(.minutes(1)))
struct PipelineRunTests {
    private let sample = SampleInput()

    @Test("every statement arrives, and duplicates are found whatever the order")
    func counts() async throws {
        let plant = Plant()
        let report = try await plant.run([SampleInput(malformed: 3).collect])
        #expect(report.counts == sample.counts)
        #expect(report.collect.read == 75)
        #expect(report.collect.collected == 75)
        #expect(report.collect.alreadyKnown == 0)
        #expect(report.collect.malformed == 3)
        #expect(report.collect.malformedRecords.map(\.line) == [1, 8, 15])
        #expect(report.collect.malformedRecords.allSatisfy { $0.source == "sample.jsonl" && !$0.reason.isEmpty })
        #expect(report.dead == 0)
        #expect(!report.wasInterrupted)
        #expect(report.analysed == 75)
        #expect(report.layers.map(\.layer) == Layer.allCases)
        #expect(report.layers.map(\.handled) == [75, 75, 75, 75])
        #expect(report.layers.map(\.failed) == [0, 0, 0, 0])
        let verdicts = try await plant.verdicts()
        #expect(verdicts.count == 75)
        for index in 0..<15 { #expect(verdicts["d\(index)"] == .some("s\(index)")) }
        for index in 0..<60 { #expect(verdicts["s\(index)"] == .some(nil)) }
    }

    @Test("a second run adds nothing")
    func again() async throws {
        let plant = Plant()
        try await plant.run([sample.collect])
        let report = try await plant.run([sample.collect, sample.collect])
        #expect(report.counts == sample.counts)
        #expect(report.collect.read == 150)
        #expect(report.collect.collected == 0)
        #expect(report.collect.alreadyKnown == 150)
        #expect(report.analysed == 0)
    }

    @Test("a statement collected again with another text is reported; the first one counts")
    func changed() async throws {
        let plant = Plant()
        func input(_ text: String) -> CollectInput {
            CollectInput(name: "in", bytes: Array(#"{"id":"1","text":"\#(text)"}"#.utf8))
        }
        let report = try await plant.run([input("first of all"), input("second thoughts")])
        #expect(report.collect.collected == 1)
        #expect(report.collect.changed == 1)
        #expect(await plant.statements.statement(id: "1")?.statement.text == "first of all")
    }

    @Test("the counts do not depend on the number of workers or on the pieces of the input", arguments: [1, 4])
    func workers(_ number: Int) async throws {
        let plant = Plant()
        let bytes = sample.bytes
        let pieces = CollectInput(name: "in") { piece in
            for start in stride(from: 0, to: bytes.count, by: 97) {
                try await piece(Array(bytes[start..<min(start + 97, bytes.count)]))
            }
        }
        let report = try await plant.run([pieces], workers: number)
        #expect(report.counts == sample.counts)
        #expect(try await plant.verdicts().count == 75)
    }

    @Test("a broker that fails, loses answers and delivers twice changes no count", arguments: [1, 2, 3] as [UInt64])
    func unreliable(_ seed: UInt64) async throws {
        let reference = Plant()
        try await reference.run([sample.collect])
        let queue = UnreliableQueue(MemoryQueue(), seed: seed)
        let plant = Plant(queue)
        let report = try await plant.run([sample.collect], workers: 4)
        #expect(report.counts == sample.counts)
        #expect(report.dead == 0)
        #expect(report.collect.collected + report.collect.alreadyKnown == 75)
        #expect(try await plant.verdicts() == reference.verdicts())
        #expect(queue.troubles.failed > 0 && queue.troubles.repeated > 0)
    }

    @Test("an analyser that fails three times sends to the dead letters; sending again mends it")
    func deadLetters() async throws {
        let plant = Plant()
        let analyzer = MoodyAnalyzer(failures: ["s3": 3, "s4": 2])
        let report = try await plant.run([sample.collect], analyzer: analyzer)
        #expect(report.dead == 1)
        #expect(report.counts.unique + report.counts.duplicates == 74)
        #expect(report.layers.first { $0.layer == .analysis }?.failed == 5)
        let letter = try #require(try await plant.letters(.analysis).first)
        #expect(letter.message.id == "statement:s3")
        #expect(letter.reason == .attemptsExhausted)
        #expect(letter.error == "the model is away")
        #expect(letter.attempts == 3)
        #expect(letter.history.count == 3)

        let queue = try #require(plant.queues[.analysis])
        #expect(try await queue.redriveAll(of: "queue:analysis") == 1)
        let mended = try await plant.run(analyzer: analyzer)
        #expect(mended.dead == 0)
        #expect(mended.counts == sample.counts)
    }

    @Test("a message of another program flows, whatever it calls its members")
    func foreign() async throws {
        let plant = Plant()
        let pipeline = plant.pipeline()
        try await pipeline.declare()
        let queue = try #require(plant.queues[.analysis])
        let bodies = [
            #"{"tweet_id": 77, "full_text": "The Fed raises rates", "date": "2026-01-31 10:00:00"}"#,
            #"{"guid": "g-1", "content": "Tariffs on steel are coming", "published_at": "1700000000"}"#,
            #"{"message": "no id at all here"}"#,
        ]
        let messages = bodies.map { Message(text: $0, headers: ["traceparent": "00-ab-cd-01", "other": "1"]) }
        _ = try await queue.publish(messages, to: "queue:analysis")
        let report = try await pipeline.run(layers: [.analysis, .deduplication, .api], untilIdle: true)
        #expect(report.counts == StatementCounts(unique: 3, duplicates: 0))
        #expect(report.dead == 0)
        let stored = await plant.statements.statement(id: "77")
        #expect(stored?.statement.text == "The Fed raises rates")
        #expect(stored?.statement.createdAt == StatementDate.parse("2026-01-31T10:00:00Z"))
        #expect(await plant.statements.statement(id: "g-1") != nil)
    }

    @Test(
        "what cannot be decoded goes to the dead letters with its reason, and the next one flows",
        arguments: [
            "", "no JSON", "\u{FF}\u{FE}", "[]", "null", "7", #"{"id": "1"}"#, #"{"text": "  "}"#,
            #"{"text": {"a": 1}}"#,
        ]
    )
    func undecodable(_ body: String) async throws {
        let plant = Plant()
        let pipeline = plant.pipeline()
        try await pipeline.declare()
        let queue = try #require(plant.queues[.analysis])
        let good = Message(text: #"{"id": "ok", "text": "this one is fine"}"#)
        _ = try await queue.publish([Message(text: body, id: "bad"), good], to: "queue:analysis")
        let report = try await pipeline.run(untilIdle: true)
        #expect(report.counts == StatementCounts(unique: 1, duplicates: 0))
        #expect(report.dead == 1)
        let letter = try #require(try await plant.letters(.analysis).first)
        #expect(letter.message.id == "bad")
        #expect(letter.message.text == body)
        #expect(letter.reason == .undecodable)
        #expect(letter.attempts == 1)
        #expect(letter.error?.hasPrefix("the body is no statement") == true)
    }

    @Test("the later layers say what is missing", arguments: [Layer.deduplication, .api])
    func undecodableLater(_ layer: Layer) async throws {
        let plant = Plant()
        let pipeline = plant.pipeline()
        try await pipeline.declare()
        let queue = try #require(plant.queues[layer])
        let name = try #require(layer.queue)
        _ = try await queue.publish([Message(text: "{}"), Message(text: "nothing")], to: name)
        let report = try await pipeline.run(untilIdle: true)
        #expect(report.dead == 2)
        let letters = try await plant.letters(layer)
        #expect(letters.allSatisfy { $0.reason == .undecodable })
        #expect(letters.contains { $0.error?.contains("'statement' is missing") == true })
        #expect(letters.contains { $0.error?.contains("not the JSON") == true })
    }

    @Test("with nothing to do a run until idle ends at once")
    func idle() async throws {
        let report = try await Plant().run()
        #expect(report.counts == StatementCounts(unique: 0, duplicates: 0))
        #expect(report.collect == CollectReport())
    }

    @Test("a run until idle waits for messages that come later")
    func idleLater() async throws {
        let plant = Plant()
        let pipeline = plant.pipeline()
        try await pipeline.declare()
        let queue = try #require(plant.queues[.analysis])
        let message = Message(text: #"{"id": "1", "text": "later"}"#, due: .after(.milliseconds(50)))
        _ = try await queue.publish([message], to: "queue:analysis")
        let report = try await pipeline.run(untilIdle: true)
        #expect(report.counts.unique == 1)
    }

    @Test("a run until idle waits for a retry, also where the broker does not count it")
    func retryWaits() async throws {
        let plant = Plant(ReticentQueue(base: MemoryQueue()))
        let pipeline = plant.pipeline(analyzer: MoodyAnalyzer(failures: ["s3": 1]), backoff: .milliseconds(700))
        try await pipeline.declare()
        let report = try await pipeline.run(inputs: [sample.collect], untilIdle: true)
        #expect(report.counts == sample.counts)
        #expect(!report.wasInterrupted)
    }

    @Test("a graceful shutdown in the middle loses nothing: the next run ends with the same counts")
    func gracefulShutdown() async throws {
        let plant = Plant()
        let bytes = sample.bytes
        let half = bytes.count / 2
        let input = CollectInput(name: "in") { piece in
            try await piece(Array(bytes[..<half]))
            try await Task.sleep(for: .seconds(3600))
            try await piece(Array(bytes[half...]))
        }
        // Collecting a small batch happens at the end of an input, so the first half comes as an input of its own.
        let first = CollectInput(name: "first", bytes: Array(sample.lines.prefix(40).map { $0 + "\n" }.joined().utf8))
        let pipeline = plant.pipeline(
            analyzer: MoodyAnalyzer(allowed: 10),
            drainDeadline: .milliseconds(50)
        )
        try await pipeline.declare()
        let service = PipelineService { try await pipeline.run(inputs: [first, input], untilIdle: true) }
        let group = ServiceGroup(services: [service], logger: plant.logger)
        let running = Task { try await group.run() }
        #expect(try await eventually { await plant.statements.counts().unique >= 1 })
        await group.triggerGracefulShutdown()
        try await running.value
        let interrupted = try #require(service.report)
        #expect(interrupted.wasInterrupted)
        #expect(interrupted.counts.unique <= 10)

        let report = try await plant.run([sample.collect])
        #expect(report.counts == sample.counts)
        #expect(report.dead == 0)
        #expect(!report.wasInterrupted)
    }

    @Test("what an input has given is published before it waits, and when the reading is stopped")
    func slowInput() async throws {
        let broker = MemoryQueue()
        let plant = Plant(broker)
        let pieces = [0..<3, 3..<23].map { Array(sample.lines[$0].map { $0 + "\n" }.joined().utf8) }
        let isRead = Atomic(false)
        let input = CollectInput(name: "pipe") { piece in
            try await piece(pieces[0])
            try await piece([])
            #expect(try await broker.statistics(of: "queue:analysis")["analysis-workers"]?.ready == .exact(3))
            try await piece(pieces[1])
            isRead.store(true, ordering: .relaxed)
            try await Task.sleep(for: .seconds(3600))
        }
        let pipeline = plant.pipeline()
        try await pipeline.declare()
        let service = PipelineService {
            try await pipeline.run(layers: [.collect], inputs: [input], untilIdle: false)
        }
        let group = ServiceGroup(services: [service], logger: plant.logger)
        let running = Task { try await group.run() }
        #expect(try await eventually { isRead.load(ordering: .relaxed) })
        await group.triggerGracefulShutdown()
        try await running.value
        let report = try #require(service.report)
        #expect(report.wasInterrupted)
        // No batch was full, and nothing said that nothing more would come.
        #expect(report.collect.read == 23)
        #expect(report.collect.collected == 23)
        #expect(try await broker.statistics(of: "queue:analysis")["analysis-workers"]?.ready == .exact(23))
    }

    @Test("every layer can be on another broker")
    func otherBrokers() async throws {
        let queues = [Layer.analysis: MemoryQueue(), .deduplication: MemoryQueue(), .api: MemoryQueue()]
        let plant = Plant(queues)
        let report = try await plant.run([sample.collect])
        #expect(report.counts == sample.counts)
        #expect(try await queues[.analysis]?.queues() == ["queue:analysis"])
        #expect(try await queues[.deduplication]?.queues() == ["queue:deduplication"])
        #expect(try await queues[.api]?.queues() == ["queue:api"])
    }

    @Test("layers can run one after the other")
    func oneByOne() async throws {
        let plant = Plant()
        let collected = try await plant.run([sample.collect], layers: [.collect])
        #expect(collected.collect.collected == 75)
        #expect(collected.counts.unique == 0)
        #expect(try await plant.run(layers: [.analysis]).analysed == 75)
        #expect(try await plant.run(layers: [.deduplication]).layers.map(\.handled) == [75])
        #expect(try await plant.run(layers: [.api]).counts == sample.counts)
    }

    @Test("a layer without a broker, and an input that cannot be read, end the run with their names")
    func failures() async throws {
        let lame = Plant([.analysis: MemoryQueue()])
        let missing = await #expect(throws: CollectError.self) { try await lame.run(layers: [.analysis]) }
        #expect(missing?.description.contains("'analysis'") == true)
        let plant = Plant()
        let unreadable = CollectInput(name: "x") { _ in throw CollectError("x: no such file") }
        let failed = await #expect(throws: CollectError.self) { try await plant.run([sample.collect, unreadable]) }
        #expect(failed?.description == "x: no such file")
        // Queues that were not declared.
        let undeclared = await #expect(throws: QueueError.self) {
            _ = try await Plant().pipeline().run(inputs: [sample.collect], untilIdle: true)
        }
        #expect(undeclared?.code == .notFound)
    }

    @Test("health names the workers that cannot reach their broker")
    func health() async throws {
        let queue = UnreliableQueue(MemoryQueue(), seed: 1)
        let plant = Plant(queue)
        let pipeline = plant.pipeline(workers: 1)
        #expect(pipeline.health() == StatementsAPI.Health(status: "ok", problems: []))
        try await pipeline.declare()
        queue.goDown(true)
        let running = Task { try await pipeline.run(layers: [.analysis, .api], untilIdle: false) }
        #expect(
            try await eventually {
                pipeline.health().problems == [
                    "worker 1 of layer 'analysis' cannot reach its broker: the broker is away",
                    "worker 1 of layer 'api' cannot reach its broker: the broker is away",
                ]
            }
        )
        #expect(pipeline.health().status == "unhealthy")
        queue.goDown(false)
        #expect(
            try await eventually {
                // An idle worker has polled once its first wait is over; a message ends it sooner.
                let bodies = [Message(text: "{}"), Message(text: "{}")]
                _ = try? await queue.publish(bodies, to: "queue:analysis")
                _ = try? await queue.publish(bodies, to: "queue:api")
                return pipeline.health().problems.isEmpty
            }
        )
        #expect(pipeline.health(within: .zero).problems.contains { $0.contains("has not polled for") })
        running.cancel()
        _ = await running.result
    }
}

/// Runs something as a service and keeps what it reports.
final class PipelineService: Service {
    private let body: @Sendable () async throws -> PipelineReport
    private let result = Mutex<PipelineReport?>(nil)

    var report: PipelineReport? { result.withLock { $0 } }

    init(_ body: @escaping @Sendable () async throws -> PipelineReport) { self.body = body }

    func run() async throws {
        let report = try await body()
        result.withLock { $0 = report }
    }
}
