import Foundation
import Logging
import Synchronization
import Testing

@testable import mq

@Suite("Structured logs")
struct LoggingTests {
    private func object(_ line: [UInt8]) throws -> [String: Any] {
        #expect(line.last == 0x0A && line.count { $0 == 0x0A } == 1)
        return try #require(try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
    }

    @Test("are one JSON object a line, whatever is in them")
    func line() throws {
        let text = "a \"quoted\"\nline with \\ and \u{1} and \u{2028} and 🦉"
        let record = LogRecord(
            date: Date(timeIntervalSince1970: 1_900_000_000.1234),
            level: .warning,
            label: "mq",
            message: text,
            metadata: [
                "plain": "x\ty",
                "number": .stringConvertible(5),
                "nested": ["list": .array(["a", .dictionary(["b": "c"])])],
            ],
            error: "it broke"
        )
        let object = try object(record.line)
        #expect(object["ts"] as? String == "2030-03-17T17:46:40.123Z")
        #expect(object["level"] as? String == "warning" && object["label"] as? String == "mq")
        #expect(object["message"] as? String == text)
        #expect(object["error"] as? String == "it broke")
        let metadata = try #require(object["metadata"] as? [String: Any])
        #expect(metadata["plain"] as? String == "x\ty" && metadata["number"] as? String == "5")
        let list = (metadata["nested"] as? [String: Any])?["list"] as? [Any]
        #expect(list?.first as? String == "a" && (list?.last as? [String: String]) == ["b": "c"])
        #expect(record.line == record.line)
    }

    @Test("hold no credentials")
    func credentials() throws {
        let record = LogRecord(
            level: .error,
            label: "mq",
            message: "cannot reach redis://user:hunter2@h:1",
            metadata: [
                "url": "https://user:hunter2@h/x?token=hunter2", "list": ["redis://:hunter2@h"], "password": "hunter2",
                "nested": ["accessToken": "hunter2"],
            ],
            error: "user:hunter2@h"
        )
        #expect(!String(decoding: record.line, as: UTF8.self).contains("hunter2"))
    }

    @Test("merge the metadata of the logger, its provider and the record")
    func metadata() throws {
        let kept = Kept()
        var logger = Logger(label: "test") { label in
            var handler = DiagnosticsLogHandler(label: label, level: .info)
            handler.format = .json
            handler.write = { kept.add($0) }
            handler.metadataProvider = .init { ["provided": "p", "both": "provider"] }
            return handler
        }
        logger[metadataKey: "own"] = "o"
        logger.info("hello", metadata: ["both": "record"])
        logger.debug("not shown")
        var other = logger
        other[metadataKey: "own"] = "changed"
        other.logLevel = .debug
        logger.info("again")
        let objects = try kept.lines.map(object)
        #expect(objects.count == 2)
        #expect(objects[0]["metadata"] as? [String: String] == ["own": "o", "provided": "p", "both": "record"])
        #expect(objects[1]["metadata"] as? [String: String] == ["own": "o", "provided": "p", "both": "provider"])
    }

    @Test("turn notes, errors and questions into records too")
    func output() throws {
        let recorder = Recorder()
        var output = recorder.output()
        output.diagnostics = .json
        output.note("a note about redis://u:hunter2@h")
        output.error("an error")
        output.errorLine("mq: one\nmq: two")
        output.prompt("a question\n")
        output.progress("half")
        let objects = try recorder.standardError.split(separator: "\n").map { try object(Array($0.utf8) + [0x0A]) }
        #expect(
            objects.compactMap { $0["message"] as? String } == [
                "a note about redis://***@h", "an error", "one", "two", "a question",
            ]
        )
        #expect(
            objects.compactMap { $0["level"] as? String } == ["notice", "error", "error", "error", "notice"]
        )
        #expect(recorder.standardOutput.isEmpty)
    }

    @Test("can be asked for before the command line is understood")
    func early() {
        #expect(Diagnostics.early(arguments: ["x", "--log-format", "json"], environment: [:]) == .json)
        #expect(Diagnostics.early(arguments: ["--log-format=json"], environment: [:]) == .json)
        #expect(Diagnostics.early(arguments: ["--", "--log-format", "json"], environment: [:]) == .text)
        #expect(Diagnostics.early(arguments: ["--log-format"], environment: [:]) == .text)
        #expect(Diagnostics.early(arguments: [], environment: ["MQ_LOG_FORMAT": "json"]) == .json)
        let flag = Diagnostics.early(arguments: ["--log-format=text"], environment: ["MQ_LOG_FORMAT": "json"])
        #expect(flag == .text)
    }

    private final class Kept: Sendable {
        private let kept = Mutex<[[UInt8]]>([])
        var lines: [[UInt8]] { kept.withLock { $0 } }
        func add(_ line: [UInt8]) { kept.withLock { $0.append(line) } }
    }
}
