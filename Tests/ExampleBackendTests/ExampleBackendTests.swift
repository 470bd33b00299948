import Messaging
import MessagingConformance
import Testing

/// All that a backend writes to be held to the contract.
struct ExampleHarness: ConformanceHarness {
    private let state = ExampleShared()
    var timeUnit: Duration { .milliseconds(200) }
    var tolerance: Duration { .milliseconds(150) }
    func makeQueue() async throws -> any MessageQueue { ExampleQueue(state) }
    func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }
}

@Suite("The example backend keeps what it claims", .serialized)
struct ExampleBackendTests {
    @Test(arguments: Conformance.cases(upTo: .quick))
    func keeps(_ law: ConformanceCase) async throws {
        let report = try await ConformanceRunner(ExampleHarness()).run([law])
        #expect(report.isPassed, "\(report.results.compactMap(\.reason).joined(separator: "; "))")
    }
}
