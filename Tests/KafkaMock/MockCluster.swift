#if Kafka
import CRdKafka
import Messaging
import MessagingKafka

/// librdkafka's own cluster for tests: brokers in this process, on loopback ports, that fail when they are told to.
///
/// It has no requests of administrators, so topics are made here; it keeps 5 MB per partition.
///
/// `@unchecked Sendable`: the pointers never change and the cluster's functions may be called from any thread.
package final class MockCluster: @unchecked Sendable {
    package struct StartFailure: Error {}

    private let handle: OpaquePointer
    private let cluster: OpaquePointer
    package let servers: [String]

    package init(brokers: Int32 = 3) throws {
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

    /// Makes a topic, as an administrator could; one that is there stays.
    package func create(_ topic: String, partitions: Int) {
        rd_kafka_mock_topic_create(cluster, topic, Int32(partitions), 3)
    }

    /// Makes the topics of a queue.
    package func create(_ definition: QueueDefinition, partitions: Int) {
        for topic in KafkaQueue.topics(of: definition, partitions: partitions) + [(KafkaNames.registry, 1)] {
            create(topic.name, partitions: topic.partitions)
        }
    }

    /// Lets one broker lead a queue's partitions, as after the loss of another.
    package func lead(_ definition: QueueDefinition, partitions: Int, by broker: Int32) {
        for topic in KafkaQueue.topics(of: definition, partitions: partitions) + [(KafkaNames.registry, 1)] {
            for partition in 0..<Int32(topic.partitions) {
                rd_kafka_mock_partition_set_leader(cluster, topic.name, partition, broker)
            }
        }
    }

    /// Lets brokers say of a topic that there is none, as one does that has not heard of it yet.
    package func deny(_ topic: String, _ isDenied: Bool = true) {
        let error = isDenied ? RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART : RD_KAFKA_RESP_ERR_NO_ERROR
        rd_kafka_mock_topic_set_error(cluster, topic, error)
    }

    package func down(_ broker: Int32) { rd_kafka_mock_broker_set_down(cluster, broker) }
    package func up(_ broker: Int32) { rd_kafka_mock_broker_set_up(cluster, broker) }
    package func roundTrip(_ broker: Int32, milliseconds: Int32) {
        rd_kafka_mock_broker_set_rtt(cluster, broker, milliseconds)
    }

    /// Lets the next requests of a kind fail; 0 is Produce, 8 OffsetCommit, 10 FindCoordinator.
    package func fail(_ request: Int16, _ errors: [rd_kafka_resp_err_t]) {
        rd_kafka_mock_push_request_errors_array(cluster, request, errors.count, errors)
    }

    /// Gives a group to another coordinator.
    package func coordinator(of group: String, _ broker: Int32) {
        rd_kafka_mock_coordinator_set(cluster, "group", group, broker)
    }
}
#endif
