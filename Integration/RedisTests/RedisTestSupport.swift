import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingRedis
import TestSupport
import Testing

extension PrivateRedis {
    /// A client of this server that reports nothing.
    func makeQueue(
        user: String = "",
        _ change: (inout RedisConfiguration) -> Void = { _ in }
    ) throws -> RedisQueue {
        var configuration = try RedisConfiguration(url: "redis://\(user)127.0.0.1:\(port)")
        change(&configuration)
        return RedisQueue(configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }
}

/// A queue with one group of short leases.
func definition(
    _ name: String = "orders",
    lease: Duration = .milliseconds(500),
    maxAttempts: Int = 10,
    dedupe: Duration = .seconds(3600),
    retention: Duration = .zero
) -> QueueDefinition {
    QueueDefinition(
        name,
        groups: [GroupDefinition("g", lease: lease, maxAttempts: maxAttempts)],
        dedupeWindow: dedupe,
        retention: retention
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
        for start in stride(from: 0, to: deliveries.count, by: 500) {
            let page = deliveries[start..<min(start + 500, deliveries.count)]
            for outcome in try await settle(page.map { SettleRequest($0.receipt, .acknowledge) }) {
                if let error = outcome.error { throw error }
            }
        }
    }
}
