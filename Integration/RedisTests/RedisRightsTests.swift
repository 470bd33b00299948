import BrokerSupport
import Foundation
import Messaging
import MessagingRedis
import TestSupport
import Testing

extension RedisQueue {
    /// Whether the queue `orders` accepts every one of these.
    fileprivate func accepts(_ messages: [Message]) async throws -> Bool {
        try await publish(messages, to: "orders").allSatisfy { if case .accepted = $0 { true } else { false } }
    }
}

/// Users who may do less than everything, servers that change their part, and entries that nobody expected.
@Suite(
    "Redis with rights and surprises",
    .enabled(if: PrivateRedis.isInstalled, "redis-server is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(2))
)
struct RedisRightsTests {
    /// The command of docs/operations.md that makes a user for the queue `orders`.
    private func documentedUser() throws -> [String] {
        let page = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/operations.md")
        let text = try String(contentsOf: page, encoding: .utf8)
        let start = try #require(text.range(of: "redis-cli ACL SETUSER orders"))
        let end = try #require(text[start.upperBound...].range(of: "```"))
        let separators: Set<Character> = [" ", "\n", "\\"]
        let words: [Substring] = text[start.lowerBound..<end.lowerBound].split { separators.contains($0) }
        return words.dropFirst().map { word in String(word).replacing("'", with: "") }
    }

    @Test("the documented rights are enough for everything, also after several dedupe windows")
    func documentedRights() async throws {
        let server = try PrivateRedis()
        #expect(try PrivateRedis.cli(port: server.port, try documentedUser()) == "OK")
        let queue = try server.makeQueue(user: "orders:secret@")
        // Twice: a queue that was deleted leaves a mark, which goes when it is declared again.
        for _ in 0..<2 {
            try await queue.declare(definition(lease: .seconds(30), dedupe: .milliseconds(200)))
            let consumer = try await queue.consume("orders", group: "g", consumer: "c")
            for round in 0..<4 {
                let messages = [Message(text: "now \(round)"), Message(text: "later", due: .after(.milliseconds(20)))]
                #expect(try await queue.accepts(messages))
                let first = try await consumer.take(2)
                #expect(first.count == 2)
                let settlements: [Settlement] = [
                    .retry(after: .milliseconds(20), error: "again"), .reject(reason: .rejected, error: "no"),
                ]
                for (delivery, settlement) in zip(first, settlements) {
                    try await consumer.settle(delivery, settlement)
                }
                #expect(try await queue.redriveAll(of: "orders") == 1)
                let second = try await consumer.take(2)
                #expect(second.count == 2)
                try await consumer.acknowledge(all: second)
                let figures = try await queue.statistics(of: "orders")["g"]
                #expect(figures?.lag == .exact(0))
                #expect(figures?.dead == .exact(0))
                // The hashes of the ids take turns by window.
                try await Task.sleep(for: .milliseconds(250))
            }
            await consumer.close()
            let letter = Message(text: "left")
            #expect(try await queue.accepts([letter]))
            let transfer = try #require(queue.transfer)
            #expect(
                try await transfer.stored(in: "orders", state: .ready, group: "g", after: nil, limit: 10).elements.count
                    == 1
            )
            _ = try await queue.deleteQueue("orders")
        }
        await queue.close()
    }

    @Test("who may not tell others of a schedule has scheduled it once all the same")
    func withoutChannels() async throws {
        let server = try PrivateRedis()
        try server.cli("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all")
        let queue = try server.makeQueue(user: "app:secret@")
        try await queue.declare(definition(lease: .seconds(1)))
        let message = Message(text: "later", due: .after(.milliseconds(50)))
        #expect(try await queue.accepts([message]))
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        let delivery = try #require(try await consumer.take(1).first)
        try await consumer.settle(delivery, .retry(after: .milliseconds(50), error: "again"))
        #expect(try server.cli("XPENDING", "orders", "g").hasPrefix("0"))
        let again = try await consumer.take(1)
        #expect(again.map(\.message.id) == [message.id])
        try await consumer.acknowledge(all: again)
        // A second copy would have been due at the same time.
        #expect(try await consumer.receive(max: 1, wait: .seconds(2)).isEmpty)
        await queue.close()
    }

    @Test("a publisher leaves a primary that has become a replica")
    func leavesReplica() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition())
        #expect(try await queue.accepts([Message(text: "x")]))
        func connections() throws -> Set<Substring> {
            let lines = try server.cli("CLIENT", "LIST").split(separator: "\n").filter { !$0.contains("cmd=client") }
            return Set(lines.compactMap { $0.split(separator: " ").first })
        }
        let before = try connections()
        #expect(!before.isEmpty)
        try server.cli("REPLICAOF", "127.0.0.1", String(try PrivateRedis.freePort()))
        #expect(try await queue.publish([Message(text: "y")], to: "orders").first?.error?.isRetryable == true)
        // Whatever the name of the primary stands for now is found by connecting anew.
        #expect(try await eventually { try connections().isDisjoint(with: before) })
        await queue.close()
    }

    @Test("a queue that was deleted is not there for any call")
    func deleted() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition())
        #expect(try await queue.accepts([Message(text: "x")]))
        _ = try await queue.deleteQueue("orders")
        let transfer = try #require(queue.transfer)
        let stored = StoredMessage(
            id: "1",
            state: .ready,
            group: nil,
            message: Message(text: "x"),
            attempts: 0,
            redrives: 0,
            history: [],
            publishedAt: nil
        )
        let calls: [(String, @Sendable () async throws -> Void)] = [
            ("statistics", { _ = try await queue.statistics(of: "orders") }),
            ("letters", { _ = try await queue.deadLetters(of: "orders", matching: .all, after: nil, limit: 1) }),
            ("scheduled", { _ = try await queue.scheduled(of: "orders", after: nil, limit: 1) }),
            ("intake", { try await transfer.setIntake(isOpen: false, of: "orders") }),
            ("restore", { _ = try await transfer.restore([stored], to: "orders") }),
        ]
        for (name, call) in calls {
            let error = await #expect(throws: QueueError.self, "\(name)") { try await call() }
            #expect(error?.code == .notFound, "\(name)")
        }
        try await queue.declare(definition())
        #expect(try await queue.statistics(of: "orders").stored == .exact(0))
        #expect(try await queue.accepts([Message(text: "x")]))
        await queue.close()
    }

    @Test("an entry with thousands of fields, tried again later, keeps nobody waiting")
    func manyFields() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition(lease: .seconds(30)))
        let fields = (0..<4000).flatMap { ["mq-x\($0)", "v"] }
        try PrivateRedis.cli(port: server.port, ["XADD", "orders", "*", "payload", "large"] + fields)
        try await queue.publish(Message(text: "small"), to: "orders")
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        let first = try await consumer.take(2)
        #expect(first.map(\.message.text) == ["large", "small"])
        for delivery in first {
            try await consumer.settle(delivery, .retry(after: .milliseconds(20), error: "again"))
        }
        let second = try await consumer.take(2)
        #expect(Set(second.map(\.message.text)) == ["large", "small"])
        #expect(second.map(\.attempt) == [2, 2])
        await queue.close()
    }
}
