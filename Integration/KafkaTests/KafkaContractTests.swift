import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingConformance
import MessagingKafka
import TestSupport
import Testing

/// The contract's cases on a server: that of `Integration/with-brokers`, or one of the test's own.
struct KafkaHarness: ConformanceHarness {
    let url: String

    var timeUnit: Duration { .milliseconds(250) }
    var tolerance: Duration { .milliseconds(250) }

    func makeQueue() async throws -> any MessageQueue {
        var configuration = try KafkaConfiguration(url: url)
        // The order of a replay is promised within a partition.
        configuration.partitions = 1
        return KafkaQueue(configuration, logger: silent)
    }

    func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }
}

let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

@Suite(
    "Kafka keeps the contract",
    .enabled(if: PrivateKafka.isInstalled, "noida-db is not installed; make test installs it"),
    // One at a time: the cases measure delays, and the client and the server share the machine.
    .serialized,
    .timeLimit(.minutes(10))
)
struct KafkaContractTests {
    @Test(arguments: Conformance.all)
    func keeps(_ law: ConformanceCase) async throws {
        let shared = ProcessInfo.processInfo.environment["MQ_TEST_KAFKA_URL"]
        let own = shared == nil ? try PrivateKafka() : nil
        defer { own?.stop() }
        let harness = KafkaHarness(url: shared ?? own?.url ?? "")
        let probe = try await harness.makeQueue()
        let capabilities = try await probe.capabilities()
        await probe.close()
        for feature in law.requires where !capabilities[feature].isAvailable {
            // Not a skip: what is not claimed is refused, and that is checked.
            return try await Self.refuses(feature, harness)
        }
        try await law.run(on: harness)
    }

    /// A feature that is not claimed throws `unsupported`, or the broker just takes what it does not understand.
    private static func refuses(_ feature: Capabilities.Feature, _ harness: KafkaHarness) async throws {
        let queue = try await harness.makeQueue()
        let name = harness.uniqueName("refused")
        switch feature {
        case .boundedQueue:
            let error = await #expect(throws: QueueError.self) {
                try await queue.declare(QueueDefinition(name, maxReady: 1))
            }
            #expect(error?.code == .unsupported)
        case .scheduleList:
            let error = await #expect(throws: QueueError.self) {
                try await queue.scheduled(of: name, after: nil, limit: 1)
            }
            #expect(error?.code == .unsupported)
        case .deduplication, .idConflict:
            try await queue.declare(QueueDefinition(name))
            let message = Message(text: "twice")
            for _ in 0..<2 { #expect(try await queue.publish(message, to: name).isConfirmed) }
        default: Issue.record("\(feature) is not claimed, and nothing checks that it is refused")
        }
        await queue.close()
    }
}
