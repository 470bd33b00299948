import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingConformance
import MessagingRabbitMQ
import Synchronization
import TestSupport

/// The broker that most tests share: that of `Integration/with-brokers`, or one of this process.
enum SharedRabbitMQ {
    private static let own = Mutex<PrivateRabbitMQ?>(nil)

    static func url() throws -> String {
        if let url = ProcessInfo.processInfo.environment["MQ_TEST_RABBITMQ_URL"] { return url }
        return try own.withLock { own in
            let server = try own ?? PrivateRabbitMQ()
            if own == nil {
                own = server
                // A value that lives as long as the process is never deinitialized.
                atexit { SharedRabbitMQ.end() }
            }
            return server.url
        }
    }

    private static func end() { own.withLock { $0 = nil } }
}

/// A client that reports nothing.
func makeQueue(
    _ url: String,
    _ change: (inout RabbitMQConfiguration) -> Void = { _ in }
) throws -> RabbitMQQueue {
    var configuration = try RabbitMQConfiguration(url: url)
    change(&configuration)
    return RabbitMQQueue(configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
}

/// A queue with one group of a name that nothing else has.
func definition(
    _ prefix: String = "orders",
    lease: Duration = .seconds(30),
    maxAttempts: Int = 10
) -> QueueDefinition {
    QueueDefinition(
        "\(prefix)-\(MessageID.make())",
        groups: [GroupDefinition("g", lease: lease, maxAttempts: maxAttempts)]
    )
}

extension QueueConsumer {
    /// Receives until so many deliveries have come or the time is over.
    func take(_ count: Int, within limit: Duration = .seconds(20)) async throws -> [Delivery] {
        var taken: [Delivery] = []
        let deadline = ContinuousClock.now + limit
        while taken.count < count, ContinuousClock.now < deadline {
            taken += try await receive(max: min(1000, count - taken.count), wait: .milliseconds(500))
        }
        return taken
    }

    func acknowledge(all deliveries: [Delivery]) async throws {
        for outcome in try await settle(deliveries.map { SettleRequest($0.receipt, .acknowledge) }) {
            if let error = outcome.error { throw error }
        }
    }
}
