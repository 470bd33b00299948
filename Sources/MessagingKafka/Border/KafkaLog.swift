#if Kafka
import Logging
import Messaging

/// Carries librdkafka's log and errors to swift-log.
struct KafkaLog: Sendable {
    let logger: Logger

    /// A line of librdkafka's own log, at its own level.
    func line(_ line: KafkaLogLine) {
        logger.log(level: Self.level(line.level), "\(line.text)", metadata: ["mq.kafka.facility": "\(line.facility)"])
    }

    /// What librdkafka tells as an error is passing, unless it is fatal: it goes on trying by itself.
    func failure(_ failure: KafkaFailure) {
        logger.log(
            level: failure.isFatal ? .error : .info,
            "the connection to Kafka has a problem",
            metadata: [LogKeys.error: "\(failure)"]
        )
    }

    /// What syslog's levels are called here; what librdkafka warns of (a broker that is down) it repairs by itself.
    static func level(_ syslog: Int) -> Logger.Level {
        switch syslog {
        case ...2: .critical
        case 3: .warning
        case 4: .info
        case 5, 6: .debug
        default: .trace
        }
    }
}
#endif
