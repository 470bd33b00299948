import Foundation
import GRDB
import Messaging
import TestSupport
import Testing

@testable import MessagingSQLite

/// What goes wrong only when two things happen at once, or in an unlucky order.
@Suite("Races on a SQLite file", .timeLimit(.minutes(3)))
struct RaceTests {
    private static let orders = QueueDefinition("orders", groups: [GroupDefinition("billing")])

    private func consume(_ queue: SQLiteQueue, _ name: String = "a") async throws -> any QueueConsumer {
        try await queue.consume("orders", group: "billing", consumer: name, options: ConsumerOptions())
    }

    @Test("closing a consumer ends its own calls to receive at once")
    func closeEndsReceive() async throws {
        let file = try TemporaryFile()
        let clock = ManualClock()
        // On a clock that stands still nothing but the closing can wake it.
        let queue = file.makeQueue(clock: clock.queueClock) { $0.heartbeat = .seconds(3600) }
        try await queue.declare(Self.orders)
        let consumer = try await consume(queue)
        let received = Task { try await consumer.receive(max: 1, wait: .seconds(1000)) }
        await clock.waitForSleepers(1)
        await consumer.close()
        let error = await #expect(throws: QueueError.self) { try await received.value }
        #expect(error?.code == .closed)
        await queue.close()
    }

    @Test("who is woken and gives up wakes the next one: nothing waits beside a consumer that waits for it")
    func wakeIsPassedOn() async throws {
        let file = try TemporaryFile()
        let clock = ManualClock()
        let queue = file.makeQueue(clock: clock.queueClock) { $0.heartbeat = .seconds(3600) }
        try await queue.declare(Self.orders)
        let (impatient, patient) = (try await consume(queue, "a"), try await consume(queue, "b"))
        for round in 0..<200 {
            let first = Task { try await impatient.receive(max: 1, wait: .seconds(1000)) }
            await clock.waitForSleepers(1)
            let second = Task { try await patient.receive(max: 1, wait: .seconds(1000)) }
            await clock.waitForSleepers(2)
            // The first in line is woken, and cancelled in the same moment.
            async let published = queue.publish(Message(text: "\(round)"), to: "orders")
            if round.isMultiple(of: 2) { first.cancel() }
            _ = try await published
            first.cancel()
            if let delivery = try? await first.value.first {
                try await impatient.acknowledge(delivery)
                second.cancel()
                _ = try? await second.value
                continue
            }
            let delivery = try #require(try await second.value.first)
            try await patient.acknowledge(delivery)
        }
        await queue.close()
    }

    @Test("a call that asks once does not swallow what wakes others")
    func askingOnceWakesOthers() async throws {
        let file = try TemporaryFile()
        let clock = ManualClock()
        let queue = file.makeQueue(clock: clock.queueClock) { $0.heartbeat = .seconds(3600) }
        try await queue.declare(Self.orders)
        let (asking, waiting) = (try await consume(queue, "a"), try await consume(queue, "b"))
        for round in 0..<200 {
            // In the line before the one that waits.
            async let asked = asking.receive(max: 1, wait: .zero)
            let received = Task { try await waiting.receive(max: 1, wait: .seconds(1000)) }
            try await queue.publish(Message(text: "\(round)"), to: "orders")
            if let delivery = try await asked.first {
                try await asking.acknowledge(delivery)
                received.cancel()
                _ = try? await received.value
                continue
            }
            let delivery = try #require(try await received.value.first)
            try await waiting.acknowledge(delivery)
        }
        await queue.close()
    }

    @Test("a client that is closed while its consumers take leaves nothing leased")
    func closeWhileTaking() async throws {
        let file = try TemporaryFile()
        let other = file.makeQueue()
        try await other.declare(QueueDefinition("orders", groups: [GroupDefinition("billing", maxAttempts: 1000)]))
        _ = try await other.publish((0..<20).map { Message(text: "\($0)") }, to: "orders")
        for _ in 0..<40 {
            let queue = file.makeQueue()
            let consumers = [
                try await consume(queue, "a"), try await consume(queue, "b"), try await consume(queue, "c"),
            ]
            let takers = consumers.map { consumer in
                Task { while (try? await consumer.receive(max: 1, wait: .zero)) != nil {} }
            }
            try await Task.sleep(for: .microseconds(Int.random(in: 0...2000)))
            await queue.close()
            for taker in takers { await taker.value }
            let figures = try await other.statistics(of: "orders")["billing"]
            #expect(figures?.ready == .exact(20))
            #expect(figures?.inFlight == .exact(0))
        }
        await other.close()
    }

    @Test("a consumer that is dropped gives back what it held")
    func dropped() async throws {
        let file = try TemporaryFile()
        let queue = file.makeQueue()
        try await queue.declare(Self.orders)
        try await queue.publish(Message(text: "one"), to: "orders")
        do {
            let consumer = try await consume(queue)
            #expect(try await consumer.receive(max: 1, wait: .zero).count == 1)
        }
        let next = try await consume(queue, "b")
        #expect(try await next.receive(max: 1, wait: .seconds(5)).first?.attempt == 2)
        await queue.close()
    }

    @Test("a file that another program has locked fails all callers after one timeout, not after one for each")
    func lockedFile() async throws {
        let file = try TemporaryFile()
        // The timeout holds for opening and creating the file, too: another client makes it.
        let maker = file.makeQueue()
        try await maker.declare(Self.orders)
        await maker.close()
        let queue = file.makeQueue { $0.timeout = .seconds(2) }
        try await queue.declare(Self.orders)
        let other = try file.makeConnection()
        try await other.writeWithoutTransaction { try $0.execute(sql: "BEGIN IMMEDIATE") }
        let begin = ContinuousClock.now
        let codes = await withTaskGroup(of: QueueError.Code?.self) { group in
            for number in 0..<30 {
                group.addTask {
                    do throws(QueueError) {
                        _ = try await queue.publish([Message(text: "\(number)")], to: "orders")
                        return nil
                    } catch { return error.code }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        // Two transactions, the second for who came during the first; one for each would be 60 s.
        #expect(ContinuousClock.now - begin < .seconds(20))
        #expect(codes == Array(repeating: .unavailable, count: 30))
        try await other.writeWithoutTransaction { try $0.execute(sql: "ROLLBACK") }
        try await queue.publish(Message(text: "free"), to: "orders")
        await queue.close()
    }
}
