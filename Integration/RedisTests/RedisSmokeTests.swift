import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingRedis
import Testing

@Suite(.enabled(if: PrivateRedis.isInstalled, "redis-server is not installed; make test installs it"))
struct RedisSmokeTests {
    @Test func roundTrip() async throws {
        let server = try PrivateRedis()
        let queue = RedisQueue(try RedisConfiguration(url: server.url), logger: Logger(label: "test"))
        try await queue.declare(QueueDefinition("orders", groups: [GroupDefinition("g", lease: .seconds(1))]))
        print(try await queue.capabilities())
        for start in [0, 1] {
            let outcomes = try await queue.publish(
                (0..<250).map { Message(text: "m\($0)", id: MessageID("id\($0)"), headers: ["error": "x"]) },
                to: "orders"
            )
            #expect(outcomes.count == 250)
            print(start, outcomes[0], outcomes[249])
        }
        try server.cli("XADD", "orders", "*", "payload", "foreign")
        try server.cli("XADD", "orders", "*", "nonsense", "foreign")
        print(try await queue.statistics(of: "orders"))
        let consumer = try await queue.consume("orders", group: "g", consumer: "c1")
        var got: [Delivery] = []
        while got.count < 251 { got += try await consumer.receive(max: 100, wait: .seconds(2)) }
        print(try await queue.statistics(of: "orders"))
        _ = try await consumer.settle(got.dropFirst(3).map { SettleRequest($0.receipt, .acknowledge) })
        try await consumer.settle(got[0], .retry(after: .milliseconds(300), error: "boom"))
        try await consumer.settle(got[1], .reject(reason: .rejected, error: "bad"))
        let start = ContinuousClock.now
        let again = try await consumer.receive(max: 10, wait: .seconds(5))
        print(ContinuousClock.now - start, again)
        let third = try await consumer.receive(max: 10, wait: .seconds(5))
        print(ContinuousClock.now - start, third)
        print(try await queue.deadLetters(of: "orders", matching: .all, after: nil, limit: 10))
        print(try server.cli("XRANGE", "orders:dlq", "-", "+"))
        print(try await queue.redriveAll(of: "orders", matching: .init(reason: .rejected)))
        print(try await consumer.receive(max: 10, wait: .seconds(5)))
        let task = Task { try await consumer.receive(max: 10, wait: .seconds(50)) }
        try await Task.sleep(for: .milliseconds(50))
        let c = ContinuousClock.now
        task.cancel()
        print(await task.result, ContinuousClock.now - c)
        print(try await queue.statistics(of: "orders"))
        await consumer.close()
        print(try await queue.statistics(of: "orders"))
        await queue.close()
    }
}
