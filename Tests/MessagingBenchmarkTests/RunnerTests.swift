import Foundation
import Messaging
import MessagingMemory
import Synchronization
import TestSupport
import Testing

@testable import MessagingBenchmark

@Suite("A benchmark run", .timeLimit(.minutes(2)))
struct RunnerTests {
    private static let few = BenchmarkSettings(
        messages: 50,
        size: 16,
        batch: 7,
        rate: 1000,
        pairs: 5,
        window: .milliseconds(50)
    )

    @Test("measures publishing and consuming beside a baseline, in turns and with as many messages, and leaves nothing")
    func throughput() async throws {
        let queue = MemoryQueue()
        let plain = CountingContender()
        let runner = try BenchmarkRunner(
            queue,
            settings: Self.few,
            baseline: (open: { _ in plain }, needsQueue: false),
            report: { Issue.record("\($0)") }
        )
        let results = try await runner.throughput()
        #expect(results.map(\.name) == ["publish", "consume"])
        for result in results {
            #expect(result.messages == 10)
            #expect(result.rate.count == 5 && result.plainRate?.count == 5 && result.ratio?.count == 5)
            #expect(
                result.rate.min > 0 && result.rate.min <= result.rate.median && result.rate.median <= result.rate.max
            )
        }
        // The counting contender says that everything takes a millisecond for each message.
        #expect(abs(try #require(results[0].plainRate).median - 1000) < 0.001)
        #expect(plain.counts == [60, 60])
        #expect(plain.isClosed)
        #expect(try await queue.queues().isEmpty)
    }

    @Test("declares a queue for a baseline that needs one, and deletes it")
    func baselineQueue() async throws {
        let queue = MemoryQueue()
        let seen = Mutex<[String]>([])
        let runner = try BenchmarkRunner(
            queue,
            settings: Self.few,
            baseline: (
                open: { name in
                    seen.withLock { $0.append(name) }
                    return CountingContender()
                }, needsQueue: true
            ),
            report: { Issue.record("\($0)") }
        )
        _ = try await runner.throughput()
        let names = seen.withLock { $0 }
        #expect(names.count == 1 && names.allSatisfy { $0.hasPrefix("bench-") })
        #expect(try await queue.queues().isEmpty)
    }

    @Test("measures with several consumers and with keys")
    func severalConsumers() async throws {
        var settings = Self.few
        (settings.consumers, settings.keys) = (3, 4)
        let queue = MemoryQueue()
        let runner = try BenchmarkRunner(queue, settings: settings, report: { Issue.record("\($0)") })
        let results = try await runner.throughput()
        #expect(results.count == 2)
        #expect(results.allSatisfy { $0.plainRate == nil && $0.ratio == nil })
        #expect(try await queue.queues().isEmpty)
    }

    @Test("measures workers and the latency at a fixed rate")
    func workers() async throws {
        let queue = MemoryQueue()
        let runner = try BenchmarkRunner(queue, settings: Self.few, report: { Issue.record("\($0)") })
        let results = try await runner.workers()
        #expect(results.map(\.name) == ["worker", "end-to-end"])
        #expect(results.allSatisfy { $0.rate.count == 5 })
        let latency = try await runner.latency()
        #expect(latency.intended.count == 50 && latency.sent.count == 50)
        #expect(latency.rate == 1000)
        #expect(latency.achieved > 0)
        #expect(latency.intended.p50 <= latency.intended.p99 && latency.intended.p99 <= latency.intended.max)
        #expect(try await queue.queues().isEmpty)
    }

    @Test("counts the time before a late sending: nothing that kept a message waiting is left out")
    func coordinatedOmission() async throws {
        var settings = Self.few
        (settings.rate, settings.window) = (200, .milliseconds(100))
        // Each publish takes 20 ms, four times as long as the rate allows.
        let slow = SlowQueue(base: MemoryQueue(), pause: .milliseconds(20))
        let runner = try BenchmarkRunner(slow, settings: settings, report: { Issue.record("\($0)") })
        let latency = try await runner.latency()
        // The last of 20 messages is sent 19 × 20 ms after the first instead of 19 × 5 ms.
        #expect(latency.intended.max >= 19 * 15_000)
        #expect(latency.intended.max > latency.sent.p50)
        #expect(latency.achieved < 60)
    }

    @Test("measures every series, and leaves no queue behind", arguments: SeriesKind.allCases)
    func series(kind: SeriesKind) async throws {
        let queue = MemoryQueue()
        var settings = Self.few
        settings.messages = 20
        let runner = try BenchmarkRunner(queue, settings: settings, report: { Issue.record("\($0)") })
        let result = try await runner.series(kind, upTo: 3)
        #expect(result.kind == kind)
        #expect(result.points.map(\.x) == kind.values(upTo: 3))
        let names = kind.figures.names
        #expect(result.points.allSatisfy { point in names.allSatisfy { point.values[$0] != nil } })
        #expect(try await queue.queues().isEmpty)
    }

    @Test("deletes its queues when it is cancelled, and touches no other")
    func cancellation() async throws {
        let queue = MemoryQueue()
        try await queue.declare(QueueDefinition("orders", groups: [GroupDefinition("g")]))
        try await queue.publish(Message(text: "mine"), to: "orders")
        var settings = Self.few
        settings.messages = 100_000_000
        let runner = try BenchmarkRunner(queue, settings: settings, report: { Issue.record("\($0)") })
        let run = Task { try await runner.throughput() }
        #expect(try await eventually { try await queue.queues().count == 2 })
        run.cancel()
        await #expect(throws: (any Error).self) { try await run.value }
        #expect(try await queue.queues() == ["orders"])
        #expect(try await queue.statistics(of: "orders")["g"]?.ready == .exact(1))
    }

    @Test("says which queue could not be deleted")
    func leftover() async throws {
        let said = Mutex<[String]>([])
        let runner = try BenchmarkRunner(
            StubbornQueue(base: MemoryQueue()),
            settings: Self.few,
            report: { text in said.withLock { $0.append(text) } }
        )
        _ = try await runner.throughput()
        let lines = said.withLock { $0 }
        #expect(lines.count == 1)
        #expect(lines.first?.contains("bench-") == true && lines.first?.contains("could not be deleted") == true)
    }

    @Test("gives up with the number of what is missing when nothing moves")
    func missing() async throws {
        var settings = Self.few
        settings.patience = .seconds(1)
        let runner = try BenchmarkRunner(ForgetfulQueue(base: MemoryQueue()), settings: settings, report: { _ in })
        let error = try #require(await #expect(throws: QueueError.self) { _ = try await runner.throughput() })
        #expect(error.message.contains("10 messages did not come"), "\(error)")
        let other = try #require(await #expect(throws: QueueError.self) { _ = try await runner.workers() })
        #expect(other.message.contains("0 of 60 messages were handled"), "\(other)")
    }

    @Test("refuses a ratio of fewer than five pairs")
    func fewPairs() throws {
        var settings = Self.few
        settings.pairs = 4
        #expect(throws: QueueError.self) {
            try BenchmarkRunner(
                MemoryQueue(),
                settings: settings,
                baseline: (open: { _ in CountingContender() }, needsQueue: false),
                report: { _ in }
            )
        }
    }

    @Test("a report is a document with its version, and can be read again")
    func document() async throws {
        let queue = MemoryQueue()
        let runner = try BenchmarkRunner(queue, settings: Self.few, report: { Issue.record("\($0)") })
        var report = BenchmarkReport(
            system: "memory",
            version: "1",
            durability: "memory",
            place: "memory",
            findings: ["a"],
            machine: .current(),
            settings: Self.few,
            baseline: nil
        )
        report.workloads = try await runner.throughput()
        report.latency = try await runner.latency()
        report.series = try await runner.series(.consumers, upTo: 2)
        let data = try JSONEncoder().encode(report)
        #expect(try JSONDecoder().decode(BenchmarkReport.self, from: data) == report)
        let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(object["schema_version"] as? Int == 1)
        let machine = try #require(object["machine"] as? [String: Any])
        #expect((machine["cores"] as? Int ?? 0) > 0 && (machine["memory_bytes"] as? Int ?? 0) > 1 << 20)
        #expect(["debug", "release"].contains(machine["build"] as? String))
        let latency = try #require(object["latency"] as? [String: Any])
        #expect((latency["from_intended_time"] as? [String: Any])?["p99_9_us"] != nil)
    }
}

/// Says that every message takes a millisecond, and counts.
private final class CountingContender: Contender {
    let name = "counting"
    private let state = Mutex((published: 0, consumed: 0, isClosed: false))

    var counts: [Int] { state.withLock { [$0.published, $0.consumed] } }
    var isClosed: Bool { state.withLock { $0.isClosed } }

    func publish(_ count: Int) async throws -> Duration {
        state.withLock { $0.published += count }
        return .milliseconds(count)
    }

    func consume(_ count: Int) async throws -> Taken {
        state.withLock { $0.consumed += count }
        return Taken(count: count, time: .milliseconds(count))
    }

    func close() async { state.withLock { $0.isClosed = true } }
}

/// A queue whose confirmations take a while.
private struct SlowQueue: QueueDecorator {
    let base: any MessageQueue
    let pause: Duration

    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        let outcomes = try await base.publish(messages, to: queue)
        do { try await Task.sleep(for: pause) } catch { throw QueueError(.cancelled, "cancelled") }
        return outcomes
    }
}

/// A queue that deletes nothing.
private struct StubbornQueue: QueueDecorator {
    let base: any MessageQueue

    func deleteQueue(_ queue: String) async throws(QueueError) -> Bool {
        throw QueueError(.permissionDenied, "it is not allowed")
    }
}

/// A queue that says that it has accepted messages and keeps none.
private struct ForgetfulQueue: QueueDecorator {
    let base: any MessageQueue

    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        messages.map { _ in .accepted }
    }
}
