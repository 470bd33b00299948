import BrokerSupport
import Foundation
import Messaging
import MessagingSQLite
import TestSupport
import Testing

/// What a process on a SQLite file costs: memory while it works off a backlog, processor time while there is nothing to
/// do, and space on the disk when everything is done.
@Suite(
    "SQLite under load",
    .enabled(if: ProcessFigures.areThere, "the figures are read from /proc"),
    .serialized,
    .timeLimit(.minutes(12))
)
struct SQLiteLoadTests {
    private static let count = 50_000

    @Test func backlogAndIdleness() async throws {
        let file = try QueueFile()
        let queue = file.makeQueue()
        try await queue.declare(QueueDefinition("orders", groups: [GroupDefinition("g")], dedupeWindow: .zero))
        for start in stride(from: 0, to: Self.count, by: 1000) {
            let messages = (start..<(start + 1000)).map {
                Message(body: [UInt8](repeating: UInt8($0 % 256), count: 512))
            }
            let outcomes = try await queue.publish(messages, to: "orders")
            #expect(outcomes.count { $0.isConfirmed } == 1000)
        }
        let full = file.bytes
        let child = try file.start("worker", ["orders", "g"])
        let isDone = try await eventually(within: .seconds(280)) {
            child.output.split(separator: "\n").count * 1000 >= Self.count
        }
        #expect(isDone, "\(child.errors)")
        let peak = try #require(ProcessFigures.peakMemory(child.processID))
        #expect(peak < 100 << 20, "the peak is \(peak >> 20) MB")
        #expect(
            try await eventually(within: .seconds(60)) {
                try await queue.statistics(of: "orders")["g"]?.lag == .exact(0)
            },
            "not everything was acknowledged"
        )
        // The worker that waits goes on giving back what is free.
        #expect(try await eventually(within: .seconds(60)) { file.bytes < full / 3 }, "\(file.bytes) of \(full) bytes")
        try await Self.waitForRest(file)
        let used = try await Self.idleTime(of: child)
        #expect(used <= 0.15, "\(used) s of processor time in 10 s of idleness")
        print(
            "\(Self.count) messages on SQLite: memory peak \(peak >> 20) MB, file \(full >> 20) → \(file.bytes >> 20) MB; "
                + "idle: \(used) s of processor time in 10 s"
        )
        child.crash()
        await queue.close()
    }

    /// Waits until the file keeps its size, for a minute at most: giving space back is work.
    private static func waitForRest(_ file: QueueFile) async throws {
        var last = -1
        for _ in 0..<20 where file.bytes != last {
            last = file.bytes
            try await Task.sleep(for: .seconds(3))
        }
    }

    /// Returns the processor time, in seconds, of the quietest of a few windows of 10 s: what is left of the work
    /// before adds to it, and nothing takes away.
    private static func idleTime(of child: MQProcess) async throws -> Double {
        var least = Double.infinity
        for _ in 0..<3 where least > 0.15 {
            let before = try #require(ProcessFigures.processorTime(child.processID))
            try await Task.sleep(for: .seconds(10))
            let used = try #require(ProcessFigures.processorTime(child.processID)) - before
            least = min(least, used)
        }
        return least
    }

    @Test("the program that measures beside plain inserts works to its end")
    func throughput() async throws {
        let file = try QueueFile()
        let child = try MQProcess(["throughput", file.path, "20000"], program: MQProcess.built("queue-child"))
        let outcome = await child.wait(atMost: 280)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.split(separator: "\n").count == 21)
    }
}
