/// Keys of log metadata.
package enum LogKeys {
    package static let queue = "mq.queue"
    package static let group = "mq.group"
    package static let consumer = "mq.consumer"
    package static let messageID = "mq.message.id"
    package static let attempt = "mq.attempt"
    package static let error = "mq.error"
    package static let reason = "mq.reason"
    package static let delay = "mq.delay"
    package static let count = "mq.count"
    package static let endpoint = "mq.endpoint"
}

/// Names of metrics and their dimensions.
///
/// The `messaging.*` names are those of the OpenTelemetry semantic conventions for messaging, v1.44.0 (status:
/// development); the `mq.*` names are ours, for what the conventions do not name. Message ids and keys are never
/// dimensions.
package enum MetricNames {
    package static let sent = "messaging.client.sent.messages"
    package static let consumed = "messaging.client.consumed.messages"
    package static let operationDuration = "messaging.client.operation.duration"
    package static let processDuration = "messaging.process.duration"
    package static let retried = "mq.message.retries"
    package static let dead = "mq.message.dead"
    package static let leasesLost = "mq.lease.lost"

    package static let system = "messaging.system"
    package static let operation = "messaging.operation.name"
    package static let destination = "messaging.destination.name"
    package static let group = "messaging.consumer.group.name"
    package static let errorType = "error.type"
}
