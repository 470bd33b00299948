import Messaging
import MessagingConformance
import Testing

/// All that a backend writes to be held to the contract.
struct ExampleHarness: ConformanceHarness {
    private let broker = ExampleQueue()
    var timeUnit: Duration { .milliseconds(200) }
    var tolerance: Duration { .seconds(1) }
    func makeQueue() async throws -> any MessageQueue { CheckedQueue(broker) }
    func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }
}

@Suite("The example backend keeps what it claims", .serialized)
struct ExampleBackendTests {
    @Test(arguments: Conformance.cases(upTo: .quick))
    func keeps(_ law: ConformanceCase) async throws {
        let result = try await ConformanceRunner(ExampleHarness()).result(of: law)
        switch result.outcome {
        case .passed: break
        case .failed: Issue.record("\(result)")
        case .unsupported, .notPossible, .knownFailure: Issue.record("\(result)", severity: .warning)
        }
    }
}
