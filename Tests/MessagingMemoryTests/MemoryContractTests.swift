import Messaging
import MessagingConformance
import MessagingMemory
import Synchronization
import TestSupport
import Testing

/// The contract's cases on the memory queue, with a clock that moves only when a case lets time pass.
struct MemoryHarness: ConformanceHarness {
    private let clock: ManualClock
    private let inProcess: InProcessFaults

    init() {
        clock = ManualClock()
        let broker = MemoryQueue(clock: clock.queueClock, maxBodyBytes: 1 << 20)
        inProcess = InProcessFaults { broker.makeClient() }
    }

    var timeUnit: Duration { .seconds(1) }
    var tolerance: Duration { .milliseconds(100) }
    var now: Duration { clock.now }

    /// There is no socket and no process to break: what clients would see of it is made up.
    var faults: (any FaultControl)? { inProcess }

    func makeQueue() async throws -> any MessageQueue { try await inProcess.client(isRemote: false) }
    func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }
    func advance(by duration: Duration) async throws { clock.advance(by: duration) }
}

// One case at a time: they are many, and the tests of other suites wait for the same threads.
@Suite("The memory queue keeps the contract", .serialized)
struct MemoryContractTests {
    @Test(arguments: Conformance.all)
    func keeps(_ law: ConformanceCase) async throws {
        let result = try await ConformanceRunner(MemoryHarness()).result(of: law)
        switch result.outcome {
        case .passed: break
        case .failed: Issue.record("\(result)")
        case .unsupported, .notPossible, .knownFailure: Issue.record("\(result)", severity: .warning)
        }
    }

    @Test("every case has an id of its own")
    func ids() {
        let ids = Conformance.all.map(\.id)
        #expect(Set(ids).count == ids.count)
        #expect(ids.count >= 35)
    }
}
