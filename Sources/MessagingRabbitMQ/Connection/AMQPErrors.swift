#if RabbitMQ
import Messaging

/// What the broker's and librabbitmq's errors mean to the caller.
enum AMQPErrors {
    /// What librabbitmq says of a call that failed.
    struct Fault: Sendable, Equatable {
        enum Kind: Sendable, Equatable {
            case hostUnknown, tls, other
        }

        var kind: Kind
        var text: String
    }

    /// The error for a connection that could not be made.
    static func connect(_ fault: Fault, _ endpoint: String) -> QueueError {
        switch fault.kind {
        case .hostUnknown:
            QueueError(.unavailable, "the host of \(endpoint) cannot be found; check the URL and the name service")
        case .tls:
            // Another attempt meets the same certificate.
            QueueError(
                .unavailable,
                "TLS with \(endpoint) failed (\(fault.text)); check the certificate's name, tls_ca and that the port is "
                    + "a TLS one",
                isRetryable: false
            )
        case .other: QueueError(.unavailable, "no connection to RabbitMQ at \(endpoint): \(fault.text)")
        }
    }

    /// The error for a login that ended without an answer.
    static func login(_ fault: Fault, _ endpoint: String) -> QueueError {
        QueueError(
            .unavailable,
            "RabbitMQ at \(endpoint) did not let us in: \(fault.text); check that the port speaks AMQP 0-9-1"
        )
    }

    /// The error for a connection that broke.
    static func broken(_ fault: Fault, isCutOff: Bool, _ endpoint: String) -> QueueError {
        let why = isCutOff ? "the broker did not read for too long" : fault.text
        return QueueError(.unavailable, "the connection to RabbitMQ at \(endpoint) broke: \(why)")
    }

    /// The error for a connection that the broker closed.
    static func closed(_ code: Int, _ text: String, _ endpoint: String) -> QueueError {
        switch code {
        case 403:
            QueueError(
                .authentication,
                "RabbitMQ at \(endpoint) refused the user name or password; check the credentials in the URL"
            )
        case 530:
            QueueError(
                .permissionDenied,
                "RabbitMQ at \(endpoint) refused the virtual host: \(shown(text)); create it, or grant access to it"
            )
        case 320, 541:
            QueueError(.unavailable, "RabbitMQ at \(endpoint) closed the connection: \(shown(text))")
        default: QueueError(.brokerError, "RabbitMQ at \(endpoint) closed the connection: \(code) \(shown(text))")
        }
    }

    /// The error for a channel that the broker closed.
    static func channel(_ code: Int, _ text: String, queue: String?) -> QueueError {
        switch code {
        case 403:
            QueueError(
                .permissionDenied,
                "RabbitMQ answered: \(shown(text)); grant the user this right",
                queue: queue
            )
        case 404:
            QueueError(
                .topologyLost,
                "what the queue is made of is missing on the broker: \(shown(text)); declare it again",
                queue: queue
            )
        case 405, 311: QueueError(.unavailable, "RabbitMQ answered: \(shown(text))", queue: queue)
        case 406 where text.contains("timeout") || text.contains("timed out"):
            QueueError(
                .unavailable,
                "the broker took deliveries back that were held longer than its consumer_timeout",
                queue: queue
            )
        case 406:
            QueueError(
                .topologyConflict,
                "something of that name exists on the broker with other settings: \(shown(text)); use another name, or "
                    + "remove it",
                queue: queue
            )
        default: QueueError(.brokerError, "RabbitMQ answered: \(code) \(shown(text))", queue: queue)
        }
    }

    /// The error while an alarm of the broker blocks publishers.
    static func blocked(_ reason: String, queue: String? = nil) -> QueueError {
        QueueError(
            .unavailable,
            "RabbitMQ takes no messages at the moment (\(shown(reason))); let consumers catch up, or give it more memory or disk",
            queue: queue
        )
    }

    private static func shown(_ text: String) -> String { String(text.prefix(300)) }
}

extension QueueError {
    /// The error, naming the queue it happened to.
    func about(_ queue: String?) -> QueueError {
        QueueError(code, message, queue: self.queue ?? queue, isRetryable: isRetryable, underlying: underlying)
    }
}
#endif
