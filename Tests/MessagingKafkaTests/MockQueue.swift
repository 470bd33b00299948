import KafkaMock
import Logging
import Messaging
import MessagingConformance

@testable import MessagingKafka

extension MockCluster {
    /// A client of this cluster.
    func client(_ change: (inout KafkaConfiguration) -> Void = { _ in }) -> MockQueue {
        var configuration = KafkaConfiguration(servers: servers)
        configuration.maxBodyBytes = 100_000
        configuration.checksTopics = false
        configuration.sessionTimeout = .seconds(6)
        configuration.partitions = 2
        change(&configuration)
        let queue = KafkaQueue(configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        return MockQueue(kafka: queue, cluster: self)
    }
}

/// A client whose topics an administrator makes just before it declares them.
struct MockQueue: QueueDecorator {
    let kafka: KafkaQueue
    let cluster: MockCluster

    var base: any MessageQueue { kafka }

    func declare(_ definition: QueueDefinition) async throws(QueueError) {
        if definition.maxReady == nil, (try? definition.validate()) != nil {
            cluster.create(definition, partitions: kafka.configuration.partitions)
        }
        try await kafka.declare(definition)
    }

    /// Nobody answers an administrator's request to delete topics, and they end with the cluster.
    func deleteQueue(_ queue: String) async throws(QueueError) -> Bool { true }
}

/// The contract's cases on a cluster of three brokers.
struct MockHarness: ConformanceHarness {
    let cluster: MockCluster

    var timeUnit: Duration { .milliseconds(500) }
    /// Cases run side by side, each with three brokers of its own.
    var tolerance: Duration { .seconds(3) }

    func makeQueue() async throws -> any MessageQueue { cluster.client { $0.partitions = 1 } }
    func uniqueName(_ prefix: String) -> String { "\(prefix)-\(MessageID.make())" }
}
