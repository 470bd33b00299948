import GRDB
import Messaging
import TestSupport
import Testing

@testable import MessagingSQLite

@Suite("Processed messages in SQLite", .timeLimit(.minutes(1)))
struct ProcessedStoreTests {
    @Test("a note is new once, is kept per scope, outlives the client, and ends with its time")
    func notes() async throws {
        let file = try TemporaryFile()
        let clock = ManualClock()
        let queue = file.makeQueue(clock: clock.queueClock)
        let store = SQLiteProcessedStore(queue)
        #expect(try await !store.contains("a", scope: "billing"))
        #expect(try await store.insert("a", scope: "billing", remember: .seconds(60)))
        #expect(try await !store.insert("a", scope: "billing", remember: .seconds(60)))
        #expect(try await store.contains("a", scope: "billing"))
        #expect(try await !store.contains("a", scope: "audit"))
        #expect(try await store.insert("a", scope: "audit", remember: .seconds(600)))
        await queue.close()

        let other = file.makeQueue(clock: clock.queueClock)
        let again = SQLiteProcessedStore(other)
        clock.advance(by: .seconds(59))
        #expect(try await again.contains("a", scope: "billing"))
        clock.advance(by: .seconds(2))
        #expect(try await !again.contains("a", scope: "billing"))
        #expect(try await again.contains("a", scope: "audit"))
        #expect(try await again.insert("a", scope: "billing", remember: .seconds(60)))
        #expect(try await !again.insert("a", scope: "billing", remember: .seconds(60)))
        await other.close()
    }

    @Test("of many clients exactly one notes a message")
    func race() async throws {
        let file = try TemporaryFile()
        let queues = (0..<3).map { _ in file.makeQueue() }
        let wins = try await withThrowingTaskGroup(of: Bool.self) { tasks in
            for queue in queues {
                for _ in 0..<10 {
                    tasks.addTask {
                        try await SQLiteProcessedStore(queue).insert("id", scope: "s", remember: .seconds(60))
                    }
                }
            }
            return try await tasks.reduce(into: 0) { if $1 { $0 += 1 } }
        }
        #expect(wins == 1)
        for queue in queues { await queue.close() }
    }

    @Test("upkeep removes notes whose time is over")
    func upkeep() async throws {
        let file = try TemporaryFile()
        let clock = ManualClock()
        let queue = file.makeQueue(clock: clock.queueClock)
        let store = SQLiteProcessedStore(queue)
        for number in 0..<50 {
            let remember: Duration = number < 40 ? .seconds(10) : .seconds(1000)
            _ = try await store.insert(MessageID("m\(number)"), scope: "s", remember: remember)
        }
        clock.advance(by: .seconds(11))
        let now = UnixTime.milliseconds(clock.date)
        let upkeep = Upkeep(logger: queue.logger)
        try await file.makeConnection().writeWithoutTransaction {
            _ = try upkeep.run($0, WriterMemory(), now: now, isBusy: false)
        }
        let left = try await SQLiteStorage(queue).read {
            try Int.fetchOne($0, sql: "SELECT count(*) FROM mq_processed")
        }
        #expect(left == 10)
        await queue.close()
    }
}
