import CRdKafka
import Foundation
import KafkaMock
import Logging
import Messaging
import MessagingConformance
import Testing

@testable import MessagingKafka

/// librdkafka's threads would count as the processor time of other tests in the same process.
private let isWanted = ProcessInfo.processInfo.environment["MQ_TEST_KAFKA"] != nil

@Suite(
    "Kafka keeps the contract on librdkafka's mock cluster",
    .enabled(if: isWanted, "make test and make test-kafka run it, in a process of its own"),
    .timeLimit(.minutes(3))
)
struct MockContractTests {
    /// What needs neither another clock nor requests of administrators, one of each kind; all of them run against a
    /// server in Integration/KafkaTests.
    static let cases = Conformance.all.filter { law in
        [
            "rt.partialBatch", "settle.retry", "settle.atMostOnce", "lease.fence", "order.keyRetry", "life.giveBack",
            "transfer.survey", "transfer.pages", "transfer.reserve", "transfer.restore", "transfer.intake",
        ].contains(law.id)
    }

    @Test(arguments: cases)
    func keeps(_ law: ConformanceCase) async throws {
        try await law.run(on: MockHarness(cluster: try MockCluster()))
    }
}

@Suite(
    "Kafka's faults on librdkafka's mock cluster",
    .enabled(if: isWanted, "make test and make test-kafka run it, in a process of its own"),
    .timeLimit(.minutes(3))
)
struct MockFaultTests {
    private static let definition = QueueDefinition("orders", groups: [GroupDefinition("g")])

    private func take(_ count: Int, from consumer: any QueueConsumer) async throws -> [Delivery] {
        var taken: [Delivery] = []
        let deadline = ContinuousClock.now + .seconds(40)
        while taken.count < count, ContinuousClock.now < deadline {
            let answer: Result<[Delivery], QueueError>
            do throws(QueueError) {
                answer = .success(try await consumer.receive(max: count - taken.count, wait: .seconds(1)))
            } catch {
                answer = .failure(error)
            }
            switch answer {
            case .success(let deliveries): taken += deliveries
            // While brokers are away, and until the client has found them again, receive says so.
            case .failure(let error) where error.code == .unavailable: continue
            case .failure(let error): throw error
            }
        }
        return taken
    }

    @Test("a lone publish waits for the broker and not for a tick of a clock")
    func lonePublish() async throws {
        let queue = try MockCluster().client()
        try await queue.declare(Self.definition)
        try await queue.publish(Message(text: "warm"), to: "orders")
        var times: [Duration] = []
        for index in 0..<30 {
            let start = ContinuousClock.now
            try await queue.publish(Message(text: "\(index)"), to: "orders")
            times.append(ContinuousClock.now - start)
        }
        // A few milliseconds on a machine that is free; the bound leaves room for one that is not.
        #expect(times.sorted()[times.count / 2] < .milliseconds(80), "\(times)")
        await queue.close()
    }

    @Test("brokers that go down and come back cost time and no message")
    func brokersDown() async throws {
        let cluster = try MockCluster()
        let queue = cluster.client()
        try await queue.declare(Self.definition)
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        try await queue.publish(Message(text: "first"), to: "orders")
        for broker in 1...3 as ClosedRange<Int32> { cluster.down(broker) }
        async let published = queue.publish((0..<20).map { Message(text: "\($0)", key: "\($0)") }, to: "orders")
        try await Task.sleep(for: .milliseconds(500))
        for broker in 1...3 as ClosedRange<Int32> { cluster.up(broker) }
        for outcome in try await published {
            guard case .accepted = outcome else {
                Issue.record("\(outcome)")
                continue
            }
        }
        let taken = try await take(21, from: consumer)
        #expect(Set(taken.compactMap(\.message.text)) == Set(["first"] + (0..<20).map { "\($0)" }))
        await queue.close()
    }

    @Test("a broker that is lost for good: when others lead its partitions, all goes on")
    func failover() async throws {
        let cluster = try MockCluster()
        let queue = cluster.client { $0.timeout = .seconds(2) }
        cluster.create(Self.definition, partitions: 2)
        cluster.lead(Self.definition, partitions: 2, by: 1)
        cluster.coordinator(of: KafkaNames.group("orders", "g"), 3)
        try await queue.declare(Self.definition)
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        _ = try await queue.publish((0..<10).map { Message(text: "\($0)", key: "\($0)") }, to: "orders")
        let first = try await take(10, from: consumer)
        for delivery in first { try await consumer.acknowledge(delivery) }
        #expect(try await queue.statistics(of: "orders").arrived.value == 10)
        cluster.down(1)
        // So long the others do not know that it is gone, and name it still.
        let missed = await #expect(throws: QueueError.self) { try await queue.statistics(of: "orders") }
        #expect(missed?.code == .unavailable)
        cluster.lead(Self.definition, partitions: 2, by: 2)
        let start = ContinuousClock.now
        while true {
            do throws(QueueError) {
                #expect(try await queue.statistics(of: "orders").arrived.value == 10)
                break
            } catch {
                #expect(error.code == .unavailable)
                try #require(ContinuousClock.now - start < .seconds(20), "nobody asks the new leader: \(error)")
            }
        }
        let more = (0..<10).map { Message(text: "after \($0)", key: "\($0)") }
        let outcomes = try await queue.publish(more, to: "orders")
        #expect(outcomes.allSatisfy { $0.isConfirmed })
        let taken = try await take(10, from: consumer)
        #expect(Set(taken.compactMap(\.message.text)) == Set((0..<10).map { "after \($0)" }))
        for delivery in taken { try await consumer.acknowledge(delivery) }
        await queue.close()
    }

    @Test("a member that joined before its broker had heard of a topic gets its messages all the same")
    func unheard() async throws {
        let cluster = try MockCluster()
        let queue = cluster.client()
        try await queue.declare(Self.definition)
        let entry = try #require(try await queue.kafka.registry.current()["orders"])
        let (broker, configuration) = (queue.kafka.broker, queue.kafka.configuration)
        // What the client has asked before it joins; the member's own connection asks another broker, which is late.
        let roles = GroupMember.roles("orders", "g")
        let partitions = try await broker.ask("asking") { (client, timeout) throws(KafkaFailure) in
            try client.partitions(of: roles.keys + [KafkaNames.reservations("orders")], within: timeout)
        }
        cluster.deny("orders")
        var settings = MemberState.Settings(
            queue: "orders",
            group: "g",
            made: entry.made,
            lease: .seconds(30),
            maxAttempts: 5,
            roles: roles
        )
        settings.trust = configuration.sessionTimeout / 2
        let member = try GroupMember(
            settings: settings,
            options: configuration.memberSettings(group: KafkaNames.group("orders", "g")),
            floors: [:],
            partitions: partitions,
            publisher: broker.publisher,
            log: KafkaLog(logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }),
            cleanInterval: .seconds(60),
            pollTimeout: .seconds(60),
            clean: { true },
            registry: queue.kafka.registry,
            verify: { nil }
        )
        try await member.joined(within: .seconds(20))
        cluster.deny("orders", false)
        try await queue.publish(Message(text: "x"), to: "orders")
        member.add(1, name: "c")
        let taken = try await member.receive(1, max: 1, wait: .seconds(30))
        #expect(taken.map(\.message.text) == ["x"])
        await member.stop()
        await queue.close()
    }

    @Test("a broker that never answers makes publish fail in time, saying so")
    func unreachable() async throws {
        let cluster = try MockCluster()
        let queue = cluster.client {
            $0.publishTimeout = .seconds(2)
            $0.timeout = .seconds(2)
        }
        try await queue.declare(Self.definition)
        for broker in 1...3 as ClosedRange<Int32> { cluster.down(broker) }
        let start = ContinuousClock.now
        let error = await #expect(throws: QueueError.self) {
            _ = try await queue.publish(Message(text: "x"), to: "orders")
        }
        #expect(error?.code == .unavailable || error?.code == .indeterminate)
        #expect(ContinuousClock.now - start < .seconds(20))
        let other = await #expect(throws: QueueError.self) { try await queue.statistics(of: "orders") }
        #expect(other?.code == .unavailable)
        await queue.close()
    }

    @Test("errors of the broker that pass are tried again, and nothing comes twice")
    func passingErrors() async throws {
        let cluster = try MockCluster()
        let queue = cluster.client()
        try await queue.declare(Self.definition)
        cluster.fail(
            0,
            [
                RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
                RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            ]
        )
        let outcomes = try await queue.publish((0..<50).map { Message(text: "\($0)", key: "\($0)") }, to: "orders")
        #expect(outcomes.allSatisfy { $0.isConfirmed })
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        let taken = try await take(50, from: consumer)
        #expect(Set(taken.map(\.message.id)).count == 50)
        let more = try await consumer.receive(max: 10, wait: .milliseconds(500))
        #expect(more.isEmpty)
        await queue.close()
    }

    @Test("a producer that fails for good is replaced, and what it had is written by the next one")
    func fatalError() async throws {
        let cluster = try MockCluster(brokers: 1)
        let queue = cluster.client()
        try await queue.declare(Self.definition)
        try await queue.publish(Message(text: "before"), to: "orders")
        // A gap in the sequence that librdkafka cannot explain ends its producer.
        cluster.fail(0, [RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER])
        let outcomes = try await queue.publish((0..<20).map { Message(text: "\($0)") }, to: "orders")
        #expect(outcomes.allSatisfy { $0.isConfirmed }, "\(outcomes)")
        try await queue.publish(Message(text: "after"), to: "orders")
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        let taken = try await take(22, from: consumer)
        #expect(Set(taken.compactMap(\.message.text)) == Set(["before", "after"] + (0..<20).map { "\($0)" }))
        await queue.close()
    }

    @Test("a group whose coordinator moves goes on, and what was settled does not come again")
    func coordinatorMoves() async throws {
        let cluster = try MockCluster()
        let queue = cluster.client()
        try await queue.declare(Self.definition)
        let group = KafkaNames.group("orders", "g")
        cluster.coordinator(of: group, 1)
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        _ = try await queue.publish((0..<10).map { Message(text: "\($0)") }, to: "orders")
        for delivery in try await take(5, from: consumer) { try await consumer.acknowledge(delivery) }
        cluster.coordinator(of: group, 2)
        cluster.fail(8, [RD_KAFKA_RESP_ERR_NOT_COORDINATOR, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS])
        for delivery in try await take(5, from: consumer) { try await consumer.acknowledge(delivery) }
        await consumer.close()
        let next = try await queue.consume("orders", group: "g", consumer: "next")
        try await queue.publish(Message(text: "last"), to: "orders")
        let taken = try await take(1, from: next)
        #expect(taken.map(\.message.text) == ["last"])
        await queue.close()
    }

    @Test("the finished set outlives the member: only what was not settled comes to the next one")
    func finishedSet() async throws {
        let cluster = try MockCluster()
        let queue = cluster.client { $0.partitions = 1 }
        try await queue.declare(Self.definition)
        _ = try await queue.publish((0..<9).map { Message(text: "\($0)") }, to: "orders")
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        for delivery in try await take(9, from: consumer) where delivery.message.text != "4" {
            try await consumer.acknowledge(delivery)
        }
        await queue.close()
        let other = cluster.client { $0.partitions = 1 }
        let next = try await other.consume("orders", group: "g", consumer: "next")
        let taken = try await take(1, from: next)
        #expect(taken.map(\.message.text) == ["4"] && taken.map(\.attempt) == [2])
        let more = try await next.receive(max: 10, wait: .milliseconds(500))
        #expect(more.isEmpty)
        await other.close()
    }

    @Test("brokers that are far away make calls slow and nothing else")
    func farAway() async throws {
        let cluster = try MockCluster()
        let queue = cluster.client()
        try await queue.declare(Self.definition)
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        for broker in 1...3 as ClosedRange<Int32> { cluster.roundTrip(broker, milliseconds: 300) }
        let start = ContinuousClock.now
        let outcomes = try await queue.publish((0..<20).map { Message(text: "\($0)", key: "\($0)") }, to: "orders")
        #expect(outcomes.allSatisfy { $0.isConfirmed })
        #expect(ContinuousClock.now - start >= .milliseconds(250), "the brokers are not far away")
        let taken = try await take(20, from: consumer)
        #expect(Set(taken.map(\.message.id)).count == 20)
        for delivery in taken { try await consumer.acknowledge(delivery) }
        await queue.close()
    }

    @Test("a record for a partition that is not there is refused, headers and all")
    func noSuchPartition() async throws {
        let cluster = try MockCluster(brokers: 1)
        let queue = cluster.client()
        try await queue.declare(Self.definition)
        try await queue.publish(Message(text: "warm"), to: "orders")
        let payload = KafkaPayload(key: nil, value: [1], id: "x", headers: [KafkaHeader(name: "a", value: [2])])
        let place = TopicPartition(topic: "orders", partition: 99)
        let orders = Array(repeating: KafkaPublisher.Order(place: place, payload: payload), count: 50)
        let reports = try await queue.kafka.broker.publisher.write(orders)
        #expect(reports.allSatisfy { $0.failure?.name == "_UNKNOWN_PARTITION" }, "\(reports.first as Any)")
        #expect(try await queue.publish(Message(text: "after"), to: "orders").isConfirmed)
        await queue.close()
    }

    @Test("what this backend cannot do is refused without asking the broker")
    func unsupported() async throws {
        let cluster = try MockCluster()
        let queue = cluster.client()
        for broker in 1...3 as ClosedRange<Int32> { cluster.down(broker) }
        let errors = [
            await #expect(throws: QueueError.self) {
                try await queue.declare(QueueDefinition("full", maxReady: 5))
            },
            await #expect(throws: QueueError.self) { try await queue.scheduled(of: "orders", after: nil, limit: 1) },
            await #expect(throws: QueueError.self) { try await queue.cancelScheduled([], of: "orders") },
        ]
        #expect(errors.map { $0?.code } == [.unsupported, .unsupported, .unsupported])
        await queue.close()
    }
}
