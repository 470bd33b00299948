import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingPipeline
import MessagingRedis
import TestSupport
import Testing

/// The command line against a live Redis: what a user does, and what a user gets wrong.
@Suite(
    "The command line on Redis",
    .enabled(if: PrivateRedis.isInstalled, "redis-server is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(3))
)
struct CommandLineTests {
    private func mq(_ server: PrivateRedis, _ arguments: String..., input: String? = nil) async throws
        -> MQProcess.Outcome
    {
        try await MQProcess.run(arguments + ["--backend", server.url], input: input)
    }

    private func objects(_ outcome: MQProcess.Outcome) throws -> [[String: Any]] {
        try outcome.output.split(separator: "\n").compactMap {
            try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
        }
    }

    @Test func publishConsumeStatus() async throws {
        let server = try PrivateRedis()
        let lines = (0..<1200).map { "line \($0)" }.joined(separator: "\n") + "\n"
        let published = try await mq(server, "publish", "orders", "-", "--create", "--group", "g", input: lines)
        #expect(published.status == 0, "\(published.errors)")
        #expect(published.output.split(separator: "\n").count == 1200)
        let status = try #require(try objects(try await mq(server, "status", "--json")).first)
        #expect("\(status)".contains("1200"))
        let consumed = try await mq(server, "consume", "orders", "--group", "g", "--count", "1200", "--wait", "5s")
        #expect(consumed.output == lines)
        let nothing = try await mq(server, "consume", "orders", "--group", "g", "--wait", "100ms")
        #expect(nothing.status == 0 && nothing.output.isEmpty)
    }

    /// A handler that fails three times goes to the dead letters with reason, error and history; `mq dlq list` shows
    /// it, `mq dlq redrive` sends it through again.
    @Test func deadLettersAndRedrive() async throws {
        let server = try PrivateRedis()
        let queue = RedisQueue(try RedisConfiguration(url: server.url), logger: .init(label: "test"))
        try await queue.declare(QueueDefinition("orders", groups: [GroupDefinition("g")]))
        try await queue.publish(Message(text: "fragile", id: "f1"), to: "orders")
        struct Broken: Error, CustomStringConvertible { let description = "the press is jammed" }
        let policy = RetryPolicy(maxAttempts: 3, backoff: .fixed(.milliseconds(50)))
        let worker = Worker(
            queue: queue,
            from: "orders",
            group: "g",
            consumer: "w",
            configuration: WorkerConfiguration(retryPolicy: policy),
            logger: .init(label: "test")
        ) { _ in throw Broken() }
        let working = Task { try await worker.run() }
        #expect(try await eventually { try await queue.statistics(of: "orders")["g"]?.dead.value == 1 })
        worker.stop()
        try await working.value
        await queue.close()

        let list = try await mq(server, "dlq", "list", "orders")
        #expect(list.output.contains("f1") && list.output.contains("attempts-exhausted"))
        #expect(list.output.contains("the press is jammed"))
        let document = try #require(try objects(try await mq(server, "dlq", "list", "orders", "--json")).first)
        let letter = try #require((document["dead_letters"] as? [[String: Any]])?.first)
        #expect(letter["attempts"] as? Int == 3)
        #expect((letter["history"] as? [Any])?.count == 3)
        let id = try #require(letter["id"] as? String)

        let refused = try await mq(server, "dlq", "redrive", "orders", "--all")
        #expect(refused.status == 5)
        #expect(try await mq(server, "dlq", "redrive", "orders", "no-such-id").status == 4)
        let redriven = try await mq(server, "dlq", "redrive", "orders", id)
        #expect(redriven.status == 0, "\(redriven.errors)")
        let again = try objects(try await mq(server, "consume", "orders", "--group", "g", "--count", "1", "--json"))
        #expect(again.first?["body"] as? String == "fragile")
        #expect(again.first?["attempt"] as? Int == 1 && again.first?["redrives"] as? Int == 1)
        #expect(try await mq(server, "dlq", "redrive", "orders", "--all", "--yes").status == 4)
    }

    // MARK: - Bad input

    /// One line that names what to do, the right exit code, no trace and no password.
    private func check(_ outcome: MQProcess.Outcome, _ status: Int32, _ words: String...) {
        let errors = outcome.errors
        #expect(outcome.status == status, "\(outcome.status): \(errors)")
        #expect(errors.split(separator: "\n").count == 1, "\(errors)")
        #expect(errors.hasPrefix("mq: "))
        #expect(!errors.contains("hunter2") && !errors.contains("Fatal") && !errors.contains("0x"))
        for word in words { #expect(errors.localizedCaseInsensitiveContains(word), "'\(word)' is not in: \(errors)") }
    }

    @Test func badConnections() async throws {
        let port = try PrivateRedis.freePort()
        let unreachable = "redis://user:hunter2@127.0.0.1:\(port)"
        check(try await MQProcess.run(["status", "--backend", unreachable]), 6, "127.0.0.1:\(port)", "refused")
        check(
            try await MQProcess.run(["pipeline", "run", "--backend", unreachable, "--until-idle"]),
            6,
            "127.0.0.1:\(port)"
        )
        let server = try PrivateRedis(["--requirepass", "right"])
        check(
            try await MQProcess.run(["status", "--backend", "redis://:hunter2@127.0.0.1:\(server.port)"]),
            1,
            "password"
        )
        check(try await MQProcess.run(["status", "--backend", "gopher://user:hunter2@host"]), 64, "gopher")
    }

    @Test func badQueuesAndBodies() async throws {
        let server = try PrivateRedis()
        try server.cli("SET", "taken", "by another program")
        check(try await mq(server, "publish", "taken", "x", "--create"), 1, "taken", "string")
        #expect(try server.cli("GET", "taken") == "by another program")
        try server.cli("SET", "queue:analysis", "by another program")
        check(try await mq(server, "pipeline", "run", "--until-idle"), 1, "queue:analysis", "string")
        check(try await mq(server, "publish", "two words", "x", "--create"), 64, "a space")
        check(try await mq(server, "publish", "missing", "x"), 4, "missing")
        check(try await mq(server, "consume", "missing", "--group", "g"), 4, "missing")

        let folder = FileManager.default.temporaryDirectory.appending(path: "mq-bad-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let big = folder.appending(path: "big")
        try Data(count: 100 << 20).write(to: big)
        let large = try await mq(server, "publish", "orders", "--file", big.path, "--create")
        #expect(large.status == 1 && large.errors.contains("104857600"), "\(large.errors)")
        #expect(try server.cli("XLEN", "orders") == "0")
        // Any bytes are a body; what is not UTF-8 is shown as base64.
        let odd = folder.appending(path: "odd")
        try Data([0xFF, 0x00, 0xFE]).write(to: odd)
        #expect(try await mq(server, "publish", "orders", "--file", odd.path, "--create", "--group", "g").status == 0)
        let taken = try objects(try await mq(server, "consume", "orders", "--group", "g", "--count", "1", "--json"))
        #expect(taken.first?["body_base64"] as? String == "/wD+")
    }

    @Test func badInputFiles() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mq-bad-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func run(_ path: String) async throws -> MQProcess.Outcome {
            try await MQProcess.run(["pipeline", "run", "--until-idle", "--input", path, "--json"])
        }
        check(try await run(folder.path + "/nowhere.csv"), 4, "nowhere.csv")
        check(try await run(folder.path), 1, "folder")
        let broken = folder.appending(path: "broken.csv")
        try Data("id;words\n1;x\n".utf8).write(to: broken)
        let unusable = try await run(broken.path)
        #expect(unusable.status == 1 && unusable.errors.contains("broken.csv"), "\(unusable.errors)")
        // Invalid UTF-8 in one record: reported with its position, and the rest goes on.
        let mixed = folder.appending(path: "mixed.csv")
        try
            (Data("id,created_at,text\n1,2026-01-01,good one here\n2,2026-01-01,\"".utf8) + Data([0xFF, 0xFE])
            + Data("\"\n3,2026-01-01,another good one\n".utf8)).write(to: mixed)
        let partly = try await run(mixed.path)
        #expect(partly.status == 0)
        #expect(partly.errors.contains("mixed.csv:3"), "\(partly.errors)")
        #expect(try objects(partly).first?["collected"] as? Int == 2)
    }

    @Test func theAPI() async throws {
        let harness = try await PipelineHarness(.redis, statements: 50)
        defer { harness.remove() }
        guard case .redis(let server) = harness.place else { return }
        let port = try PrivateRedis.freePort()
        let child = try MQProcess([
            "pipeline", "run", "--backend", harness.place.url, "--input", harness.input.path, "--listen",
            "127.0.0.1:\(port)",
        ])
        func get(_ path: String) async throws -> (Int, [String: Any]) {
            let url = try #require(URL(string: "http://127.0.0.1:\(port)\(path)"))
            let process = try MQProcess(
                ["-s", "-m", "5", "-w", "\n%{http_code}", url.absoluteString],
                program: URL(filePath: "/usr/bin/curl")
            )
            let lines = await process.wait(atMost: 10).output.split(separator: "\n")
            let body = try JSONSerialization.jsonObject(with: Data((lines.first ?? "{}").utf8)) as? [String: Any]
            return (lines.last.flatMap { Int($0) } ?? 0, body ?? [:])
        }
        let unique = harness.expected.count { $0.duplicateOf == nil }
        #expect(
            try await eventually(within: .seconds(20)) {
                ((try? await get("/stats"))?.1["unique"] as? Int) == unique
            }
        )
        let health = try await get("/health")
        #expect(health.0 == 200 && health.1["status"] as? String == "ok")
        let page = try await get("/statements?limit=3")
        #expect((page.1["items"] as? [Any])?.count == 3 && page.1["next_cursor"] is String)
        #expect(try await get("/statements/s0").0 == 200)
        #expect(try await get("/statements/none").0 == 404)
        // The broker goes away: the health check says so, and the statement service ends cleanly all the same.
        server.crash()
        #expect(try await eventually(within: .seconds(20)) { (try? await get("/health"))?.0 == 503 })
        try server.start()
        #expect(try await eventually(within: .seconds(20)) { (try? await get("/health"))?.0 == 200 })
        child.signal(SIGTERM)
        #expect(await child.wait(atMost: 60).status == 0)
    }
}
