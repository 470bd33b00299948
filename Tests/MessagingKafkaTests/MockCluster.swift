import CRdKafka
import Logging
import Messaging
import MessagingConformance

@testable import MessagingKafka

/// librdkafka's own cluster for tests: brokers in this process, on loopback ports, that fail when they are told to.
///
/// It has no requests of administrators, so topics are made here; it keeps 5 MB per partition.
///
/// `@unchecked Sendable`: the pointers never change and the cluster's functions may be called from any thread.
final class MockCluster: @unchecked Sendable {
    struct StartFailure: Error {}

    private let handle: OpaquePointer
    private let cluster: OpaquePointer
    let servers: [String]

    init(brokers: Int32 = 3) throws {
        let configuration = rd_kafka_conf_new()
        rd_kafka_conf_set_log_cb(configuration) { _, _, _, _ in }
        guard let handle = rd_kafka_new(RD_KAFKA_PRODUCER, configuration, nil, 0) else { throw StartFailure() }
        guard let cluster = rd_kafka_mock_cluster_new(handle, brokers) else {
            rd_kafka_destroy(handle)
            throw StartFailure()
        }
        self.handle = handle
        self.cluster = cluster
        servers = String(cString: rd_kafka_mock_cluster_bootstraps(cluster)).split(separator: ",").map(String.init)
    }

    deinit {
        rd_kafka_mock_cluster_destroy(cluster)
        rd_kafka_destroy(handle)
    }

    /// Makes the topics of a queue, as an administrator could.
    func create(_ definition: QueueDefinition, partitions: Int) {
        for topic in KafkaQueue.topics(of: definition, partitions: partitions) + [(KafkaNames.registry, 1)] {
            // One that is there stays.
            rd_kafka_mock_topic_create(cluster, topic.name, Int32(topic.partitions), 3)
        }
    }

    func down(_ broker: Int32) { rd_kafka_mock_broker_set_down(cluster, broker) }
    func up(_ broker: Int32) { rd_kafka_mock_broker_set_up(cluster, broker) }
    func roundTrip(_ broker: Int32, milliseconds: Int32) { rd_kafka_mock_broker_set_rtt(cluster, broker, milliseconds) }

    /// Lets the next requests of a kind fail; 0 is Produce, 8 OffsetCommit, 10 FindCoordinator.
    func fail(_ request: Int16, _ errors: [rd_kafka_resp_err_t]) {
        rd_kafka_mock_push_request_errors_array(cluster, request, errors.count, errors)
    }

    /// Gives a group to another coordinator.
    func coordinator(of group: String, _ broker: Int32) {
        rd_kafka_mock_coordinator_set(cluster, "group", group, broker)
    }

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
