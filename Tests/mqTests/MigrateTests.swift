#if SQLite
import Foundation
import Logging
import Messaging
import MessagingSQLite
import Subprocess
import Testing

@testable import mq

@Suite("Moving queues on the command line", .timeLimit(.minutes(5)))
struct MigrateTests {
    /// A folder with the files of both sides and the journal.
    private final class Place: Sendable {
        let folder: URL

        init() throws {
            folder = FileManager.default.temporaryDirectory.appending(path: "mq-migrate-\(MessageID.make())")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        }

        deinit { try? FileManager.default.removeItem(at: folder) }

        var source: String { "sqlite:\(folder.path)/a.sqlite" }
        var target: String { "sqlite:\(folder.path)/b.sqlite" }
        var journal: String { "\(folder.path)/journal.sqlite" }
        var sides: [String] { ["--from", source, "--to", target] }

        func mq(_ words: String...) async throws -> MQBinary.Result { try await mq(all: words) }

        func mq(all words: [String]) async throws -> MQBinary.Result {
            try await MQBinary.run(
                all: words,
                environment: ["MQ_MIGRATION_JOURNAL": journal, "MQ_MIGRATION_LEASE": "100ms"]
            )
        }

        func queue(_ url: String) throws -> SQLiteQueue {
            SQLiteQueue(
                try SQLiteConfiguration(url: url),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
        }
    }

    private static func code(_ result: MQBinary.Result) -> Int32? {
        if case .exited(let code) = result.status { Int32(code) } else { nil }
    }

    @Test("the whole way, with a client of the old backend that follows")
    func wholeWay() async throws {
        let place = try Place()
        let queue = ["--queue", "orders"]
        var result = try await place.mq(
            "publish",
            "orders",
            "a",
            "b",
            "--create",
            "--group",
            "billing",
            "--backend",
            place.source
        )
        #expect(Self.code(result) == 0, "\(result.error)")
        result = try await place.mq(
            "publish",
            "orders",
            "later",
            "--delay",
            "1h",
            "--id",
            "l",
            "--backend",
            place.source
        )
        #expect(Self.code(result) == 0, "\(result.error)")
        result = try await place.mq(all: ["migrate", "plan", "--mode", "bridge"] + queue + place.sides)
        #expect(Self.code(result) == 0, "\(result.error)")
        #expect(result.output.contains("  → 2 ready messages of group 'billing'\n"))
        #expect(result.output.contains("  → 1 scheduled messages\n"))
        #expect(result.output.contains("  + queue 'orders' on sqlite\n"))
        #expect(!FileManager.default.fileExists(atPath: place.journal))
        #expect(!FileManager.default.fileExists(atPath: place.folder.path + "/b.sqlite"))
        result = try await place.mq(all: ["migrate", "apply", "--mode", "bridge"] + queue + place.sides)
        #expect(Self.code(result) == 0, "\(result.error)")
        #expect(result.output.hasPrefix("orders: quarantine on \(place.target), 3 messages"))
        result = try await place.mq("publish", "orders", "c", "--backend", place.source)
        #expect(Self.code(result) == 0, "\(result.error)")
        result = try await place.mq(all: ["migrate", "verify", "--json"] + queue)
        #expect(Self.code(result) == 0, "\(result.error)")
        #expect(result.output.contains(#""matched":3"#))
        result = try await place.mq(all: ["migrate", "finish"] + queue)
        #expect(Self.code(result) == 0, "\(result.error)")
        result = try await place.mq(all: ["migrate", "finish", "--delete-source"] + queue)
        #expect(Self.code(result) == 5)
        result = try await place.mq(
            "consume",
            "orders",
            "--group",
            "billing",
            "--count",
            "3",
            "--backend",
            place.source
        )
        #expect(Set(result.output.split(separator: "\n")) == ["a", "b", "c"])
        result = try await place.mq("migrate", "status", "--json")
        #expect(result.output.contains(#""state":"finished""#))
        result = try await place.mq(all: ["migrate", "rollback"] + queue)
        #expect(Self.code(result) == 4)
    }

    @Test("verification names what is missing, and ends with 7")
    func mismatch() async throws {
        let place = try Place()
        _ = try await place.mq(
            "publish",
            "orders",
            "x",
            "--create",
            "--delay",
            "1h",
            "--id",
            "l",
            "--backend",
            place.source
        )
        let applied = try await place.mq(all: ["migrate", "apply", "--queue", "orders"] + place.sides)
        #expect(Self.code(applied) == 0, "\(applied.error)")
        let target = try place.queue(place.target)
        #expect(try await target.cancelScheduled(["l"], of: "orders") == ["l"])
        await target.close()
        let result = try await place.mq("migrate", "verify", "--queue", "orders")
        #expect(Self.code(result) == 7)
        #expect(result.error.contains("mq: 1 missing: l\n"))
    }

    @Test("back again")
    func rollback() async throws {
        let place = try Place()
        _ = try await place.mq(
            "publish",
            "orders",
            "x",
            "--create",
            "--delay",
            "1h",
            "--id",
            "l",
            "--backend",
            place.source
        )
        _ = try await place.mq(all: ["migrate", "apply", "--queue", "orders"] + place.sides)
        let result = try await place.mq("migrate", "rollback", "--queue", "orders")
        #expect(Self.code(result) == 0, "\(result.error)")
        #expect(result.output.contains("(back) on \(place.source), 1 message carried"))
        let source = try place.queue(place.source)
        #expect(try await source.cancelScheduled(["l"], of: "orders") == ["l"])
        await source.close()
    }

    @Test("what cannot be done ends as documented")
    func refusals() async throws {
        let place = try Place()
        _ = try await place.mq("publish", "orders", "a body", "--create", "--group", "g", "--backend", place.source)
        let cases: [([String], Int32)] = [
            (["plan", "--queue", "nothing"] + place.sides, 4),
            (["plan", "--queue", "orders", "--from", place.source], 64),
            (["plan", "--queue", "orders", "--from", "memory", "--to", place.target], 64),
            (["plan", "--queue", "orders", "--from", place.source, "--to", place.source], 64),
            (["apply", "--queue", "nothing"] + place.sides, 4), (["verify", "--queue", "orders"], 4),
            (["finish", "--queue", "orders"], 4), (["rollback", "--queue", "orders"], 4), (["status"], 4),
            (["apply", "--queue", "orders", "--from", place.source, "--to", place.target + "?max_body=1"], 1),
            (["apply", "--queue", "orders", "--rate", "0"] + place.sides, 64),
            (["apply", "--queue", "orders", "--plan", "/nowhere.json"] + place.sides, 1),
        ]
        for (words, code) in cases {
            let result = try await place.mq(all: ["migrate"] + words)
            #expect(Self.code(result) == code, "\(words): \(result.error)")
            #expect(result.errorLines.count == 1, "\(words): \(result.error)")
        }
        #expect(!FileManager.default.fileExists(atPath: place.folder.path + "/b.sqlite"))
    }

    @Test("a label says where a backend is, without credentials, and opens it again")
    func labels() async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let relative = try Backends.open("sqlite:some.sqlite", settings: Settings(), logger: logger)
        #expect(relative.label == "sqlite:\(FileManager.default.currentDirectoryPath)/some.sqlite")
        let again = try Backends.open(label: relative.label, settings: Settings(), timeout: nil, logger: logger)
        #expect(again.label == relative.label)
        #if Redis
        let url = "redis://user:hunter2@10.0.0.7:6380/2"
        let settings = Settings(environment: ["MQ_REDIS_URL": url])
        let redis = try Backends.open(url, settings: settings, logger: logger)
        #expect(redis.label == "redis://10.0.0.7:6380/2")
        // The one with the password, not a new one without.
        let known = try Backends.open(label: redis.label, settings: settings, timeout: nil, logger: logger)
        #expect(known.source == "MQ_REDIS_URL")
        for backend in [redis, known] { await backend.queue.close() }
        #endif
        for backend in [relative, again] { await backend.queue.close() }
    }
}
#endif
