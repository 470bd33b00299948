import Foundation
import Subprocess
import Testing

@Suite("The command line")
struct CommandLineTests {
    /// Nothing listens on the first port.
    static let nowhere = "redis://user:hunter2@127.0.0.1:1"

    @Test(
        "explains every command with examples",
        arguments: [
            ["publish"], ["consume"], ["status"], ["dlq"], ["dlq", "list"], ["dlq", "show"], ["dlq", "redrive"],
            ["dlq", "discard"], ["delete"], ["backends"], ["doctor"],
        ]
    )
    func help(command: [String]) async throws {
        let result = try await MQBinary.run(all: command + ["--help"])
        #expect(result.status == .exited(0))
        #expect(result.output.contains("EXAMPLES:"))
        #expect(result.output.contains("  mq \(command.joined(separator: " ")) ") || command == ["dlq"])
        #expect(result.error.isEmpty)
    }

    @Test("shows help and version of itself")
    func root() async throws {
        #expect(try await MQBinary.run("--version").output == "0.1.0\n")
        let help = try await MQBinary.run()
        #expect(help.status == .exited(0))
        #expect(help.output.contains("EXIT CODES:"))
    }

    @Test(
        "ends bad usage with 64 and one line",
        arguments: [
            (["frobnicate"], "Unexpected argument 'frobnicate'"),
            (["publish"], "Missing expected argument '<queue>'"),
            (["publish", "orders"], "nothing to publish"),
            (["publish", "my orders", "x"], "contains a space"),
            (["publish", "orders", "x", "--delay", "5x"], "a duration is a number with a unit"),
            (["publish", "orders", "x", "--at", "tomorrow"], "a time is ISO 8601"),
            (["publish", "orders", "x", "--header", "novalue"], "a header is name=value"),
            (["publish", "orders", "x", "y", "--id", "1"], "--id is for a single message"),
            (["consume", "orders"], "Missing expected argument '--group"),
            (["consume", "orders", "--group", "a b"], "contains a space"),
            (["consume", "orders", "--group", "g", "--count", "0"], "--count must be at least 1"),
            (["dlq", "redrive", "orders"], "give ids of dead letters, a filter or --all"),
            (["dlq", "discard", "orders", "1-0", "--all"], "either ids, or a filter or --all"),
            (["status", "--log-level", "loud"], "a level is one of"),
            (["status", "--log-format", "xml"], "'xml' is invalid for '--log-format"),
            (["status", "--every", "5s"], "--every and --count need --watch"),
            (["status", "--watch", "--every", "1ms"], "--every must be at least 100ms"),
            (["status", "--watch", "--count", "0"], "--count must be at least 1"),
            (["pipeline", "run", "--input", "ftp://h/x"], "cannot be used"),
            (["status", "--backend", "amqq://h"], "unknown scheme 'amqq://'"),
            (["status", "--backend", "postgres"], "unknown backend 'postgres'"),
            (["status", "--backend", "sqlite:///tmp/x?what=1"], "the SQLite URL cannot be used"),
        ]
    )
    func usage(arguments: [String], message: String) async throws {
        let result = try await MQBinary.run(all: arguments)
        #expect(result.status == .exited(64))
        #expect(result.errorLines.count == 1)
        #expect(result.error.hasPrefix("mq: "))
        #expect(result.error.contains(message))
        #expect(result.output.isEmpty)
    }

    #if Redis
    @Test(
        "ends with 6 and names the place when the broker is unreachable",
        arguments: [
            ["publish", "orders", "x"], ["publish", "orders", "x", "--create"], ["consume", "orders", "--group", "g"],
            ["status"], ["status", "orders"], ["dlq", "list", "orders"], ["dlq", "show", "orders", "1-0"],
            ["dlq", "redrive", "orders", "--all"], ["dlq", "discard", "orders", "1-0"],
        ]
    )
    func unreachable(arguments: [String]) async throws {
        let result = try await MQBinary.run(all: arguments + ["--backend", Self.nowhere])
        #expect(result.status == .exited(6))
        #expect(result.errorLines.count == 1)
        #expect(result.error.contains("127.0.0.1:1"))
        #expect(!result.error.contains("hunter2"))
        #expect(result.output.isEmpty)
    }

    @Test("ends the doctor with 6 and says which check failed")
    func unreachableDoctor() async throws {
        let result = try await MQBinary.run("doctor", environment: ["MQ_BACKEND": Self.nowhere])
        #expect(result.status == .exited(6))
        #expect(result.output.contains("chosen by MQ_BACKEND"))
        #expect(result.output.contains("fail  reachable"))
        #expect(!(result.output + result.error).contains("hunter2"))
    }

    @Test(
        "never repeats a password of a broken URL",
        arguments: [
            "redis://user:hunter2@host:99999", "redis://user:hunter2@host/db", "redis://user:hun/hunter2@host",
            "redis://user:hun?hunter2@host", "redis://user:%hunter2@host", "foo://user:hunter2@host",
            "user:hunter2@host", "hunter2://x@host:1:2", "redis://user:hunter2@[::1", "redis:/user:hunter2@host",
        ]
    )
    func brokenURL(url: String) async throws {
        let result = try await MQBinary.run("status", "--backend", url)
        #expect(result.status == .exited(64))
        #expect(result.errorLines.count == 1)
        #expect(!result.error.contains("user:"))
        #expect(!result.error.contains("hunter2") || url.hasPrefix("hunter2://"))
    }
    #endif

    @Test("says which file is missing")
    func missingFile() async throws {
        let result = try await MQBinary.run("publish", "orders", "--file", "/nowhere/body.json")
        #expect(result.status == .exited(1))
        #expect(result.error == "mq: the file '/nowhere/body.json' does not exist; check --file\n")
        let config = try await MQBinary.run("status", "--config", "/nowhere/mq.json")
        #expect(config.status == .exited(1))
        #expect(config.errorLines.count == 1)
    }

    @Test("publishes on memory and says that it ends with the process")
    func publishOnMemory() async throws {
        let result = try await MQBinary.run("publish", "orders", "one", "two", "--create", "--json")
        #expect(result.status == .exited(0))
        let lines = result.output.split(separator: "\n")
        #expect(lines.count == 2)
        for line in lines {
            let object = try JSONDecoder().decode([String: String?].self, from: Data(line.utf8))
            #expect(object["outcome"] == "accepted")
            #expect(object["queue"] == "orders")
        }
        #expect(result.error.contains("ends with this process"))
        let quiet = try await MQBinary.run("publish", "orders", "one", "--create", "--quiet")
        #expect(quiet.output.isEmpty && quiet.error.isEmpty)
    }

    @Test("publishes the lines of stdin")
    func publishLines() async throws {
        let input = (1...1200).map { "line \($0)" }.joined(separator: "\n")
        let result = try await MQBinary.run("publish", "orders", "-", "--create", input: input)
        #expect(result.status == .exited(0))
        #expect(result.output.split(separator: "\n").count == 1200)
        #expect(result.error.contains("1200 accepted"))
    }

    @Test("ends with 1 when nothing was published")
    func refused() async throws {
        let result = try await MQBinary.run("publish", "orders", "x", "--create", "--header", "mq-own=1")
        #expect(result.status == .exited(1))
        #expect(result.output.hasPrefix("refused\t"))
        #expect(result.error.contains("mq-own"))
    }

    @Test("ends with 4 when the queue does not exist")
    func notFound() async throws {
        let result = try await MQBinary.run("publish", "orders", "x", "--quiet")
        #expect(result.status == .exited(4))
        #expect(result.errorLines.count == 1)
        #expect(result.error.contains("--create"))
    }

    @Test("consumes nothing from an empty queue and ends")
    func consumeNothing() async throws {
        let result = try await MQBinary.run("consume", "orders", "--group", "g", "--create", "--wait", "10ms")
        #expect(result.status == .exited(0))
        #expect(result.output.isEmpty)
    }

    @Test("ends well when it is interrupted, on both signals", arguments: [Signal.interrupt, .terminate])
    func interrupted(signal: Signal) async throws {
        let status = try await MQBinary.run(
            "consume",
            "orders",
            "--group",
            "g",
            "--create",
            "--follow",
            sending: signal,
            after: "created"
        )
        #expect(status == .exited(0))
    }

    #if SQLite
    @Test("keeps queues in a file when nothing else was chosen, and makes the file only to publish")
    func defaultBackend() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mq-default-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let environment = ["MQ_BACKEND": "", "MQ_SQLITE_URL": "sqlite://\(folder)/mq.sqlite"]
        let none = try await MQBinary.run("status", environment: environment)
        #expect(none.status == .exited(4))
        #expect(none.error.contains("there is no file '\(folder)/mq.sqlite'"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
        let published = try await MQBinary.run(
            "publish",
            "orders",
            "one",
            "two",
            "--create",
            "--group",
            "billing",
            environment: environment
        )
        #expect(published.status == .exited(0))
        let consumed = try await MQBinary.run(
            "consume",
            "orders",
            "--group",
            "billing",
            "--count",
            "1",
            environment: environment
        )
        #expect(consumed.output == "one\n")
        let status = try await MQBinary.run("status", "orders", "--json", environment: environment)
        #expect(status.output.contains("\"backend\":\"sqlite:\(folder)/mq.sqlite\""), "\(status.output)")
        #expect(status.output.contains("\"ready\":1"), "\(status.output)")
    }
    #endif

    #if SQLite
    @Test("deletes a queue when it is told so, and says what it had")
    func deletes() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mq-delete-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = ["--backend", "sqlite:\(folder.path)/mq.sqlite"]
        _ = try await MQBinary.run(all: ["publish", "orders", "one", "two", "--create", "--group", "g"] + file)
        let preview = try await MQBinary.run(all: ["delete", "orders", "--dry-run", "--json"] + file)
        #expect(preview.status == .exited(0))
        #expect(preview.output.contains("\"done\":false") && preview.output.contains("\"ready\""))
        let unsure = try await MQBinary.run(all: ["delete", "orders"] + file)
        #expect(unsure.status == .exited(5))
        #expect(unsure.error.contains("nothing was deleted; give --yes"))
        #expect(try await MQBinary.run(all: ["status", "orders"] + file).status == .exited(0))
        let done = try await MQBinary.run(all: ["delete", "orders", "--yes"] + file)
        #expect(done.status == .exited(0) && done.error.contains("deleted 'orders'"))
        #expect(try await MQBinary.run(all: ["delete", "orders", "--yes"] + file).status == .exited(4))
    }
    #endif

    @Test("says that there are no queues")
    func noQueues() async throws {
        let text = try await MQBinary.run("status")
        #expect(text.status == .exited(0))
        #expect(text.output.isEmpty)
        #expect(text.error.contains("no queues on memory"))
        let json = try await MQBinary.run("status", "--json")
        #expect(json.output == "{\"schema_version\":1,\"backend\":\"memory\",\"queues\":[]}\n")
    }

    @Test("describes the backends as JSON")
    func backends() async throws {
        struct Document: Decodable {
            struct Backend: Decodable {
                let name: String
                let in_this_build: Bool
                let reachable: Bool
            }
            let schema_version: Int
            let backends: [Backend]
        }
        let result = try await MQBinary.run(
            "backends",
            "--json",
            environment: ["MQ_REDIS_URL": Self.nowhere, "MQ_RABBITMQ_URL": "amqp://user:hunter2@127.0.0.1:1"]
        )
        #expect(result.status == .exited(0))
        #expect(!result.output.contains("hunter2"))
        let document = try JSONDecoder().decode(Document.self, from: Data(result.output.utf8))
        #expect(document.schema_version == 1)
        #expect(document.backends.map(\.name) == ["memory", "sqlite", "redis", "rabbitmq", "kafka"])
        #expect(document.backends.map(\.reachable) == [true, true, false, false, false])
        #expect(document.backends.first?.in_this_build == true)
    }

    @Test("checks a backend and a round trip")
    func doctor() async throws {
        let result = try await MQBinary.run("doctor", "--round-trip")
        #expect(result.status == .exited(0))
        #expect(result.output.contains("warn  durability"))
        #expect(result.output.contains("ok    round trip"))
        #expect(!result.output.contains("\u{1B}"))
    }
}
