import BrokerSupport
import Foundation
import Messaging
import MessagingRabbitMQ
import TestSupport
import Testing

/// Moving a queue, beyond what the suite's cases ask of every backend.
@Suite(
    "Moving a queue away from RabbitMQ, and to it",
    .enabled(if: PrivateRabbitMQ.isInstalled, "rabbitmq-server is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(5))
)
struct RabbitMQTransferTests {
    /// Every page of a state.
    private func all(
        _ state: StoredMessage.State,
        of name: String,
        _ queue: RabbitMQQueue,
        limit: Int = 1000,
        _ each: ([StoredMessage]) async throws -> Void = { _ in }
    ) async throws -> [StoredMessage] {
        var found: [StoredMessage] = []
        var cursor: String?
        repeat {
            let page = try await queue.stored(in: name, state: state, group: "g", after: cursor, limit: limit)
            #expect(page.elements.count <= limit)
            found += page.elements
            try await each(page.elements)
            cursor = page.next
        } while cursor != nil && found.count < 100_000
        return found
    }

    private func reject(_ count: Int, of name: String, _ queue: RabbitMQQueue) async throws {
        let consumer = try await queue.consume(name, group: "g", consumer: "c")
        for _ in 0..<max(1, count / 500) {
            let deliveries = try await consumer.take(min(500, count))
            let requests = deliveries.map { SettleRequest($0.receipt, .reject(reason: .rejected, error: "no")) }
            for outcome in try await consumer.settle(requests) { #expect(outcome.error == nil) }
        }
        await consumer.close()
    }

    @Test("what is reserved goes back, the same as before, when the client that reserved it ends")
    func theEndOfAClient() async throws {
        let definition = definition()
        let (first, second) = (try makeQueue(SharedRabbitMQ.url()), try makeQueue(SharedRabbitMQ.url()))
        try await first.declare(definition)
        let name = definition.name
        try await first.publish(Message(text: "dead"), to: name)
        try await reject(1, of: name, first)
        try await first.publish(Message(text: "later", due: .after(.seconds(100))), to: name)
        var before: [StoredMessage] = []
        for state in [StoredMessage.State.dead, .scheduled] { before += try await all(state, of: name, first) }
        #expect(before.map(\.message.text) == ["dead", "later"])
        #expect(try await first.reserve(before.map(\.id), of: name) == before.map(\.id))
        for state in [StoredMessage.State.dead, .scheduled] {
            #expect(try await all(state, of: name, second).isEmpty)
        }
        #expect(try await all(.reserved, of: name, second).isEmpty)
        #expect(try await second.deadLetters(of: name, matching: .all, after: nil, limit: 10).elements.isEmpty)
        await first.close()
        let isBack = try await eventually(within: .seconds(20)) {
            var after: [StoredMessage] = []
            for state in [StoredMessage.State.dead, .scheduled] { after += try await all(state, of: name, second) }
            return after == before
        }
        #expect(isBack)
        await second.close()
    }

    @Test("a look at what waits counts as no attempt, and holds up what others have there for a moment only")
    func looks() async throws {
        let (own, other) = (definition("own"), definition("other"))
        let queue = try makeQueue(SharedRabbitMQ.url())
        for definition in [own, other] { try await queue.declare(definition) }
        for definition in [own, other] {
            try await queue.publish(Message(text: "x", due: .after(.seconds(3))), to: definition.name)
        }
        let start = ContinuousClock.now
        while ContinuousClock.now - start < .seconds(2) {
            let found = try await all(.scheduled, of: own.name, queue)
            #expect(found.count <= 1)
            if let id = found.first?.id {
                let reserved = try await queue.reserve([id], of: own.name)
                _ = try await queue.putBack(reserved, of: own.name)
            }
        }
        for definition in [own, other] {
            let consumer = try await queue.consume(definition.name, group: "g", consumer: "c")
            let delivery = try #require(try await consumer.take(1).first)
            #expect(delivery.attempt == 1)
            try await consumer.acknowledge(delivery)
            await consumer.close()
        }
        await queue.close()
    }

    @Test("looking and reserving while messages become due keeps none of them and mixes none up")
    func underWay() async throws {
        let definition = definition()
        let queue = try makeQueue(SharedRabbitMQ.url())
        try await queue.declare(definition)
        let name = definition.name
        try await queue.publish(Message(text: "dead"), to: name)
        try await reject(1, of: name, queue)
        // Many small delays: they go down the lowest levels while those are looked at.
        let messages = (1...300).map { Message(text: "\($0)", due: .after(.milliseconds(2000 + 7 * $0))) }
        for outcome in try await queue.publish(messages, to: name) { #expect(outcome.isConfirmed) }
        let start = ContinuousClock.now
        var (looks, reserved) = (0, 0)
        while ContinuousClock.now - start < .seconds(5) {
            let found = try await all(.scheduled, of: name, queue)
            looks += 1
            #expect(Set(found.map(\.message.id)).count == found.count)
            let taken = try await queue.reserve(found.prefix(20).map(\.id), of: name)
            reserved += taken.count
            #expect(try await queue.putBack(taken, of: name) == taken)
            let dead = try await queue.deadLetters(of: name, matching: .all, after: nil, limit: 10)
            #expect(dead.elements.map(\.message.text) == ["dead"])
        }
        #expect(looks > 2 && reserved > 0)
        let consumer = try await queue.consume(name, group: "g", consumer: "c")
        let deliveries = try await consumer.take(messages.count)
        #expect(Set(deliveries.map(\.message.id)) == Set(messages.map(\.id)))
        #expect(deliveries.allSatisfy { $0.attempt == 1 })
        for delivery in deliveries { try await consumer.acknowledge(delivery) }
        #expect(try await consumer.receive(max: 10, wait: .milliseconds(300)).isEmpty)
        await consumer.close()
        await queue.close()
    }

    @Test("a closed queue: nothing is scheduled, what was scheduled comes, and declaring it does not open it")
    func intake() async throws {
        let definition = definition()
        let (queue, other) = (try makeQueue(SharedRabbitMQ.url()), try makeQueue(SharedRabbitMQ.url()))
        try await queue.declare(definition)
        let name = definition.name
        // Not before the other group is there.
        try await queue.publish(Message(text: "before", due: .after(.seconds(8))), to: name)
        try await queue.setIntake(isOpen: false, of: name)
        var wider = definition
        wider.groups.append(GroupDefinition("h", start: .latest))
        try await other.declare(wider)
        let messages = [Message(text: "now"), Message(text: "later", due: .after(.seconds(1)))]
        for outcome in try await other.publish(messages, to: name) { #expect(outcome.error?.code == .queueClosed) }
        let restored = StoredMessage(
            id: "far",
            state: .scheduled,
            group: nil,
            message: Message(text: "restored"),
            due: .now + 2
        )
        #expect(try await other.restore([restored], to: name).allSatisfy(\.isConfirmed))
        for group in ["g", "h"] {
            let consumer = try await queue.consume(name, group: group, consumer: "c")
            let taken = try await consumer.take(2)
            #expect(taken.count == 2 && Set(taken.map(\.message.text)) == ["before", "restored"])
            for delivery in taken { try await consumer.acknowledge(delivery) }
            #expect(try await consumer.receive(max: 10, wait: .milliseconds(300)).isEmpty)
            await consumer.close()
        }
        try await queue.setIntake(isOpen: true, of: name)
        for outcome in try await other.publish(messages, to: name) { #expect(outcome.isConfirmed) }
        for group in ["g", "h"] {
            let consumer = try await queue.consume(name, group: group, consumer: "c")
            // Each once: no way in was left over from the time it was closed.
            let taken = try await consumer.take(2)
            #expect(taken.count == 2 && Set(taken.map(\.message.text)) == ["now", "later"])
            for delivery in taken { try await consumer.acknowledge(delivery) }
            #expect(try await consumer.receive(max: 10, wait: .milliseconds(300)).isEmpty)
            await consumer.close()
        }
        await queue.close()
        await other.close()
    }

    @Test("a move of two thousand dead and two thousand scheduled, 64 at a time, on a broker of its own")
    func many() async throws {
        let server = try PrivateRabbitMQ()
        let queue = try makeQueue(server.url)
        let definition = definition()
        try await queue.declare(definition)
        let name = definition.name
        let dead = (0..<2000).map { Message(text: "dead-\($0)") }
        #expect(try await queue.publish(dead, to: name).allSatisfy(\.isConfirmed))
        try await reject(2000, of: name, queue)
        let later = (0..<2000).map { Message(text: "later-\($0)", due: .after(.seconds(600 + $0))) }
        #expect(try await queue.publish(later, to: name).allSatisfy(\.isConfirmed))
        for (state, messages) in [(StoredMessage.State.dead, dead), (.scheduled, later)] {
            let start = ContinuousClock.now
            var reserved = 0
            var removed = 0
            let found = try await all(state, of: name, queue, limit: 64) { page in
                let ids = try await queue.reserve(page.map(\.id), of: name)
                reserved += ids.count
                removed += try await queue.removeReserved(ids, of: name).count
            }
            print(
                "transfer: \(messages.count) \(state.rawValue) listed, reserved and removed in \(ContinuousClock.now - start)"
            )
            #expect(found.count == messages.count && Set(found.map(\.message.id)) == Set(messages.map(\.id)))
            #expect(reserved == messages.count && removed == messages.count)
            #expect(try await all(state, of: name, queue).isEmpty)
        }
        await queue.close()
    }
}
