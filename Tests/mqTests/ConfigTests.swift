import ArgumentParser
import Foundation
import Logging
import Messaging
import MessagingPipeline
import Testing

@testable import mq

@Suite("The configuration file")
struct ConfigTests {
    private func read(_ text: String, _ environment: [String: String] = [:]) throws(ConfigError) -> ConfigFile {
        try ConfigReader.read(text, name: "mq.yaml", environment: environment)
    }

    /// The problems as `line:column: key: message`.
    private func problems(_ text: String, _ environment: [String: String] = [:]) -> [String] {
        do throws(ConfigError) {
            _ = try read(text, environment)
            return []
        } catch {
            return error.problems.map(\.description)
        }
    }

    @Test("says everything about a pipeline")
    func everything() throws {
        let file = try read(
            """
            backend: redis
            redis_url: redis://${USER_NAME}:${PASSWORD}@10.0.0.7:6379
            pipeline:
              workers: 3
              retry: {attempts: 6, base: 1s, cap: 1m, jitter: 0.5}
              lease: 45s
              layers:
                collect:
                analysis: {workers: 4, concurrency: 32, backend: memory}
                deduplication: {retry: {backoff: fixed, delay: 3s}, run: false}
                api: {lease: 10s}
              sources:
                - statements.csv
                - {url: 'https://example.com/feed.xml', name: example, format: feed}
                - {url: 'https://example.com/b.json', every: 30s}
                - {file: more.jsonl, format: jsonl, name: more}
              every: 5m
              listen: "[::1]:8080"
              drain: 15s
              worker_prefix: a-
              log: {level: info, format: json}
            """,
            ["USER_NAME": "mq", "PASSWORD": "hunter2"]
        )
        #expect(file.values == ["backend": "redis", "redis_url": "redis://mq:hunter2@10.0.0.7:6379"])
        let pipeline = file.pipeline
        #expect(pipeline.shared.workers == 3 && pipeline.shared.attempts == 6 && pipeline.shared.lease == .seconds(45))
        #expect(pipeline.shared.backoff == .exponential(base: .seconds(1), cap: .seconds(60), jitter: 0.5))
        let layers = try #require(pipeline.layers)
        #expect(Set(layers.keys) == Set(Layer.allCases))
        #expect(layers[.analysis]?.backend == "memory" && layers[.analysis]?.concurrency == 32)
        #expect(layers[.deduplication]?.backoff == .fixed(.seconds(3)) && layers[.deduplication]?.isRun == false)
        #expect(pipeline.files.map(\.name) == [nil, "more"])
        #expect(pipeline.remotes.map(\.every) == [.seconds(300), .seconds(30)])
        #expect(pipeline.remotes.map(\.format) == [.feed, .automatic])
        #expect(pipeline.remotes.first?.name == "example")
        #expect(pipeline.listen == ListenArgument(argument: "[::1]:8080"))
        #expect(pipeline.drain == .seconds(15) && pipeline.workerPrefix == "a-")
        #expect(pipeline.logLevel == .info && pipeline.logFormat == .json)
    }

    @Test("can be JSON")
    func json() throws {
        let file = try read(#"{"backend": "redis", "redis_url": "redis://h:1", "pipeline": {"workers": 5}}"#)
        #expect(file.values == ["backend": "redis", "redis_url": "redis://h:1"])
        #expect(file.pipeline.shared.workers == 5 && file.pipeline.layers == nil)
    }

    @Test(
        "tells what is wrong with its position, its key and what is allowed",
        arguments: [
            ("backend: 1", "1:10: backend: text is expected, not a number"),
            ("bakend: redis", "1:1: unknown key 'bakend'; allowed here: backend, kafka_url, rabbitmq_url"),
            ("pipeline:\n  workers: 0", "2:12: pipeline.workers: a whole number from 1 to 100 is expected"),
            ("pipeline:\n  workers: '4'", "2:12: pipeline.workers: a whole number from 1 to 100 is expected"),
            ("pipeline: {workers: 1.5}", "1:21: pipeline.workers: a whole number from 1 to 100 is expected"),
            ("pipeline: {drain: 20}", "1:19: pipeline.drain: a duration from 0ms to 1h"),
            ("pipeline: {lease: 1ms}", "1:19: pipeline.lease: a duration from 10ms"),
            ("pipeline: []", "1:11: pipeline: a mapping with the keys layers, sources"),
            (
                "pipeline: {layers: {dedup: }}",
                "unknown key 'dedup'; allowed here: collect, analysis, deduplication, api"
            ),
            ("pipeline: {layers: {collect: {workers: 2}}}", "unknown key 'workers'; allowed here: run"),
            ("pipeline: {layers: {api: {run: maybe}}}", "pipeline.layers.api.run: true or false is expected"),
            ("pipeline: {layers: {api: {run: false}}}", "pipeline.layers: names no layer that runs"),
            ("pipeline: {layers: {api: {backend: postgres}}}", "unknown backend 'postgres'"),
            ("pipeline: {retry: {backoff: linear}}", "one of fixed, exponential is expected"),
            ("pipeline: {retry: {jitter: 2}}", "pipeline.retry.jitter: a number from 0.0 to 1.0 is expected"),
            ("pipeline: {retry: {delay: 1s}}", "pipeline.retry.delay: is only for 'backoff: fixed'"),
            ("pipeline: {retry: {base: 2m, cap: 1m}}", "pipeline.retry.base: must not be longer than 'cap'"),
            ("pipeline: {sources: a.csv}", "pipeline.sources: a list of files and URLs is expected, not text"),
            ("pipeline: {sources: [a.csv, a.csv]}", "pipeline.sources[1]: the same source is there twice"),
            (
                "pipeline: {sources: [{url: 'https://h/x', file: a}]}",
                "pipeline.sources[0]: give either 'url' or 'file'"
            ),
            ("pipeline: {sources: [{file: a, every: 5m}]}", "pipeline.sources[0].every: is only for a URL"),
            ("pipeline: {sources: [{file: a, format: feed}]}", "pipeline.sources[0].format: is only for a URL"),
            ("pipeline: {sources: ['-']}", "stdin is only for --input"),
            ("pipeline: {every: 10ms}", "pipeline.every: a duration from 1s"),
            ("pipeline: {listen: nowhere}", "pipeline.listen: HOST:PORT, such as 127.0.0.1:8080, is expected"),
            ("pipeline: {worker_prefix: 'a b'}", "pipeline.worker_prefix: letters, digits"),
            ("pipeline: {log: {level: loud}}", "pipeline.log.level: one of trace, debug"),
            ("pipeline: {log: {format: xml}}", "pipeline.log.format: one of text, json is expected"),
            ("backend: ", "1:9: backend: is empty"),
            ("redis_url: ${NOPE}", "1:12: redis_url: the environment variable NOPE is not set"),
            ("redis_url: ${NOPE", "redis_url: '${' begins a variable"),
            ("backend: memory\nbackend: redis", "'backend' is there twice"),
            ("a: [1\nb: 2", "2:2: is not valid YAML"),
            ("a: *b", "is not valid YAML: found undefined alias"),
            ("", "1:1: is empty"),
            ("[]", "1:1: a mapping with the keys backend"),
            ("--- 1\n--- 2", "is not valid YAML"),
        ]
    )
    func problem(text: String, expected: String) {
        let found = problems(text)
        #expect(found.count == 1)
        #expect(found.first?.contains(expected) == true, "\(found)")
    }

    @Test("tells everything at once, in the file's order")
    func allAtOnce() {
        let found = problems(
            """
            backend: 5
            pipeline:
              workers: none
              sources:
                - ftp://user:hunter2@h/x
              log: {level: loud, colour: red}
            """
        )
        #expect(found.map { $0.prefix { $0 != ":" } } == ["1", "3", "5", "6", "6"])
    }

    @Test(
        "never repeats a value, which may be a secret",
        arguments: [
            "backend: hunter2://x", "redis_url: [hunter2]", "pipeline: {workers: hunter2}", "hunter2",
            "pipeline: {drain: hunter2}", "pipeline: {listen: hunter2}", "pipeline: {layers: hunter2}",
            "pipeline: {sources: ['ftp://u:hunter2@h']}", "pipeline: {log: {level: hunter2}}",
            "redis://u:hunter2@h", "redis://u:hunter2@h: x", "pipeline: {worker_prefix: 'hunter2 '}",
            "redis_url: \"hunter2", "redis_url: ${hunter2 }",
        ]
    )
    func secrets(text: String) {
        let found = problems(text)
        #expect(!found.isEmpty)
        // The scheme of a URL is named, as on the command line.
        if !text.contains("hunter2:") { #expect(!"\(found)".contains("hunter2"), "\(found)") }
        let error = ConfigError(
            file: "mq.yaml",
            problems: [.init(line: 1, column: 1, key: "", message: "redis://u:hunter2@h")]
        )
        guard case .status(64, let line?) = CLIErrors.ending(error) else {
            Issue.record("another ending")
            return
        }
        #expect(line == "mq: mq.yaml:1:1: redis://***@h")
    }

    @Test(
        "puts variables in the place of their names, once",
        arguments: [
            ("${A}", "1"), ("x${A}y${B}", "x1y${A}"), ("$A", "$A"), ("$${A}", "${A}"), ("$$", "$$"), ("${E}", ""),
            ("a $ b", "a $ b"),
        ]
    )
    func expansion(text: String, expected: String) throws {
        #expect(try Expansion.expand(text, ["A": "1", "B": "${A}", "E": ""]) == expected)
    }

    @Test("refuses what is no variable", arguments: ["${", "${}", "${1}", "${a b}", "${é}"])
    func badExpansion(text: String) {
        #expect(throws: Expansion.Failure.malformed) { try Expansion.expand(text, [:]) }
    }

    @Test("takes numbers and time spans from variables")
    func typedExpansion() throws {
        let file = try read("pipeline: {workers: '${N}', drain: '${D}'}", ["N": "7", "D": "3s"])
        #expect(file.pipeline.shared.workers == 7 && file.pipeline.drain == .seconds(3))
        #expect(problems("pipeline: {workers: '${N}'}", ["N": "hunter2"]).first?.contains("hunter2") == false)
    }
}

@Suite("What runs")
struct PipelinePlanTests {
    private static let file = """
        backend: memory
        pipeline:
          workers: 3
          layers:
            analysis: {workers: 4, backend: redis}
            api: {retry: {attempts: 9}}
          sources: [a.csv, 'https://example.com/x']
          every: 1m
          drain: 5s
        """

    private func plan(
        _ arguments: [String] = [],
        backend: String? = nil,
        _ environment: [String: String] = [:],
        file: String? = PipelinePlanTests.file
    ) throws -> PipelinePlan {
        let config = try file.map { try ConfigReader.read($0, name: "mq.yaml", environment: environment) }
        return try PipelinePlan(
            PipelineOptions.parse(arguments),
            backend: backend,
            settings: Settings(environment: environment, config: config)
        )
    }

    @Test("follows the defaults without a file")
    func defaults() throws {
        let plan = try plan(file: nil)
        #expect(plan.running == Set(Layer.allCases))
        #expect(plan.layers.map(\.workers) == [2, 2, 2] && plan.layers.map(\.concurrency) == [16, 16, 16])
        #expect(plan.layers.allSatisfy { $0.retryPolicy == .default && $0.lease == .seconds(30) && $0.backend == nil })
        #expect(plan.drain == .seconds(20) && plan.workerPrefix == "worker-" && plan.listen == nil)
    }

    @Test("takes from the file what no flag says")
    func fromFile() throws {
        let plan = try plan(["--layer", "collect"])
        #expect(plan.running == [.collect])
        #expect(plan.layers.map(\.workers) == [4, 3, 3])
        #expect(plan.layers.map(\.retryPolicy.maxAttempts) == [4, 4, 9])
        #expect(plan.layers[0].backend == Settings.Value(text: "redis", source: "mq.yaml, layer analysis"))
        #expect(plan.files.map(\.path) == ["a.csv"] && plan.remotes.map(\.every) == [.seconds(60)])
        #expect(plan.drain == .seconds(5) && plan.followsFile)
    }

    @Test("runs the layers that the file names, and reads nothing without collect")
    func layers() throws {
        let plan = try plan()
        #expect(plan.running == [.analysis, .api])
        #expect(plan.files.isEmpty && plan.remotes.isEmpty)
        // A file that is given is read, or refused.
        let error = #expect(throws: CLIError.self) { try self.plan(["--input", "a.csv"]) }
        #expect(error?.status == .usage)
    }

    @Test("lets flags and the environment come first")
    func precedence() throws {
        let flags = [
            "--workers", "9", "--max-attempts", "2", "--layer", "collect", "--input", "b.csv", "--drain", "1s",
        ]
        let plan = try plan(flags)
        #expect(plan.layers.map(\.workers) == [9, 9, 9])
        #expect(plan.layers.map(\.retryPolicy.maxAttempts) == [2, 2, 2])
        #expect(plan.files.map(\.path) == ["b.csv"] && plan.remotes.isEmpty && !plan.followsFile)
        #expect(plan.drain == .seconds(1))
        #expect(try self.plan(backend: "memory").layers[0].backend == nil)
        #expect(try self.plan([], ["MQ_BACKEND": "memory"]).layers[0].backend == nil)
        let one = try self.plan(["--layer", "analysis=memory"], backend: "redis").layers[0].backend
        #expect(one == Settings.Value(text: "memory", source: "--layer analysis"))
    }

    @Test("keeps statements where it is told, and nowhere that keeps messages only")
    func stores() throws {
        #expect(try plan().stores == nil)
        let file = "pipeline: {stores: redis}"
        #expect(try plan(file: file).stores == Settings.Value(text: "redis", source: "mq.yaml"))
        let flag = try plan(["--stores", "sqlite:s.sqlite"], file: file).stores
        #expect(flag == Settings.Value(text: "sqlite:s.sqlite", source: "--stores"))
        let error = #expect(throws: CLIError.self) { try plan(["--stores", "amqp://u:hunter2@h"]) }
        #expect(error?.status == .usage)
        #expect(error.map { CLIErrors.line($0.description).contains("hunter2") } == false)
        #expect(throws: ConfigError.self) { try plan(file: "pipeline: {stores: kafka}") }
    }

    @Test("mixes files and URLs")
    func inputs() throws {
        let plan = try plan(["--input", "a.csv", "--input", "https://example.com/f", "--every", "5m"], file: nil)
        #expect(plan.files.map(\.path) == ["a.csv"])
        #expect(plan.remotes.map(\.url) == ["https://example.com/f"] && plan.remotes[0].every == .seconds(300))
        let csv = try self.plan(["--input", "x", "--input-format", "csv"], file: nil)
        #expect(csv.files.first?.format == .csv)
    }

    @Test(
        "refuses flags that make no sense",
        arguments: [
            ["--workers", "0"], ["--concurrency", "1001"], ["--lease", "1ms"], ["--max-attempts", "0"],
            ["--max-attempts", "20"],
            ["--every", "5m"], ["--input", "a.csv", "--every", "5m"], ["--input-format", "csv"],
            ["--input", "a.csv", "--input-format", "feed"], ["--input", "-", "--input", "-"],
            ["--layer", "api", "--input", "a.csv"], ["--input", "https://h", "--every", "1ms"],
            ["--input", "https://h", "--every", "1m", "--until-idle"], ["--worker-prefix", "a b"],
            ["--drain", "2h"], ["--listen", "nowhere"],
        ]
    )
    func refused(arguments: [String]) {
        #expect(throws: (any Error).self) { try PipelineOptions.parse(arguments) }
    }

    @Test("refuses to collect nothing, and what cannot be fetched, without its password")
    func unusable() {
        #expect(throws: CLIError.self) { try plan(["--layer", "collect"], file: nil) }
        let error = #expect(throws: CLIError.self) { try plan(["--input", "gopher://u:hunter2@h"], file: nil) }
        #expect(error.map { CLIErrors.line($0.description).contains("hunter2") } == false)
    }
}

@Suite("Signals")
struct SignalTests {
    @Test("drain first, end at the second, and reload only before")
    func decisions() {
        var decision = SignalDecision()
        #expect(decision.received(.hangUp) == .reload)
        #expect(decision.received(.hangUp) == .reload)
        #expect(decision.received(.end) == .drain)
        #expect(decision.received(.hangUp) == .nothing)
        #expect(decision.received(.end) == .endNow)
    }

    private func file(_ text: String) throws -> ConfigFile {
        try ConfigReader.read(text, name: "mq.yaml", environment: [:])
    }

    @Test("take over URLs and name what needs a restart")
    func reload() throws {
        let old = try file("pipeline: {workers: 2, sources: [a.csv, 'https://h/1', 'https://h/2']}")
        let new = try file(
            "pipeline: {workers: 3, listen: ':1', sources: [b.csv, 'https://h/2', {url: 'https://h/3', every: 5s}]}"
        )
        let outcome = SourceReload.decide(old, new, followsFile: true)
        #expect(outcome.remotes?.map(\.url) == ["https://h/2", "https://h/3"])
        #expect(
            outcome.notes == [
                "1 source added or changed, 1 gone or changed",
                "the files among 'pipeline.sources' have changed, which needs a restart",
                "changed and needs a restart: pipeline.listen, pipeline.workers",
            ]
        )
        #expect(SourceReload.decide(old, old, followsFile: true).remotes == nil)
        let flags = SourceReload.decide(old, new, followsFile: false)
        #expect(flags.remotes == nil && flags.notes.first?.contains("--input gave them") == true)
        let slower = try file("pipeline: {workers: 2, every: 9s, sources: [a.csv, 'https://h/1', 'https://h/2']}")
        #expect(SourceReload.decide(old, slower, followsFile: true).remotes?.first?.every == .seconds(9))
        #expect(SourceReload.decide(old, slower, followsFile: true).notes.count == 1)
    }
}
