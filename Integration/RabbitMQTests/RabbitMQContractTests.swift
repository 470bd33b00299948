import BrokerSupport
import Foundation
import Messaging
import MessagingConformance
import MessagingRabbitMQ
import TestSupport
import Testing

/// The contract's cases on a live RabbitMQ.
struct RabbitMQHarness: ConformanceHarness {
    let url: String
    /// What a call of `receive` that asks once waits in truth: the suite asks again and again, so without it every message
    /// would be fetched singly and the subscription never used.
    var patience: Duration = .zero

    var timeUnit: Duration { .milliseconds(500) }
    /// The unit of delays is 100 ms, and each level takes some time.
    var tolerance: Duration { .milliseconds(800) }

    func makeQueue() async throws -> any MessageQueue {
        let queue = try MessagingRabbitMQTestQueue.make(url)
        return patience > .zero ? PatientQueue(base: queue, patience: patience) : queue
    }

    func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }

    func injectForeign(body: [UInt8], into queue: String) async throws -> Bool {
        try await Management(url).publish(body, to: "mq.\(queue)@workers")
    }
}

private enum MessagingRabbitMQTestQueue {
    static func make(_ url: String) throws -> RabbitMQQueue { try makeQueue(url) { $0.maxBodyBytes = 1 << 20 } }
}

/// A queue whose consumers wait a little where they are told to ask once.
private struct PatientQueue: QueueDecorator {
    let base: any MessageQueue
    let patience: Duration

    func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        let member = try await base.consume(queue, group: group, consumer: consumer, options: options)
        return PatientConsumer(base: member, patience: patience)
    }
}

private struct PatientConsumer: ConsumerDecorator {
    let base: any QueueConsumer
    let patience: Duration

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        try await base.receive(max: max, wait: Swift.max(wait, patience))
    }
}

@Suite(
    "RabbitMQ keeps the contract",
    .enabled(if: PrivateRabbitMQ.isInstalled, "rabbitmq-server is not installed; make test installs it"),
    // One at a time: the cases measure delays, and the client and the broker share the machine.
    .serialized,
    .timeLimit(.minutes(5))
)
struct RabbitMQContractTests {
    @Test(arguments: Conformance.cases(upTo: .full))
    func keeps(_ law: ConformanceCase) async throws {
        try await run(law, on: RabbitMQHarness(url: try SharedRabbitMQ.url()))
    }

    @Test("it keeps the contract with subscriptions, too", arguments: Conformance.cases(upTo: .quick))
    func keepsWithSubscriptions(_ law: ConformanceCase) async throws {
        try await run(law, on: RabbitMQHarness(url: try SharedRabbitMQ.url(), patience: .milliseconds(20)))
    }

    private func run(_ law: ConformanceCase, on harness: RabbitMQHarness) async throws {
        let result = try await ConformanceRunner(harness).result(of: law)
        switch result.outcome {
        case .passed: break
        case .failed: Issue.record("\(result)")
        case .unsupported, .notPossible, .knownFailure: Issue.record("\(result)", severity: .warning)
        }
    }
}
