import Messaging
import MessagingConformance
import Synchronization
import TestSupport
import Testing

/// A memory harness whose clients hang in some call, however they are cancelled, or are late.
private struct HangingHarness: ConformanceHarness {
    enum Call: Sendable { case receive, capabilities }

    let base = MemoryHarness()
    var call: Call?
    /// How much later than now a receive ends, by the clock of the case.
    var stall: Duration = .zero
    let closed = Closed()

    /// How many clients were closed.
    final class Closed: Sendable { let count = Mutex(0) }

    var timeUnit: Duration { base.timeUnit }
    var tolerance: Duration { base.tolerance }
    var now: Duration { base.now }

    func makeQueue() async throws -> any MessageQueue { HangingQueue(base: try await base.makeQueue(), harness: self) }
    func uniqueName(_ prefix: String) -> String { base.uniqueName(prefix) }
    func advance(by duration: Duration) async throws { try await base.advance(by: duration) }

    /// Never returns, and does not listen to cancellation.
    static func hang() async { await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in } }
}

private struct HangingQueue: QueueDecorator {
    let base: any MessageQueue
    let harness: HangingHarness

    func capabilities() async throws(QueueError) -> Capabilities {
        if harness.call == .capabilities { await HangingHarness.hang() }
        return try await base.capabilities()
    }

    func close() async {
        harness.closed.count.withLock { $0 += 1 }
        await base.close()
    }

    func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        let made = try await base.consume(queue, group: group, consumer: consumer, options: options)
        return HangingConsumer(base: made, harness: harness)
    }
}

private struct HangingConsumer: ConsumerDecorator {
    let base: any QueueConsumer
    let harness: HangingHarness

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        if harness.call == .receive { await HangingHarness.hang() }
        let deliveries = try await base.receive(max: max, wait: wait)
        if harness.stall > .zero { try? await harness.advance(by: harness.stall) }
        return deliveries
    }
}

@Suite("The runner of the contract's cases", .timeLimit(.minutes(1)))
struct ConformanceRunnerTests {
    /// Control cases must end within it, also where the processor is away for a while.
    private static let limit: Duration = .seconds(5)

    private static func law(_ id: String) throws -> ConformanceCase { try #require(Conformance.find(id)) }

    @Test("a case that hangs has failed, says what it waited for, and does not stop the run")
    func hangs() async throws {
        let harness = HangingHarness(call: .receive)
        let runner = ConformanceRunner(harness, timeLimit: Self.limit)
        let report = try await runner.run([try Self.law("settle.ack"), try Self.law("topo.drift")])
        #expect(report.results.map(\.outcome) == [.failed, .passed])
        let reason = try #require(report.results.first?.reason)
        #expect(reason.contains("it did not end within 5.0 seconds: waiting for receive by consumer-1 of contract-"))
        // One that asked for the capabilities, one of each case.
        #expect(try await eventually { harness.closed.count.withLock { $0 } == 3 })
    }

    @Test("a backend that never says what it can do ends the run with an error")
    func hangsAtOnce() async throws {
        let runner = ConformanceRunner(HangingHarness(call: .capabilities), timeLimit: Self.limit)
        let error = await #expect(throws: QueueError.self) { try await runner.result(of: try Self.law("rt.basic")) }
        #expect(error?.code == .unavailable)
    }

    @Test("a cancelled run ends although its case hangs")
    func isCancelled() async throws {
        let law = try Self.law("settle.ack")
        let run = Task { try await ConformanceRunner(HangingHarness(call: .receive)).result(of: law) }
        run.cancel()
        await #expect(throws: CancellationError.self) { try await run.value }
    }

    @Test("the table of kills goes on after a case that hangs")
    func hangingMutant() async throws {
        let laws = [try Self.law("settle.ack"), try Self.law("topo.drift")]
        let table = await KillTable.run([Mutants.none], cases: laws, everyPair: true, timeLimit: Self.limit) {
            HangingHarness(call: .receive)
        }
        guard case .hung(let calls)? = table["none", "settle.ack"] else {
            Issue.record("\(String(describing: table["none", "settle.ack"]))")
            return
        }
        #expect(calls.contains("receive by consumer-1"))
        #expect(table["none", "topo.drift"] == .survived)
    }

    @Test("a machine that is slower than every unit is no failure of the backend")
    func isTooSlow() async throws {
        // The lease of the case is over before its holder has what it was given.
        let harness = HangingHarness(stall: .seconds(60))
        let result = try await ConformanceRunner(harness).result(of: try Self.law("settle.ack"))
        #expect(result.outcome == .notPossible)
        #expect(result.reason?.contains("the machine is too busy") == true)
    }

    @Test("a machine that is slow is given longer units")
    func isSlow() async throws {
        let harness = HangingHarness(stall: .seconds(2))
        let result = try await ConformanceRunner(harness).result(of: try Self.law("settle.ack"))
        #expect(result.outcome == .passed, "\(result)")
    }

    @Test("a case that is marked as known to fail fails once it passes")
    func knownFailures() async throws {
        let mutant = try #require(Mutants.find("ack-forgotten"))
        let law = try Self.law("settle.ack")
        let known = [law.id: "acknowledgements are not built yet"]
        let broken = try await ConformanceRunner(mutant.wrap(MemoryHarness()), known: known).result(of: law)
        #expect(broken.outcome == .knownFailure)
        #expect("\(broken)" == "settle.ack: known-failure, acknowledgements are not built yet")
        let mended = try await ConformanceRunner(MemoryHarness(), known: known).result(of: law)
        #expect(mended.outcome == .failed)
        #expect(mended.reason?.contains("remove the mark") == true)
    }

    @Test("what a backend does not claim is unsupported, with the backend's reason")
    func unsupported() async throws {
        let mutant = try #require(Mutants.find("capability-hidden"))
        let result = try await ConformanceRunner(mutant.wrap(MemoryHarness())).result(of: try Self.law("group.replay"))
        #expect("\(result)" == "group.replay: unsupported, replay: hidden")
    }
}
