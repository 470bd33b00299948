import BrokerSupport
import Foundation
import Messaging
import MessagingSQLite
import TestSupport
import Testing

/// Several processes on one file, all publishing and handling, some of them killed.
@Suite("Processes that share a SQLite file", .serialized, .timeLimit(.minutes(10)))
struct SQLiteProcessTests {
    private static let lease: Duration = .seconds(2)
    private static let definition = QueueDefinition(
        "hammer",
        groups: [GroupDefinition("workers", lease: lease, maxAttempts: 1000)]
    )

    /// How long the hammering lasts: two minutes when a person asks for it, less in CI.
    private static var seconds: Int {
        ProcessInfo.processInfo.environment["MQ_TEST_HAMMER_SECONDS"].flatMap { Int($0) } ?? 10
    }

    @Test("four processes hammer one file: no error, nothing lost, nothing held by two")
    func hammer() async throws {
        let file = try QueueFile()
        let queue = file.makeQueue()
        try await queue.declare(Self.definition)
        let children = try (0..<4).map { try file.start("hammer", ["hammer", "workers", "p\($0)", "\(Self.seconds)"]) }
        var history = History()
        for (index, child) in children.enumerated() {
            let outcome = await child.wait(atMost: Double(Self.seconds) + 60)
            #expect(outcome.status == 0, "\(outcome.errors)")
            history.add(child.output, process: index)
        }
        try await Self.drain(queue, &history)
        #expect(history.errors.isEmpty, "\(history.errors.prefix(5))")
        Self.check(history)
        #expect(history.published > 1000)
        #expect(try file.integrity() == "ok")
        await queue.close()
        print(
            "hammered for \(Self.seconds) s: \(history.published) published, \(history.delivered) delivered, no error"
        )
    }

    @Test(
        "processes are killed while they hammer: what was confirmed is there, and the file is whole",
        arguments: 0..<4
    )
    func kills(seed: UInt64) async throws {
        let file = try QueueFile()
        let queue = file.makeQueue()
        try await queue.declare(Self.definition)
        var generator = SeededGenerator(seed: seed)
        var history = History()
        var running = try (0..<3).map { (number: $0, child: try file.start("hammer", Self.words($0))) }
        var next = running.count
        for _ in 0..<8 {
            try await Task.sleep(for: .milliseconds(Int.random(in: 50...500, using: &generator)))
            let index = Int.random(in: 0..<running.count, using: &generator)
            let victim = running.remove(at: index)
            victim.child.crash()
            history.add(victim.child.output, process: victim.number)
            #expect(try file.integrity() == "ok")
            running.append((next, try file.start("hammer", Self.words(next))))
            next += 1
        }
        for survivor in running {
            survivor.child.crash()
            history.add(survivor.child.output, process: survivor.number)
        }
        try await Self.drain(queue, &history)
        #expect(history.errors.isEmpty, "\(history.errors.prefix(5))")
        Self.check(history)
        #expect(history.published > 100)
        #expect(try file.integrity() == "ok")
        await queue.close()
    }

    private static func words(_ number: Int) -> [String] { ["hammer", "workers", "p\(number)", "60"] }

    private static func check(_ history: History) {
        #expect(history.lost.isEmpty, "lost: \(history.lost.prefix(5))")
        // A process that is killed between the commit and its line has acknowledged without saying so: the message is
        // gone, which is no loss. Twice is always wrong.
        #expect(history.doubled.isEmpty, "acknowledged twice: \(history.doubled.prefix(5))")
        let shared = history.shared(lease: UInt64(lease / .nanoseconds(1)))
        #expect(shared.isEmpty, "held by two: \(shared.prefix(5))")
    }

    /// Takes what is left, after every lease of the dead has run out.
    private static func drain(_ queue: SQLiteQueue, _ history: inout History) async throws {
        let consumer = try await queue.consume("hammer", group: "workers", consumer: "last", options: ConsumerOptions())
        let end = ContinuousClock.now + .seconds(120)
        while ContinuousClock.now < end {
            let asked = ContinuousClock.now
            let deliveries = try await consumer.receive(max: 1000, wait: .milliseconds(500))
            let outcomes = try await consumer.settle(deliveries.map { SettleRequest($0.receipt, .acknowledge) })
            let isInTime = ContinuousClock.now - asked < lease
            #expect(outcomes.count == deliveries.count)
            for (delivery, outcome) in zip(deliveries, outcomes) {
                switch outcome {
                case .settled: history.drained(delivery.message.id.rawValue)
                // The disk was slow; it comes again.
                case .leaseLost where !isInTime: break
                default: Issue.record("settling \(delivery.message.id): \(outcome)")
                }
            }
            if deliveries.isEmpty, try await queue.statistics(of: "hammer")["workers"]?.lag == .exact(0) { break }
        }
        await consumer.close()
        let figures = try #require(try await queue.statistics(of: "hammer")["workers"])
        #expect(figures.lag == .exact(0))
        #expect(figures.dead == .exact(0))
        #expect(try await queue.statistics(of: "hammer").stored == .exact(0))
    }
}
