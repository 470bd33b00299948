import Foundation
import Messaging
import MessagingBaselines
import Testing

#if RabbitMQ
import MessagingRabbitMQ
#endif
#if Redis
import MessagingRedis
#endif
#if SQLite
import MessagingSQLite
#endif

@Suite("The client libraries alone")
struct BaselineTests {
    private static let settings = PlainSettings(queue: "bench-test", size: 100, window: 10)

    #if SQLite
    private func path() -> String {
        FileManager.default.temporaryDirectory.appending(path: "mq-plain-test-\(UUID())").path()
    }

    @Test("plain SQLite gives back what was inserted, once, and removes its file")
    func sqlite() throws {
        let path = path()
        let client = try PlainSQLite(path: path, synchronous: .normal, Self.settings)
        try client.publish(25)
        try client.consume(13)
        try client.publish(1)
        try client.consume(13)
        let error = try #require(throws: QueueError.self) { try client.consume(1) }
        #expect(error.message.contains("1 rows are missing"))
        #expect(FileManager.default.fileExists(atPath: path))
        client.close()
        client.close()
        for suffix in ["", "-wal", "-shm"] { #expect(!FileManager.default.fileExists(atPath: path + suffix)) }
    }

    @Test("plain SQLite takes no file that is there, and leaves it as it is")
    func foreignFile() throws {
        let path = path()
        try Data("mine".utf8).write(to: URL(filePath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(throws: QueueError.self) { try PlainSQLite(path: path, synchronous: .full, Self.settings) }
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "mine")
    }

    @Test("a runner times its client on a thread of its own, and refuses calls after its end")
    func runner() async throws {
        let path = path()
        let runner = PlainRunner(.sqlite(SQLiteConfiguration(path: path)), Self.settings)
        #expect(try await runner.publish(20) > .zero)
        #expect(try await runner.consume(20) > .zero)
        #expect(FileManager.default.fileExists(atPath: path + "-bench-test"))
        await runner.close()
        #expect(!FileManager.default.fileExists(atPath: path + "-bench-test"))
        let error = await #expect(throws: QueueError.self) { try await runner.publish(1) }
        #expect(error?.code == .closed)
    }
    #endif

    #if Redis
    @Test("plain hiredis refuses what would have to be encrypted")
    func redisTLS() async throws {
        let runner = PlainRunner(.redis(try RedisConfiguration(url: "rediss://u:hunter2@127.0.0.1:1")), Self.settings)
        let error = await #expect(throws: QueueError.self) { try await runner.publish(1) }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("hunter2") == false)
    }

    @Test("plain hiredis says where it cannot connect to, without credentials")
    func redisNowhere() async throws {
        let runner = PlainRunner(.redis(try RedisConfiguration(url: "redis://u:hunter2@127.0.0.1:1")), Self.settings)
        let error = await #expect(throws: QueueError.self) { try await runner.publish(1) }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("127.0.0.1:1") == true && error?.message.contains("hunter2") == false)
    }
    #endif

    #if RabbitMQ
    @Test("plain librabbitmq refuses what would have to be encrypted, and says where it cannot connect to")
    func rabbitMQ() async throws {
        for (url, code) in [
            ("amqps://u:hunter2@localhost:1", QueueError.Code.unsupported),
            ("amqp://u:hunter2@127.0.0.1:1", .unavailable),
        ] {
            let runner = PlainRunner(.rabbitMQ(try RabbitMQConfiguration(url: url)), Self.settings)
            let error = await #expect(throws: QueueError.self) { try await runner.publish(1) }
            #expect(error?.code == code)
            #expect(error?.message.contains("hunter2") == false)
        }
    }
    #endif
}
