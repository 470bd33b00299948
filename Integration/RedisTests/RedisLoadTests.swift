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
    .timeLimit(.minutes(10))
)
struct RedisLoadTests {
    private static let count = 100_000

    /// Publishes a backlog, and lets a process of its own work it off.
    ///
    /// - Returns: The process, which waits for more, and its peak of memory so far.
    private func workOff(
        _ count: Int,
        from name: String,
        of queue: RedisQueue,
        on server: PrivateRedis
    ) async throws -> (child: MQProcess, peak: Int) {
        try await queue.declare(definition(name, lease: .seconds(30)))
        for start in stride(from: 0, to: count, by: 2000) {
            let messages = (start..<(start + 2000)).map {
                Message(body: [UInt8](repeating: UInt8($0 % 256), count: 512), id: MessageID("m\($0)"))
            }
            let outcomes = try await queue.publish(messages, to: name)
            #expect(outcomes.count { $0.isConfirmed } == 2000)
        }
        #expect(try await queue.statistics(of: name)["g"]?.ready == .exact(count))
        let child = try MQProcess(["worker", server.url, name, "g"], program: MQProcess.built("queue-child"))
        let isDone = try await eventually(within: .seconds(180)) {
            child.output.split(separator: "\n").count * 1000 >= count
        }
        #expect(isDone, "\(child.errors)")
        #expect(
            try await eventually(within: .seconds(60)) {
                try await queue.statistics(of: name)["g"]?.lag == .exact(0)
            },
            "not everything was acknowledged"
        )
        return (child, try #require(ProcessFigures.peakMemory(child.processID)))
    }

    @Test func backlogAndIdleness() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        // A process for each, so that nobody need look at one at the right moment.
        let (small, early) = try await workOff(Self.count / 10, from: "few", of: queue, on: server)
        small.signal(SIGTERM)
        await small.wait()
        let (child, late) = try await workOff(Self.count, from: "orders", of: queue, on: server)
        // 51 MB of bodies wait: a client that fetched ahead would hold them. What is held here is one batch.
        #expect(late < 80 << 20, "the peak is \(late >> 20) MB")
        #expect(late - early < 24 << 20, "the peak grew from \(early >> 20) to \(late >> 20) MB")

        // The least of a few windows: what is left of the work before adds to the time, and nothing takes away.
        var used = Double.infinity
        for _ in 0..<3 where used > 0.1 {
            let before = try #require(ProcessFigures.processorTime(child.processID))
            try await Task.sleep(for: .seconds(10))
            used = min(used, try #require(ProcessFigures.processorTime(child.processID)) - before)
        }
        #expect(used <= 0.1, "\(used) s of processor time in 10 s of idleness")
        print(
            "100,000 messages: memory peak \(early >> 20) → \(late >> 20) MB; idle: \(used) s of processor time in 10 s"
        )
        child.signal(SIGTERM)
        await queue.close()
    }
}
