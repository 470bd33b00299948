import BrokerSupport
import Foundation
import Messaging
import MessagingRedis
import TestSupport
import Testing

/// Moving a queue, beyond what the suite's cases ask of every backend.
@Suite(
    "Moving a queue away from Redis",
    .enabled(if: PrivateRedis.isInstalled, "redis-server is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(3))
)
struct RedisTransferTests {
    /// Every page of a state.
    private func all(
        _ state: StoredMessage.State,
        of queue: RedisQueue,
        limit: Int = 1000,
        _ each: ([StoredMessage]) async throws -> Void = { _ in }
    ) async throws -> [StoredMessage] {
        var found: [StoredMessage] = []
        var cursor: String?
        repeat {
            let page = try await queue.stored(in: "orders", state: state, group: "g", after: cursor, limit: limit)
            #expect(page.elements.count <= limit)
            found += page.elements
            try await each(page.elements)
            cursor = page.next
        } while cursor != nil && found.count < 100_000
        return found
    }

    @Test("a dead letter of another program keeps the id that it is listed with")
    func foreignLetter() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition())
        let entry = try server.cli("XADD", "orders:dlq", "*", "payload", "x", "retry_count", "4")
        let dead = try #require(try await all(.dead, of: queue).first)
        #expect(dead.message.id.rawValue == entry && dead.attempts == 4 && dead.group == nil)
        #expect(try await queue.reserve([dead.id], of: "orders") == [dead.id])
        #expect(try await all(.reserved, of: queue).map(\.message.id.rawValue) == [entry])
        #expect(try await queue.putBack([dead.id], of: "orders") == [dead.id])
        let letters = try await queue.deadLetters(of: "orders", matching: .all, after: nil, limit: 10).elements
        #expect(letters.map(\.message.id.rawValue) == [entry])
        #expect(try server.cli("EXISTS", "{orders}:reserved", "{orders}:reserved:ids") == "0")
        await queue.close()
    }

    @Test("an id that a deleted queue remembered is no reason not to remember it anew")
    func generations() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition())
        try await queue.publish(Message(text: "x", id: "a"), to: "orders")
        #expect(try await queue.deleteQueue("orders"))
        try await queue.declare(definition())
        #expect(try await queue.rememberedIDs(of: "orders", after: nil, limit: 100).elements.isEmpty)
        try await queue.remember([RememberedID(id: "a", until: .now + 60)], of: "orders")
        guard case .duplicate? = try await queue.publish([Message(text: "x", id: "a")], to: "orders").first else {
            Issue.record("a carried id is not known")
            return
        }
        await queue.close()
    }

    @Test("what is large comes in small pages, and all of it")
    func largeBodies() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition())
        let messages = (0..<20).map { Message(body: Array(repeating: UInt8($0), count: 1 << 20)) }
        for outcome in try await queue.publish(messages, to: "orders") { #expect(outcome.error == nil) }
        var pages: [Int] = []
        let found = try await all(.ready, of: queue) { pages.append($0.count) }
        #expect(found.map(\.message.id) == messages.map(\.id))
        #expect(pages.max() ?? 0 <= 5 && pages.count >= 4, "pages of \(pages)")
        await queue.close()
    }

    @Test("twenty thousand of one due time: pages, reserving, removing, and no script that keeps the server for long")
    func many() async throws {
        let server = try PrivateRedis(["--slowlog-log-slower-than", "500000"])
        let queue = try server.makeQueue()
        try await queue.declare(definition())
        let due = Date.now + 3600
        let messages = (0..<20_000).map { Message(text: "m-\($0)", due: .at(due)) }
        for outcome in try await queue.publish(messages, to: "orders") { #expect(outcome.error == nil) }
        let listed = try await all(.scheduled, of: queue)
        #expect(listed.count == messages.count && Set(listed.map(\.message.id)) == Set(messages.map(\.id)))
        var reserved = 0
        _ = try await all(.scheduled, of: queue) { page in
            reserved += try await queue.reserve(page.map(\.id), of: "orders").count
        }
        #expect(reserved == messages.count)
        // Another client goes on after the first one has died.
        let successor = try server.makeQueue()
        #expect(try await successor.statistics(of: "orders").scheduled.value == messages.count)
        var removed = 0
        let inside = try await all(.reserved, of: successor) { page in
            removed += try await successor.removeReserved(page.map(\.id), of: "orders").count
        }
        #expect(inside.count == messages.count && removed == messages.count)
        #expect(try await successor.statistics(of: "orders").scheduled.value == 0)
        // Half a second is very much for one call; a machine that is busy may take longer now and then.
        #expect(Int(try server.cli("SLOWLOG", "LEN")) ?? .max < 10)
        await queue.close()
        await successor.close()
    }

    @Test("a reserved letter counts for its own group until it is removed")
    func counts() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(QueueDefinition("orders", groups: [GroupDefinition("g"), GroupDefinition("h")]))
        try await queue.publish(Message(text: "x"), to: "orders")
        for group in ["g", "h"] {
            let consumer = try await queue.consume("orders", group: group, consumer: "c")
            let delivery = try #require(try await consumer.take(1).first)
            try await consumer.settle(delivery, .reject(reason: .rejected, error: "no"))
        }
        func dead() async throws -> [Int?] {
            try await queue.statistics(of: "orders").groups.sorted { $0.group < $1.group }.map(\.dead.value)
        }
        let letters = try await all(.dead, of: queue)
        let own = try #require(letters.first { $0.group == "g" })
        #expect(try await queue.reserve([own.id], of: "orders") == [own.id])
        #expect(try await dead() == [1, 1])
        #expect(try await queue.removeReserved([own.id], of: "orders") == [own.id])
        #expect(try await dead() == [0, 1])
        await queue.close()
    }

    @Test("a page that begins nowhere is refused")
    func cursors() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition())
        for state in StoredMessage.State.allCases {
            let error = await #expect(throws: QueueError.self) {
                try await queue.stored(in: "orders", state: state, group: "g", after: "nowhere", limit: 1)
            }
            #expect(error?.code == .invalidArgument)
        }
        let error = await #expect(throws: QueueError.self) {
            try await queue.rememberedIDs(of: "orders", after: "nowhere", limit: 1)
        }
        #expect(error?.code == .invalidArgument)
        await queue.close()
    }
}
