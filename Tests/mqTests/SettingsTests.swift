import Foundation
import Logging
import Messaging
import Testing

@testable import mq

@Suite("Settings and backends")
struct SettingsTests {
    @Test("prefer the flag, then the environment, then the file, then memory")
    func precedence() throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let file = Settings(file: ["backend": "memory"], fileName: "my.json")
        let both = Settings(environment: ["MQ_BACKEND": "memory"], file: ["backend": "kafka"])
        #expect(try Backends.open("memory", settings: both, logger: logger).source == "--backend")
        #expect(try Backends.open(nil, settings: both, logger: logger).source == "MQ_BACKEND")
        #expect(try Backends.open(nil, settings: file, logger: logger).source == "my.json")
        let empty = Settings(environment: ["MQ_BACKEND": ""])
        #expect(try Backends.open(nil, settings: empty, logger: logger).source == "the default")
    }

    #if Redis
    @Test("take the address of a short name from the settings, and show it without credentials")
    func redis() async throws {
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let settings = Settings(environment: ["MQ_REDIS_URL": "redis://user:hunter2@10.0.0.7:6380/2"])
        let named = try Backends.open("redis", settings: settings, logger: logger)
        #expect(named.description == "redis://10.0.0.7:6380/2")
        #expect(named.source == "MQ_REDIS_URL")
        let url = try Backends.open("rediss://[::1]:1", settings: settings, logger: logger)
        #expect(url.description == "rediss://[::1]:1")
        let local = try Backends.open("redis", settings: Settings(), logger: logger)
        #expect(local.description == "redis://127.0.0.1:6379")
        for backend in [named, url, local] { await backend.queue.close() }
    }
    #endif

    @Test("come from the file that --config or MQ_CONFIG names")
    func file() throws {
        let file = try TemporaryFile(#"{"backend": "redis", "redis_url": "redis://h:1"}"#)
        let named = try Settings.load(path: file.path, environment: [:])
        #expect(named.value("redis_url") == Settings.Value(text: "redis://h:1", source: file.path))
        let variable = try Settings.load(path: nil, environment: ["MQ_CONFIG": file.path, "MQ_BACKEND": "memory"])
        #expect(variable.value("backend") == Settings.Value(text: "memory", source: "MQ_BACKEND"))
    }

    @Test(
        "refuse a file with something else in it, without repeating it",
        arguments: ["", "[]", #"{"backend": 1}"#, #"{"redis_ulr": "redis://u:hunter2@h"}"#, "redis://u:hunter2@h"]
    )
    func brokenFile(content: String) throws {
        let file = try TemporaryFile(content)
        let error = #expect(throws: ConfigError.self) { try Settings.load(path: file.path, environment: [:]) }
        #expect(error?.problems.count == 1)
        #expect(error?.lines.joined().contains("hunter2") == false)
    }

    @Test(
        "hide credentials in any text",
        arguments: [
            ("cannot reach redis://u:p@h:1/2", "cannot reach redis://***@h:1/2"),
            ("'redis://u:p/q@h' is bad", "'redis://***@h' is bad"),
            ("redis://h:1?password=x", "redis://h:1?***"),
            ("redis://u:p@q@h:1", "redis://***@h:1"),
            ("got u:p@h", "got ***@h"),
            ("queue 'a:b': fine", "queue 'a:b': fine"),
            ("redis://h:1/2 is fine", "redis://h:1/2 is fine"),
        ]
    )
    func redacted(text: String, expected: String) { #expect(Redacted.text(text) == expected) }
}

@Suite("Errors")
struct ErrorTests {
    @Test("end with the code of their kind and in one line")
    func codes() {
        let codes: [(QueueError.Code, Int32)] = [
            (.unavailable, 6), (.authentication, 1), (.permissionDenied, 1), (.notFound, 4), (.invalidName, 64),
            (.invalidArgument, 64), (.topologyConflict, 1), (.unsupported, 1), (.indeterminate, 1), (.brokerError, 1),
        ]
        for (code, status) in codes {
            let ending = CLIErrors.ending(QueueError(code, "it\nbroke at redis://u:p@h", queue: "q"))
            guard case .status(status, let line?) = ending else {
                Issue.record("\(code) ended as \(ending)")
                continue
            }
            #expect(line.hasPrefix("mq: queue 'q': it broke at redis://***@h"))
            #expect(line.contains("; ") || code == .brokerError)
        }
    }

    @Test("say what to do in the words of the command line")
    func advice() {
        let missing = QueueError(.notFound, "there is no such queue; declare it first", queue: "q")
        #expect(
            CLIErrors.text(missing)
                == "queue 'q': there is no such queue; 'mq status' lists what there is, and --create makes a queue or group"
        )
        let full = QueueError(.queueFull, "it is full; raise the bound")
        #expect(CLIErrors.text(full) == "it is full; raise the bound")
    }

    @Test("are silent when nobody reads the output any more")
    func closedOutput() { #expect(CLIErrors.ending(ClosedOutput()) == .status(0, nil)) }
}

/// A file that goes when the test ends.
final class TemporaryFile: Sendable {
    let path: String

    init(_ content: String) throws {
        path = FileManager.default.temporaryDirectory.appending(path: "mq-test-\(UUID().uuidString).json").path()
        try Data(content.utf8).write(to: URL(filePath: path))
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}
