import Foundation
import GRDB
import Messaging
import TestSupport
import Testing

@testable import MessagingSQLite

/// What happens to files that are full, locked, damaged, foreign, of another version, or not there.
@Suite("SQLite files", .timeLimit(.minutes(1)))
struct FileTests {
    private static let queue = QueueDefinition("orders", groups: [GroupDefinition("billing")])

    /// A client with a short timeout that has opened the file; another one has made it, as the timeout holds for that.
    private static func impatient(_ file: TemporaryFile) async throws -> SQLiteQueue {
        let maker = file.makeQueue()
        try await maker.declare(queue)
        await maker.close()
        let made = file.makeQueue { $0.timeout = .seconds(2) }
        try await made.declare(queue)
        return made
    }

    @Test func survivesClosing() async throws {
        let file = try TemporaryFile()
        let first = file.makeQueue()
        try await first.declare(Self.queue)
        try await first.publish(Message(text: "one", headers: ["a": "b"]), to: "orders")
        await first.close()
        let left = try FileManager.default.contentsOfDirectory(atPath: SQLiteFile.folder(of: file.path))
        #expect(left.sorted() == ["lock", "turnstile"])
        #expect(!FileManager.default.fileExists(atPath: file.path + "-wal"), "the log is written back at the end")
        let second = file.makeQueue()
        let consumer = try await second.consume("orders", group: "billing", consumer: "c", options: ConsumerOptions())
        let delivery = try #require(try await consumer.receive(max: 10, wait: .zero).first)
        #expect(delivery.message.text == "one")
        #expect(delivery.message.headers == ["a": "b"])
        try await consumer.acknowledge(delivery)
        #expect(try await second.statistics(of: "orders").stored == .exact(0))
        await second.close()
    }

    @Test("a file that is not there is created only when that is wanted")
    func missingFile() async throws {
        let file = try TemporaryFile()
        let queue = file.makeQueue { $0.createsFile = false }
        #expect(try await queue.capabilities().durability != .memory)
        let error = await #expect(throws: QueueError.self) { try await queue.queues() }
        #expect(error?.code == .notFound)
        #expect(try FileManager.default.contentsOfDirectory(atPath: file.folder.path).isEmpty)
        await queue.close()
    }

    @Test func missingFolder() async throws {
        let file = try TemporaryFile()
        let queue = file.makeQueue { $0.path = file.folder.path + "/not/there.sqlite" }
        let error = await #expect(throws: QueueError.self) { try await queue.queues() }
        #expect(error?.code == .unavailable)
        #expect(error?.isRetryable == false)
        #expect(error?.message.contains("check that its folder exists") == true)
    }

    @Test func noDatabase() async throws {
        let file = try TemporaryFile()
        let content = Data(repeating: 42, count: 8192)
        try content.write(to: URL(filePath: file.path))
        let error = await #expect(throws: QueueError.self) { try await file.makeQueue().queues() }
        #expect(error?.code == .undecodable)
        #expect(error?.message.contains("is no SQLite database") == true)
        #expect(try Data(contentsOf: URL(filePath: file.path)) == content)
    }

    @Test func damagedFile() async throws {
        let file = try TemporaryFile()
        let queue = file.makeQueue()
        try await queue.declare(Self.queue)
        _ = try await queue.publish((0..<200).map { Message(text: "message \($0)") }, to: "orders")
        await queue.close()
        // Everything behind the first page, which is still a valid header.
        var bytes = try Data(contentsOf: URL(filePath: file.path))
        for index in 4096..<bytes.count { bytes[index] = 0xA5 }
        try bytes.write(to: URL(filePath: file.path))
        let error = await #expect(throws: QueueError.self) { try await file.makeQueue().declare(Self.queue) }
        #expect(error?.code == .undecodable, "\(String(describing: error))")
        #expect(error?.message.contains("is damaged") == true)
    }

    @Test func laterVersion() async throws {
        let file = try TemporaryFile()
        let queue = file.makeQueue()
        try await queue.declare(Self.queue)
        try await SQLiteStorage(queue).write {
            try $0.execute(sql: "UPDATE mq_meta SET value = 99 WHERE name = 'version'")
        }
        await queue.close()
        let error = await #expect(throws: QueueError.self) { try await file.makeQueue().queues() }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("later version") == true)
    }

    @Test func sharesAFileWithAnApplication() async throws {
        let file = try TemporaryFile()
        let application = try file.makeConnection()
        try await application.write {
            try $0.execute(sql: "CREATE TABLE user (id INTEGER); INSERT INTO user VALUES (7)")
        }
        let queue = file.makeQueue()
        try await queue.declare(Self.queue)
        #expect(try await SQLiteStorage(queue).read { try Int.fetchOne($0, sql: "SELECT id FROM user") } == 7)
        await queue.close()
    }

    @Test("a program that holds SQLite's lock: calls fail after the timeout and lose nothing")
    func lockedByAnotherProgram() async throws {
        let file = try TemporaryFile()
        let queue = try await Self.impatient(file)
        let other = try file.makeConnection()
        try await other.writeWithoutTransaction { try $0.beginTransaction(.immediate) }
        let message = Message(text: "one")
        let error = await #expect(throws: QueueError.self) { _ = try await queue.publish([message], to: "orders") }
        #expect(error?.code == .unavailable)
        #expect(error?.isRetryable == true)
        #expect(error?.message.contains("is locked by a program") == true)
        #expect(try await queue.statistics(of: "orders").stored == .exact(0))
        try await other.writeWithoutTransaction { try $0.rollback() }
        guard case .accepted = try await queue.publish([message], to: "orders").first else {
            Issue.record("the message was not accepted")
            return
        }
        await queue.close()
    }

    @Test("a process that is stopped while it writes: calls fail after the timeout, and closing does not hang")
    func stoppedWriter() async throws {
        let file = try TemporaryFile()
        let queue = try await Self.impatient(file)
        let turn = try WriteTurn(folder: SQLiteFile.folder(of: file.path))
        try turn.take()
        let error = await #expect(throws: QueueError.self) {
            _ = try await queue.publish([Message(text: "one")], to: "orders")
        }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("another process has been writing") == true)
        // Reading needs no turn.
        #expect(try await queue.statistics(of: "orders").stored == .exact(0))
        turn.giveBack()
        try await queue.publish(Message(text: "two"), to: "orders")
        #expect(try await queue.statistics(of: "orders").stored == .exact(1))
        await queue.close()
    }

    @Test("a full file refuses messages, and finishing some makes room")
    func fullFile() async throws {
        let file = try TemporaryFile()
        let queue = file.makeQueue { $0.maxFileBytes = 1 << 20 }
        try await queue.declare(Self.queue)
        var accepted = 0
        var refusal: QueueError?
        while refusal == nil, accepted < 100 {
            do throws(QueueError) {
                let body = [UInt8](repeating: 1, count: 50_000)
                try await queue.publish(Message(body: body), to: "orders")
                accepted += 1
            } catch {
                refusal = error
            }
        }
        #expect(refusal?.code == .unavailable)
        #expect(refusal?.message.contains("cannot grow") == true)
        #expect(accepted > 5)
        let consumer = try await queue.consume("orders", group: "billing", consumer: "c", options: ConsumerOptions())
        let deliveries = try await consumer.receive(max: 1000, wait: .zero)
        #expect(deliveries.count == accepted)
        for outcome in try await consumer.settle(deliveries.map { SettleRequest($0.receipt, .acknowledge) }) {
            #expect(outcome.error == nil)
        }
        try await queue.publish(Message(body: [UInt8](repeating: 1, count: 50_000)), to: "orders")
        #expect(try await SQLiteStorage(queue).read { try String.fetchOne($0, sql: "PRAGMA integrity_check") } == "ok")
        await queue.close()
    }

    @Test("an operation that fails in SQLite does not take others of its transaction with it")
    func oneBadOperation() async throws {
        let file = try TemporaryFile()
        let queue = file.makeQueue()
        try await queue.declare(Self.queue)
        let storage = SQLiteStorage(queue)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for number in 0..<40 {
                tasks.addTask {
                    if number % 10 == 9 {
                        let error = await #expect(throws: QueueError.self) {
                            try await storage.write { try $0.execute(sql: "INSERT INTO nowhere VALUES (1)") }
                        }
                        #expect(error?.code == .brokerError)
                    } else {
                        try await queue.publish(Message(text: "\(number)"), to: "orders")
                    }
                }
            }
            try await tasks.waitForAll()
        }
        #expect(try await queue.statistics(of: "orders").stored == .exact(36))
        await queue.close()
    }

    @Test("concurrent callers share transactions")
    func groupCommit() async throws {
        let file = try TemporaryFile()
        let queue = file.makeQueue()
        try await queue.declare(Self.queue)
        let opened = try await queue.file()
        let before = opened.commits.count
        // While the turn is elsewhere everybody comes together.
        let turn = try WriteTurn(folder: SQLiteFile.folder(of: file.path))
        try turn.take()
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for number in 0..<100 {
                tasks.addTask { try await queue.publish(Message(text: "\(number)"), to: "orders") }
            }
            let isTogether = try await eventually { opened.commits.waiting == 100 }
            #expect(isTogether)
            turn.giveBack()
            try await tasks.waitForAll()
        }
        #expect(opened.commits.count - before <= 2)
        #expect(try await queue.statistics(of: "orders").stored == .exact(100))
        await queue.close()
    }

    @Test func closedClient() async throws {
        let file = try TemporaryFile()
        let queue = file.makeQueue()
        try await queue.declare(Self.queue)
        let consumer = try await queue.consume("orders", group: "billing", consumer: "c", options: ConsumerOptions())
        let waiting = Task { try await consumer.receive(max: 1, wait: .seconds(60)) }
        await queue.close()
        await queue.close()
        let error = await #expect(throws: QueueError.self) { try await waiting.value }
        #expect(error?.code == .closed)
        let later = await #expect(throws: QueueError.self) { try await queue.queues() }
        #expect(later?.code == .closed)
    }
}
