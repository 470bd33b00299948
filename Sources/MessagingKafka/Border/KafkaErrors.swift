#if Kafka
import Messaging

/// Turns what librdkafka and the broker say into this library's errors.
enum KafkaErrors {
    /// Whether a topic or a partition of it is not there.
    static func isMissing(_ failure: KafkaFailure?) -> Bool {
        ["UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"].contains(failure?.name)
    }

    static func error(_ failure: KafkaFailure, queue: String? = nil, doing what: String? = nil) -> QueueError {
        let subject = what.map { "\($0): " } ?? ""
        func make(_ code: QueueError.Code, _ advice: String = "") -> QueueError {
            QueueError(code, subject + failure.description + advice, queue: queue, underlying: failure)
        }
        switch failure.name {
        case "_CLOSED": return QueueError(.closed, "the client was closed", queue: queue, isRetryable: false)
        case "_TIMED_OUT", "_TRANSPORT", "_ALL_BROKERS_DOWN", "_RESOLVE", "_MSG_TIMED_OUT", "REQUEST_TIMED_OUT",
            "_WAIT_COORD", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR", "COORDINATOR_LOAD_IN_PROGRESS",
            "LEADER_NOT_AVAILABLE", "NOT_LEADER_FOR_PARTITION", "BROKER_NOT_AVAILABLE", "NETWORK_EXCEPTION",
            "_TIMED_OUT_QUEUE", "NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "_QUEUE_FULL", "_DESTROY",
            "_PURGE_QUEUE", "_LEADER_NOT_AVAILABLE", "NOT_CONTROLLER", "REBALANCE_IN_PROGRESS", "_NO_OFFSET",
            "THROTTLING_QUOTA_EXCEEDED", "STORAGE_ERROR", "KAFKA_STORAGE_ERROR":
            return make(.unavailable)
        case "_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE",
            "_SSL":
            return make(.authentication, "; check the user, password and certificates")
        case "TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED":
            return make(.permissionDenied, "; ask for the right in the broker's access lists")
        case "UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION":
            return make(.topologyLost, "; the topic was deleted while it was in use")
        case "MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE":
            return make(.tooLarge, "; raise max.message.bytes of the topic and max_body of the URL")
        case "_INVALID_ARG": return make(.invalidArgument)
        case "_MSG_TIMED_OUT_POSSIBLY", "_PURGE_INFLIGHT": return make(.indeterminate)
        default: return make(.brokerError)
        }
    }
}
#endif
