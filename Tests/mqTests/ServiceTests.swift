import Foundation
import Subprocess
import TestSupport
import Testing

@testable import mq

/// The real program as a service: signals, configuration, logs.
@Suite("The pipeline as a service", .timeLimit(.minutes(2)))
struct ServiceTests {
    /// What a run has written when it has ended.
    struct Ended {
        let status: TerminationStatus
        let lines: [String]

        /// The messages of the lines, each of which must be a JSON object.
        func messages() throws -> [String] {
            try lines.map { line in
                let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
                return try #require(object?["message"] as? String, "no JSON record: \(line)")
            }
        }
    }

    /// Runs `mq pipeline run` and does something after each line of stderr.
    private func service(
        _ arguments: [String],
        environment: [String: String] = [:],
        _ react: @escaping @Sendable (String, ProcessIdentifier) throws -> Void
    ) async throws -> Ended {
        var variables: [Environment.Key: String] = ["PATH": try MQBinary.folder()]
        for (name, value) in environment { variables[Environment.Key(stringLiteral: name)] = value }
        let (lines, status) = try await withLines(arguments, variables, react)
        return Ended(status: status, lines: lines)
    }

    private func withLines(
        _ arguments: [String],
        _ variables: [Environment.Key: String],
        _ react: @escaping @Sendable (String, ProcessIdentifier) throws -> Void
    ) async throws -> ([String], TerminationStatus) {
        let result = try await Subprocess.run(
            .name("mq"),
            arguments: Arguments(["pipeline", "run"] + arguments),
            environment: .custom(variables),
            input: .none,
            output: .discarded,
            error: .sequence
        ) { execution in
            var lines: [String] = []
            for try await line in execution.standardError.strings() {
                let text = line.trimmingCharacters(in: .newlines)
                if text.isEmpty { continue }
                lines.append(text)
                try react(text, execution.processIdentifier)
            }
            return lines
        }
        return (result.closureResult, result.terminationStatus)
    }

    private static func send(_ signal: Int32, _ process: ProcessIdentifier) { kill(process.value, signal) }

    private func config(_ extra: String = "", sources: String = "[]") -> String {
        """
        backend: memory
        pipeline:
          listen: 127.0.0.1:0
          drain: 5s
          log: {format: json}
          sources: \(sources)
        \(extra)
        """
    }

    @Test("drains on the first signal, and every line of stderr is a JSON object", arguments: [SIGINT, SIGTERM])
    func drains(signal: Int32) async throws {
        let file = try TemporaryFile(config())
        let ended = try await service(["--config", file.path]) { line, process in
            if line.contains("serving statements") { Self.send(signal, process) }
        }
        #expect(ended.status == .exited(0))
        let messages = try ended.messages()
        #expect(messages.contains { $0.hasPrefix(signal == SIGINT ? "SIGINT: " : "SIGTERM: ") })
    }

    @Test("ends at once on the second signal and says so")
    func second() async throws {
        // Both signals wait while the process is stopped, so the second one comes before the drain is over.
        let file = try TemporaryFile(config("  worker_prefix: a-"))
        let ended = try await service(["--config", file.path, "--log-level", "debug"]) { line, process in
            if line.contains("serving statements") {
                Self.send(SIGSTOP, process)
                Self.send(SIGTERM, process)
                Self.send(SIGINT, process)
                Self.send(SIGCONT, process)
            }
        }
        #expect([.exited(128 + SIGINT), .exited(128 + SIGTERM)].contains(ended.status))
        #expect(try ended.messages().last?.contains("again: ended before the drain was over") == true)
    }

    @Test("reads the sources again on SIGHUP, keeps them when the file is broken, and names what needs a restart")
    func reload() async throws {
        let first = config(sources: "['http://127.0.0.1:1/a']")
        let file = try TemporaryFile(first)
        let second = config("  workers: 5", sources: "['http://127.0.0.1:1/a', 'http://127.0.0.1:1/b']")
        let ended = try await service(["--config", file.path]) { line, process in
            if line.contains("serving statements") {
                try Data("backend: memory\npipeline: {workers: hunter2}".utf8).write(to: URL(filePath: file.path))
                Self.send(SIGHUP, process)
            } else if line.contains("pipeline.workers: a whole number") {
                try Data(second.utf8).write(to: URL(filePath: file.path))
                Self.send(SIGHUP, process)
            } else if line.contains("needs a restart") {
                Self.send(SIGTERM, process)
            }
        }
        #expect(ended.status == .exited(0))
        let messages = try ended.messages()
        #expect(messages.contains { $0.contains("is not taken over; the sources stay as they were") })
        #expect(messages.contains { $0.contains(":2:21: pipeline.workers: a whole number from 1 to 100") })
        #expect(messages.contains("SIGHUP: 1 source added or changed, 0 gone or changed"))
        #expect(messages.contains("SIGHUP: changed and needs a restart: pipeline.workers"))
        #expect(!messages.joined().contains("hunter2"))
    }

    @Test("says what a configuration comes to, without connecting and without credentials")
    func check() async throws {
        let text = """
            backend: redis://mq:hunter2@127.0.0.1:1
            pipeline:
              layers: {analysis: {workers: 7}}
              sources: ['https://u:${SECRET}@example.com/feed?key=hunter2']
            """
        let file = try TemporaryFile(text)
        let result = try await MQBinary.run(
            "pipeline",
            "check",
            "--config",
            file.path,
            "--layer",
            "collect",
            "--layer",
            "analysis",
            environment: ["SECRET": "hunter2", "MQ_BACKEND": ""]
        )
        #expect(result.status == .exited(0))
        #expect(result.output.contains("analysis\tyes\tqueue:analysis\tredis://***@127.0.0.1:1\t"))
        #expect(result.output.contains("https://***@example.com/feed?***"))
        #expect(!(result.output + result.error).contains("hunter2"))
        let missing = try await MQBinary.run("pipeline", "check", "--config", file.path)
        #expect(missing.status == .exited(64))
        #expect(
            missing.error == "mq: \(file.path):4:13: pipeline.sources[0]: the environment variable SECRET is not set\n"
        )
    }

    @Test("tells every problem of a configuration on a line of its own")
    func problems() async throws {
        let file = try TemporaryFile("backend: 1\npipeline: {workers: 0, drain: x}\n")
        for command in ["run", "check"] {
            let result = try await MQBinary.run("pipeline", command, "--config", file.path)
            #expect(result.status == .exited(64))
            #expect(result.errorLines.count == 3)
            #expect(result.errorLines.allSatisfy { $0.hasPrefix("mq: \(file.path):") })
        }
        let json = try await MQBinary.run("status", "--config", file.path, "--log-format", "json")
        #expect(json.errorLines.count == 3 && json.errorLines.allSatisfy { $0.hasPrefix("{\"ts\":") })
    }

    @Test("finds its configuration in the working directory, YAML first")
    func found() {
        #expect(Settings.fileNames == ["mq.yaml", "mq.yml", "mq.json"])
        #expect(Settings.configPath("a", ["MQ_CONFIG": "b"]) == "a")
        #expect(Settings.configPath(nil, ["MQ_CONFIG": "b"]) == "b")
    }

    @Test("writes completions that a shell can read", arguments: ["bash", "zsh", "fish"])
    func completions(shell: String) async throws {
        let result = try await MQBinary.run("--generate-completion-script", shell)
        #expect(result.status == .exited(0))
        for word in ["pipeline", "redrive", "log-format", "deduplication"] { #expect(result.output.contains(word)) }
    }

    @Test("offers nothing, quietly and soon, when the backend cannot be asked")
    func queueNames() async {
        let nowhere = ["mq", "status", "--backend", "redis://127.0.0.1:1", ""]
        #expect(await QueueCompletion.names(nowhere, "").isEmpty)
        #expect(await QueueCompletion.names(["mq", "status", "--backend=nonsense", ""], "").isEmpty)
        #expect(QueueCompletion.option("--backend", ["mq", "--backend='a b'"]) == "a b")
        #expect(QueueCompletion.option("--backend", ["mq", "--backend"]) == nil)
    }
}
