import BrokerSupport
import Foundation
import Messaging
import MessagingPipeline
import MessagingRedis
import TestSupport
import Testing

/// Every layer in a process of its own with two workers; any of them is killed at any moment and started again.
@Suite(
    "Killing any process changes nothing in the end",
    .enabled(if: PrivateRedis.isInstalled, "redis-server is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(10))
)
struct PipelineKillTests {
    private static let rounds = 10
    private static let killsPerRound = 6

    @Test func seededKills() async throws {
        let harness = try await PipelineHarness(statements: 1500)
        defer { harness.remove() }
        #expect(harness.expected.count == 1500)
        let expected = harness.expected
        var kills = 0
        var redelivered = 0
        for seed in 0..<Self.rounds {
            try harness.server.cli("FLUSHALL")
            let (killed, repeated) = try await round(harness, seed: UInt64(seed))
            kills += killed
            redelivered += repeated
            let result = try await harness.result()
            #expect(result.count == expected.count, "seed \(seed): \(result.count) of \(expected.count) statements")
            #expect(result == expected, "seed \(seed): the result differs from that of an undisturbed run")
        }
        print("seeded kills: \(kills) in \(Self.rounds) rounds, \(redelivered) takeovers, every result identical")
        #expect(kills >= 50)
    }

    /// One run with kills at random moments; returns how many hit a running process, and how many deliveries were
    /// taken over from the dead.
    private func round(_ harness: PipelineHarness, seed: UInt64) async throws -> (kills: Int, repeated: Int) {
        var generator = SeededGenerator(seed: seed)
        let queue = try harness.makeQueue()
        var number = 0
        var processes: [Layer: MQProcess] = [:]
        for layer in Layer.allCases {
            processes[layer] = try harness.start(layer, number: number)
            number += 1
        }
        var kills = 0
        for _ in 0..<Self.killsPerRound {
            try await Task.sleep(for: .milliseconds(Int.random(in: 0...400, using: &generator)))
            // A collector that has ended cannot be killed any more; another layer takes its place.
            let running = Layer.allCases.filter { processes[$0]?.isRunning == true }
            guard let victim = running.randomElement(using: &generator) else { continue }
            processes[victim]?.crash()
            kills += 1
            number += 1
            processes[victim] = try harness.start(victim, number: number)
        }
        let collector = await processes[.collect]?.wait(atMost: 60)
        #expect(collector?.status == 0, "seed \(seed): the collector said \(collector?.errors ?? "nothing")")
        #expect(try await eventually(within: .seconds(60)) { await harness.isIdle(queue) }, "seed \(seed): not idle")
        var repeated = 0
        for layer in Layer.workers {
            // Consumers that crashed are still registered; each hand-over from one is an entry of the private stream.
            let name = "{\(layer.queue ?? "")}:g:\(layer.group ?? ""):retry"
            let info = try harness.server.cli("XINFO", "STREAM", name).split(separator: "\n")
            if let index = info.firstIndex(of: "entries-added"), index + 1 < info.count {
                repeated += Int(info[index + 1]) ?? 0
            }
            #expect(try await queue.statistics(of: layer.queue ?? "").groups.first?.dead.value == 0)
        }
        for process in processes.values {
            process.signal(SIGTERM)
            let outcome = await process.wait(atMost: 40)
            #expect(outcome.status == 0, "seed \(seed): a process ended with \(outcome.status): \(outcome.errors)")
        }
        await queue.close()
        return (kills, repeated)
    }
}
