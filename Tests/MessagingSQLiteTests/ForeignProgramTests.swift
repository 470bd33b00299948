import Foundation
import GRDB
import Messaging
import MessagingSQLite
import TestSupport
import Testing

/// Programs that know nothing of this library publish with a plain `INSERT INTO mq_publish`.
@Suite("Plain inserts into a SQLite file", .timeLimit(.minutes(1)))
struct ForeignProgramTests {
    private let file: TemporaryFile
    private let queue: SQLiteQueue
    private let other: DatabaseQueue

    init() async throws {
        file = try TemporaryFile()
        queue = file.makeQueue { $0.heartbeat = .milliseconds(100) }
        try await queue.declare(
            QueueDefinition("queue:analysis", groups: [GroupDefinition("analysis-workers")], maxReady: 5)
        )
        other = try file.makeConnection()
    }

    private func insert(_ sql: String, _ arguments: StatementArguments = []) throws {
        try other.writeWithoutTransaction { try $0.execute(sql: sql, arguments: arguments) }
    }

    private func receive(_ count: Int) async throws -> [Delivery] {
        let consumer = try await queue.consume(
            "queue:analysis",
            group: "analysis-workers",
            consumer: "worker-1",
            options: ConsumerOptions()
        )
        var deliveries: [Delivery] = []
        while deliveries.count < count {
            let batch = try await consumer.receive(max: count - deliveries.count, wait: .seconds(20))
            if batch.isEmpty { break }
            deliveries += batch
        }
        return deliveries
    }

    @Test func isAMessage() async throws {
        try insert("INSERT INTO mq_publish (queue, body) VALUES ('queue:analysis', '{\"text\":\"hallo\"}')")
        try insert(
            "INSERT INTO mq_publish (queue, body, id, key, content_type, headers) VALUES (?, ?, ?, ?, ?, ?)",
            ["queue:analysis", Data([0, 255]), "id-1", "k", "application/json", "{\"b\":\"2\",\"a\":\"1\"}"]
        )
        let deliveries = try await receive(2)
        #expect(deliveries.map(\.attempt) == [1, 1])
        #expect(deliveries.first?.message.text == "{\"text\":\"hallo\"}")
        #expect(deliveries.first?.message.id.rawValue.count == 32)
        let second = try #require(deliveries.last).message
        #expect(second.body == [0, 255])
        #expect(second.id == "id-1")
        #expect(second.key == "k")
        #expect(second.contentType == "application/json")
        #expect(second.headers == ["a": "1", "b": "2"])
        await queue.close()
    }

    @Test("a waiting consumer sees it within a heartbeat, although nobody tells")
    func isNoticed() async throws {
        let waiting = Task { try await receive(1) }
        try await Task.sleep(for: .milliseconds(300))
        try insert("INSERT INTO mq_publish (queue, body) VALUES ('queue:analysis', 'late')")
        #expect(try await waiting.value.first?.message.text == "late")
        await queue.close()
    }

    @Test func knownIDsAreIgnored() async throws {
        try await queue.publish(Message(text: "ours", id: "same"), to: "queue:analysis")
        try insert("INSERT INTO mq_publish (queue, body, id) VALUES ('queue:analysis', 'theirs', 'same')")
        try insert("INSERT INTO mq_publish (queue, body, id) VALUES ('queue:analysis', 'first', 'other')")
        guard
            case .duplicate = try await queue.publish([Message(text: "first", id: "other")], to: "queue:analysis").first
        else {
            Issue.record("an id that another program used was accepted again")
            return
        }
        #expect(try await queue.statistics(of: "queue:analysis").stored == .exact(2))
        await queue.close()
    }

    @Test("of several rows in one statement only known ids are left out")
    func severalRows() async throws {
        try insert("INSERT INTO mq_publish (queue, body, id) VALUES ('queue:analysis', 'one', 'a')")
        try insert(
            """
            INSERT INTO mq_publish (queue, body, id)
            VALUES ('queue:analysis', 'two', 'b'), ('queue:analysis', 'again', 'a'), ('queue:analysis', 'three', 'c')
            """
        )
        #expect(try await receive(3).map(\.message.text) == ["one", "two", "three"])
        await queue.close()
    }

    @Test(
        "an id whose window has passed is remembered anew, whatever stands behind INSERT",
        arguments: ["IGNORE", "REPLACE"]
    )
    func windowBegins(_ resolution: String) async throws {
        let sql = "INSERT OR \(resolution) INTO mq_publish (queue, body, id) VALUES ('queue:analysis', 'x', 'a')"
        try insert(sql)
        try insert("UPDATE mq_seen_1 SET published_at = 0")
        try insert(sql)
        try insert(sql)
        #expect(try await queue.statistics(of: "queue:analysis").stored == .exact(2))
        await queue.close()
    }

    @Test("the bound counts what was given back, as it does for this library")
    func boundCountsAll() async throws {
        _ = try await queue.publish((0..<5).map { Message(text: "\($0)") }, to: "queue:analysis")
        let consumer = try await queue.consume(
            "queue:analysis",
            group: "analysis-workers",
            consumer: "worker-1",
            options: ConsumerOptions()
        )
        for delivery in try await consumer.receive(max: 5, wait: .zero) {
            try await consumer.settle(delivery, .release)
        }
        #expect(throws: DatabaseError.self) {
            try insert("INSERT INTO mq_publish (queue, body) VALUES ('queue:analysis', 'x')")
        }
        await queue.close()
    }

    @Test func boundAndUnknownQueue() async throws {
        for _ in 0..<5 { try insert("INSERT INTO mq_publish (queue, body) VALUES ('queue:analysis', 'x')") }
        let full = #expect(throws: DatabaseError.self) {
            try insert("INSERT INTO mq_publish (queue, body) VALUES ('queue:analysis', 'x')")
        }
        #expect(full?.message == "the queue has reached its bound")
        let unknown = #expect(throws: DatabaseError.self) {
            try insert("INSERT INTO mq_publish (queue, body) VALUES ('nowhere', 'x')")
        }
        #expect(unknown?.message == "there is no such queue; declare it first")
        await queue.close()
    }

    @Test("headers that cannot be read go to the dead letters, and the next message flows")
    func undecodable() async throws {
        try insert("INSERT INTO mq_publish (queue, body, headers) VALUES ('queue:analysis', 'bad', 'no json')")
        try insert("INSERT INTO mq_publish (queue, body, headers) VALUES ('queue:analysis', 'bad', x'FF00')")
        try insert("INSERT INTO mq_publish (queue, body) VALUES ('queue:analysis', 'good')")
        #expect(try await receive(1).first?.message.text == "good")
        let dead = try await queue.deadLetters(of: "queue:analysis", matching: .all, after: nil, limit: 10)
        #expect(dead.elements.map(\.reason) == [.undecodable, .undecodable])
        #expect(dead.elements.first?.message.text == "bad")
        await queue.close()
    }
}
