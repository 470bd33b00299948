import BrokerSupport
import Foundation
import Messaging
import MessagingRedis
import TestSupport
import Testing

/// What a client costs: memory while it works off a backlog, and processor time while there is nothing to do.
@Suite(
    "Redis under load",
    .enabled(if: PrivateRedis.isInstalled, "redis-server is not installed; make test installs it"),
    .enabled(if: ProcessFigures.areThere, "the figures are read from /proc"),
    .timeLimit(.minutes(5))
)
struct RedisLoadTests {
    private static let count = 100_000

    @Test func backlogAndIdleness() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition(lease: .seconds(30)))
        for start in stride(from: 0, to: Self.count, by: 2000) {
            let messages = (start..<(start + 2000)).map {
                Message(body: [UInt8](repeating: UInt8($0 % 256), count: 512), id: MessageID("m\($0)"))
            }
            let outcomes = try await queue.publish(messages, to: "orders")
            #expect(outcomes.count { $0.isConfirmed } == 2000)
        }
        #expect(try await queue.statistics(of: "orders")["g"]?.ready == .exact(Self.count))

        let child = try MQProcess(["worker", server.url, "orders", "g"], program: MQProcess.built("queue-child"))
        var peaks: [Int: Int] = [:]
        let isDone = try await eventually(within: .seconds(180)) {
            let handled = child.output.split(separator: "\n").count * 1000
            if let peak = ProcessFigures.peakMemory(child.processID) { peaks[handled] = peak }
            return handled >= Self.count
        }
        #expect(isDone, "\(child.errors)")
        let early = peaks.filter { $0.key <= Self.count / 10 }.values.max() ?? 0
        let late = peaks.values.max() ?? 0
        // 51 MB of bodies wait: a client that fetched ahead would hold them. What is held here is one batch.
        #expect(late < 80 << 20, "the peak is \(late >> 20) MB")
        #expect(late - early < 24 << 20, "the peak grew from \(early >> 20) to \(late >> 20) MB")
        #expect(
            try await eventually { try await queue.statistics(of: "orders")["g"]?.lag == .exact(0) },
            "not everything was acknowledged"
        )

        let before = try #require(ProcessFigures.processorTime(child.processID))
        try await Task.sleep(for: .seconds(10))
        let used = try #require(ProcessFigures.processorTime(child.processID)) - before
        #expect(used <= 0.1, "\(used) s of processor time in 10 s of idleness")
        print(
            "100,000 messages: memory peak \(early >> 20) → \(late >> 20) MB; idle: \(used) s of processor time in 10 s"
        )
        child.signal(SIGTERM)
        await queue.close()
    }
}
