import BrokerSupport
import Foundation
import Messaging
import MessagingRabbitMQ
import TestSupport
import Testing

/// Brokers that stop, hang and refuse; each test has one of its own.
@Suite(
    "RabbitMQ fails",
    .enabled(if: PrivateRabbitMQ.isInstalled, "rabbitmq-server is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(5))
)
struct RabbitMQFaultTests {
    @Test("what was confirmed is there after the broker was killed, and clients go on", arguments: [true, false])
    func restarts(isCrash: Bool) async throws {
        let server = try PrivateRabbitMQ()
        let queue = try makeQueue(server.url) {
            $0.commandTimeout = .seconds(4)
            $0.connectTimeout = .seconds(2)
        }
        let definition = definition()
        try await queue.declare(definition)
        try server.writeDownQueues()
        let consumer = try await queue.consume(definition.name, group: "g", consumer: "c")
        var confirmed = Set<MessageID>()
        for _ in 0..<10 {
            let messages = (0..<50).map { Message(text: "\($0)") }
            for (message, outcome) in zip(messages, try await queue.publish(messages, to: definition.name))
            where outcome.isConfirmed { confirmed.insert(message.id) }
        }
        let held = try await consumer.take(10)
        #expect(held.count == 10)
        if isCrash { server.crash() } else { server.stop() }
        let start = ContinuousClock.now
        do {
            let outcomes = try await queue.publish([Message(text: "meanwhile")], to: definition.name)
            #expect(outcomes.first?.isConfirmed == false)
        } catch {
            #expect(error.isRetryable, "\(error)")
        }
        let failure = await #expect(throws: QueueError.self) {
            _ = try await consumer.receive(max: 1, wait: .seconds(1))
            _ = try await consumer.receive(max: 1, wait: .seconds(1))
        }
        #expect(failure?.code == .unavailable)
        #expect(ContinuousClock.now - start < .seconds(15))
        try server.start()
        // Who held something when the connection broke has lost it.
        let late = try await consumer.settle(held.map { SettleRequest($0.receipt, .acknowledge) })
        #expect(late.allSatisfy { $0.error?.code == .leaseLost })
        let deadline = ContinuousClock.now + .seconds(40)
        while !confirmed.isEmpty, ContinuousClock.now < deadline {
            do {
                let taken = try await consumer.receive(max: 100, wait: .seconds(2))
                for delivery in taken { confirmed.remove(delivery.message.id) }
                try await consumer.acknowledge(all: taken)
            } catch let error as QueueError where error.isRetryable {}
        }
        #expect(confirmed.isEmpty, "\(confirmed.count) confirmed messages are gone")
        try await queue.publish(Message(text: "after"), to: definition.name)
        await queue.close()
    }

    @Test func aBrokerThatHangsHoldsNobodyUp() async throws {
        let server = try PrivateRabbitMQ()
        let queue = try makeQueue(server.url) {
            $0.commandTimeout = .seconds(2)
            $0.connectTimeout = .seconds(2)
            $0.heartbeat = .seconds(2)
        }
        let definition = definition()
        // A node that has just started may need longer for this than the client of this test waits.
        let patient = try makeQueue(server.url)
        try await patient.declare(definition)
        await patient.close()
        try await queue.publish(Message(text: "before"), to: definition.name)
        let consumer = try await queue.consume(definition.name, group: "g", consumer: "c")
        let held = try #require(try await consumer.take(1).first)
        server.signal(SIGSTOP)
        let start = ContinuousClock.now
        // More than the buffers of the system take: librabbitmq would wait in its write for ever.
        let large = (0..<20).map { _ in Message(body: [UInt8](repeating: 1, count: 1 << 20)) }
        do {
            let outcomes = try await queue.publish(large, to: definition.name)
            #expect(outcomes.allSatisfy { !$0.isConfirmed })
            #expect(outcomes.contains { if case .indeterminate = $0 { true } else { false } })
        } catch {
            #expect(error.isRetryable, "\(error)")
        }
        #expect(ContinuousClock.now - start < .seconds(10), "publishing took \(ContinuousClock.now - start)")
        let asked = ContinuousClock.now
        let error = await #expect(throws: QueueError.self) { try await queue.statistics(of: definition.name) }
        #expect(error?.code == .unavailable && ContinuousClock.now - asked < .seconds(10))
        server.signal(SIGCONT)
        _ = held
        #expect(
            try await eventually(within: .seconds(30)) {
                (try? await queue.publish([Message(text: "after")], to: definition.name).first?.isConfirmed) == true
            }
        )
        await queue.close()
    }

    @Test func anAlarmIsToldAndConsumersGoOn() async throws {
        let server = try PrivateRabbitMQ()
        let queue = try makeQueue(server.url) { $0.commandTimeout = .seconds(4) }
        let definition = definition()
        try await queue.declare(definition)
        #expect(
            try await queue.publish([Message(text: "1"), Message(text: "2")], to: definition.name).allSatisfy(
                \.isConfirmed
            )
        )
        let consumer = try await queue.consume(definition.name, group: "g", consumer: "c")
        let first = try #require(try await consumer.take(1).first)
        try server.ctl(["set_vm_memory_high_watermark", "absolute", "1"])
        #expect(
            try await eventually(within: .seconds(20)) {
                do throws(QueueError) {
                    let outcome = try await queue.publish([Message(text: "no")], to: definition.name).first
                    return outcome?.error?.isRetryable == true
                } catch {
                    return error.isRetryable
                }
            }
        )
        // Consumers have connections that publish nothing, so the alarm does not stop them.
        try await consumer.acknowledge(first)
        let second = try #require(try await consumer.take(1).first)
        try await consumer.acknowledge(second)
        try server.ctl(["set_vm_memory_high_watermark", "0.6"])
        #expect(
            try await eventually(within: .seconds(30)) {
                (try? await queue.publish([Message(text: "yes")], to: definition.name).first?.isConfirmed) == true
            }
        )
        await queue.close()
    }
}
