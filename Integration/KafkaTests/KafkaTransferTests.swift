import BrokerSupport
import Foundation
import Messaging
import Synchronization
import TestSupport
import Testing

@testable import MessagingKafka

/// Reserving while others consume, promote and send the same messages again, by several clients of one server.
@Suite(
    "Kafka hands over what it holds",
    .enabled(if: PrivateKafka.isInstalled, "\(PrivateKafka.unwanted)"),
    .serialized,
    .timeLimit(.minutes(10))
)
struct KafkaTransferTests {
    private static let name = "orders"

    /// A queue with its groups, and the server it is on.
    private final class Place: Sendable {
        let server: PrivateKafka
        let clients = Mutex<[KafkaQueue]>([])

        init(groups: [String]) async throws {
            server = try PrivateKafka()
            let definition = QueueDefinition(name, groups: groups.map { GroupDefinition($0, lease: .seconds(30)) })
            try await client().declare(definition)
        }

        deinit { server.stop() }

        func client() throws -> KafkaQueue {
            let queue = KafkaQueue(try KafkaConfiguration(url: server.url), logger: silent)
            clients.withLock { $0.append(queue) }
            return queue
        }

        func close() async { for client in clients.withLock({ $0 }) { await client.close() } }
    }

    private func publish(_ messages: [Message], _ queue: KafkaQueue) async throws {
        for outcome in try await queue.publish(messages, to: Self.name) { if let error = outcome.error { throw error } }
    }

    private func all(_ state: StoredMessage.State, _ group: String?, _ queue: KafkaQueue) async throws
        -> [StoredMessage]
    {
        var found: [StoredMessage] = []
        var cursor: String?
        repeat {
            let page = try await queue.stored(in: Self.name, state: state, group: group, after: cursor, limit: 100)
            found += page.elements
            cursor = page.next
        } while cursor != nil
        return found
    }

    @Test("schedules that become due while they are reserved go one way or the other, never both and never none")
    func racesWithTime() async throws {
        let place = try await Place(groups: ["a", "b"])
        let (publisher, mover) = (try place.client(), try place.client())
        let count = 300
        // From before the mover can look until well after it has begun.
        let messages = (0..<count).map { index in
            Message(text: "\(index)", due: .after(.milliseconds(500 + index * 15)))
        }
        let handled = Handled()
        var consumers: [any QueueConsumer] = []
        for group in ["a", "b"] {
            consumers.append(try await place.client().consume(Self.name, group: group, consumer: "c"))
        }
        try await publish(messages, publisher)
        let isOver = Handled()
        var taken: Set<String> = []
        try await withThrowingTaskGroup { group in
            for consumer in consumers {
                group.addTask {
                    while isOver.count == 0 {
                        for delivery in try await consumer.receive(max: 50, wait: .milliseconds(200)) {
                            handled.add("\(delivery.group) \(delivery.message.id)")
                            try await consumer.acknowledge(delivery)
                        }
                    }
                }
            }
            // From the front, where what is due next is, and from the back.
            for round in 0..<12 {
                let listed = try await all(.scheduled, nil, mover)
                let ids = (round % 2 == 0 ? listed.prefix(15) : listed.suffix(15)).map(\.id)
                if ids.isEmpty { break }
                let reserved = try await mover.reserve(ids, of: Self.name)
                let names = Dictionary(listed.map { ($0.id, $0.message.id.rawValue) }) { first, _ in first }
                let removed = try await mover.removeReserved(reserved, of: Self.name)
                #expect(Set(removed) == Set(reserved))
                taken.formUnion(removed.compactMap { names[$0] })
            }
            // What one group had got before it was asked for waits for the other; that is handled as well.
            let isDone = try await eventually(within: .seconds(60)) {
                handled.counts.count >= (count - taken.count) * 2
            }
            #expect(isDone, "\(handled.counts.count) handled, \(taken.count) taken")
            isOver.add("now")
            try await group.waitForAll()
        }
        #expect(taken.count >= 30, "the mover came too late to race")
        #expect(handled.counts.values.allSatisfy { $0 == 1 })
        let expected = messages.map(\.id.rawValue).filter { !taken.contains($0) }
        #expect(Set(handled.counts.keys) == Set(expected.flatMap { ["a \($0)", "b \($0)"] }))
        let left = try await all(.scheduled, nil, mover).count + all(.reserved, nil, mover).count
        #expect(left == 0)
        await place.close()
        print("kafka: \(taken.count) of \(count) schedules reserved while they became due")
    }

    @Test("a reservation outlives the client that made it, and holds where nobody consumes")
    func outlives() async throws {
        let place = try await Place(groups: ["a", "b"])
        let first = try place.client()
        try await publish((0..<5).map { Message(text: "\($0)", due: .after(.seconds(8))) }, first)
        let ids = try await all(.scheduled, nil, first).map(\.id)
        let reserved = try await first.reserve(ids, of: Self.name)
        #expect(Set(reserved) == Set(ids) && ids.count == 5)
        await first.close()
        let second = try place.client()
        let consumer = try await second.consume(Self.name, group: "a", consumer: "c")
        #expect(Set(try await all(.reserved, nil, second).map(\.id)) == Set(ids))
        #expect(try await all(.scheduled, nil, second).isEmpty)
        let early = try await consumer.receive(max: 10, wait: .seconds(9))
        #expect(early.isEmpty)
        let removed = try await second.removeReserved(Array(ids.prefix(2)), of: Self.name)
        let back = try await second.putBack(ids, of: Self.name)
        #expect(removed.count == 2 && Set(back) == Set(ids.dropFirst(2)))
        var came: Set<String> = []
        let deadline = ContinuousClock.now + .seconds(20)
        while came.count < 3, ContinuousClock.now < deadline {
            for delivery in try await consumer.receive(max: 10, wait: .seconds(1)) {
                came.insert(delivery.message.id.rawValue)
                try await consumer.acknowledge(delivery)
            }
        }
        #expect(came.count == 3)
        // The other group has nobody, and is owed the same: it waits for that group alone now.
        let waiting = try await all(.waiting, "b", second)
        #expect(Set(waiting.map(\.message.id.rawValue)) == came && waiting.allSatisfy { $0.group == "b" })
        let forB = try await second.reserve(waiting.map(\.id), of: Self.name)
        #expect(Set(forB) == Set(waiting.map(\.id)))
        let gone = try await second.removeReserved(forB, of: Self.name)
        #expect(gone.count == 3)
        let other = try await second.consume(Self.name, group: "b", consumer: "c")
        let late = try await other.receive(max: 10, wait: .seconds(2))
        #expect(late.isEmpty)
        await place.close()
    }

    @Test("dead letters that one client sends again while another reserves them go one way")
    func racesWithRedrive() async throws {
        let place = try await Place(groups: ["a"])
        let (mover, operator1) = (try place.client(), try place.client())
        let consumer = try await operator1.consume(Self.name, group: "a", consumer: "c")
        let count = 60
        try await publish((0..<count).map { Message(text: "\($0)") }, mover)
        var left = count
        let deadline = ContinuousClock.now + .seconds(30)
        while left > 0, ContinuousClock.now < deadline {
            let deliveries = try await consumer.receive(max: left, wait: .seconds(1))
            for delivery in deliveries { try await consumer.settle(delivery, .reject(reason: .rejected, error: "no")) }
            left -= deliveries.count
        }
        #expect(left == 0)
        let letters = try await all(.dead, nil, mover)
        #expect(letters.count == count && letters.allSatisfy { $0.group == "a" && $0.death?.error == "no" })
        let ids = letters.map(\.message.id.rawValue)
        async let sent = Self.redrive(letters.map { String($0.id.dropFirst(4)) }, operator1)
        var reserved: [String] = []
        for start in stride(from: count - 10, through: 0, by: -10) {
            reserved += try await mover.reserve(letters[start..<start + 10].map(\.id), of: Self.name)
        }
        let redriven = Set(try await sent)
        let taken = Set(reserved.map { String($0.dropFirst(4)) })
        #expect(redriven.isDisjoint(with: taken))
        #expect(redriven.count + taken.count == count, "\(redriven.count) sent, \(taken.count) reserved")
        let removed = try await mover.removeReserved(reserved, of: Self.name)
        #expect(removed.count == taken.count && Set(ids).count == count)
        var came: [String: Int] = [:]
        while came.count < redriven.count, ContinuousClock.now < deadline {
            for delivery in try await consumer.receive(max: 50, wait: .seconds(1)) {
                came[delivery.message.id.rawValue, default: 0] += 1
                try await consumer.acknowledge(delivery)
            }
        }
        #expect(came.count == redriven.count && came.values.allSatisfy { $0 == 1 })
        let more = try await consumer.receive(max: 10, wait: .milliseconds(500))
        #expect(more.isEmpty)
        #expect(try await all(.dead, nil, mover).isEmpty)
        await place.close()
    }

    private static func redrive(_ ids: [String], _ queue: KafkaQueue) async throws -> [String] {
        var done: [String] = []
        for start in stride(from: 0, to: ids.count, by: 10) {
            done += try await queue.redrive(Array(ids[start..<start + 10]), of: name)
        }
        return done
    }

    @Test("when closing returns, no publisher of ours is taken any more, however long it has known the queue")
    func closes() async throws {
        let place = try await Place(groups: ["a"])
        let (mover, publisher) = (try place.client(), try place.client())
        let (accepted, closed) = (Handled(), Handled())
        try await withThrowingTaskGroup { group in
            group.addTask {
                let deadline = ContinuousClock.now + .seconds(30)
                while ContinuousClock.now < deadline {
                    let isLate = closed.count > 0
                    let outcome = try await publisher.publish([Message(text: "x")], to: Self.name)[0]
                    if case .refused(let error) = outcome {
                        #expect(error.code == .queueClosed)
                        return
                    }
                    if isLate { break }
                    accepted.add("x")
                    try await Task.sleep(for: .milliseconds(5))
                }
                Issue.record("a publisher did not hear that the queue was closed")
            }
            let hasBegun = try await eventually(within: .seconds(20)) { accepted.count > 20 }
            #expect(hasBegun)
            try await mover.setIntake(isOpen: false, of: Self.name)
            closed.add("now")
            try await group.waitForAll()
            let arrived = try await mover.statistics(of: Self.name).arrived.value
            #expect(arrived == accepted.count)
            try await mover.setIntake(isOpen: true, of: Self.name)
            try await publish([Message(text: "y")], publisher)
        }
        await place.close()
    }
}

/// What was seen, and how often.
private final class Handled: Sendable {
    private let seen = Mutex<[String: Int]>([:])
    var counts: [String: Int] { seen.withLock { $0 } }
    var count: Int { seen.withLock { $0.values.reduce(0, +) } }
    func add(_ text: String) { seen.withLock { $0[text, default: 0] += 1 } }
}
