import Foundation
import Logging
import Messaging
import MessagingConformance
import Subprocess
import Testing

@testable import mq

#if canImport(FoundationXML)
import FoundationXML
#endif

@Suite("mq conformance")
struct ConformanceTests {
    private static let few = ["--case", "rt.basic", "--case", "settle.ack", "--case", "pub.idConflict"]
    private static let fast = ["--time-unit", "200ms", "--tolerance", "1s"]

    @Test("prints a report that can be read, and writes JSON and JUnit files")
    func report() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mq-conformance-test-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (out, junit) = (folder.appending(path: "r.json").path(), folder.appending(path: "r.xml").path())
        let result = try await MQBinary.run(
            all: ["conformance", "--backend", "memory", "--json", "--out", out, "--junit", junit] + Self.few + Self.fast
        )
        #expect(result.status == .exited(0), "\(result.error)\(result.output)")
        let report = try JSONDecoder().decode(ConformanceReport.self, from: Data(result.output.utf8))
        #expect(report.schemaVersion == 1)
        #expect(report.system == "memory")
        // In the suite's order, whatever the order of the options.
        #expect(report.results.map(\.id) == ["rt.basic", "pub.idConflict", "settle.ack"])
        #expect(report.isPassed)
        let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
        #expect(object?["schema_version"] as? Int == 1)
        #expect(try ReportFile.read(out) == report)
        let counter = ElementCounter()
        let parser = XMLParser(data: try Data(contentsOf: URL(filePath: junit)))
        parser.delegate = counter
        #expect(parser.parse())
        #expect(counter.counts["testcase"] == 3)
        #expect(counter.counts["testsuite"] == 3)
        #expect(counter.counts["failure"] == nil)
    }

    #if SQLite
    @Test("runs on a temporary SQLite file, prints a row per case and leaves nothing behind")
    func temporaryFile() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mq-conformance-test-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let result = try await MQBinary.run(
            all: ["conformance", "--backend", "sqlite"] + Self.few + Self.fast,
            environment: ["TMPDIR": folder.path()]
        )
        #expect(result.status == .exited(0), "\(result.error)")
        let rows = result.output.split(separator: "\n").map {
            $0.split(separator: "\t", omittingEmptySubsequences: false)
        }
        #expect(rows.count == 4)
        #expect(rows[0].joined(separator: " ") == "CASE FAMILY TIER OUTCOME SECONDS REASON")
        #expect(rows.dropFirst().allSatisfy { $0.count == 6 && $0[3] == "passed" })
        #expect(result.error.hasPrefix("mq: sqlite "))
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path()).isEmpty)
    }
    #endif

    @Test("fails when a case that is known to fail passes")
    func knownPasses() async throws {
        let result = try await MQBinary.run(
            all: ["conformance", "--case", "settle.ack", "--known", "settle.ack=a=b"] + Self.fast
        )
        #expect(result.status == .exited(1))
        #expect(result.output.contains("\tfailed\t"))
        #expect(result.output.contains("it is marked as known to fail (a=b) and passes"))
    }

    @Test("lists cases without a broker")
    func list() async throws {
        let result = try await MQBinary.run("conformance", "--list", "--family", "leases", "--backend", "memory")
        #expect(result.status == .exited(0))
        let ids = result.output.split(separator: "\n").dropFirst().compactMap { $0.split(separator: "\t").first }
        #expect(ids.map(String.init) == Conformance.cases(upTo: .quick).filter { $0.family == .leases }.map(\.id))
        #expect(ids.contains("lease.fence"))
    }

    #if Redis
    @Test("ends with 6 when the broker is unreachable, without credentials")
    func unreachable() async throws {
        let result = try await MQBinary.run("conformance", "--backend", CommandLineTests.nowhere)
        #expect(result.status == .exited(6))
        #expect(result.error.contains("127.0.0.1:1"))
        #expect(!result.error.contains("hunter2"))
        #expect(result.output.isEmpty)
    }
    #endif

    @Test("stops after the running case on a signal and reports what there is")
    func stops() async throws {
        let status = try await MQBinary.run(
            "conformance",
            "--log-level",
            "debug",
            "--time-unit",
            "1s",
            sending: .interrupt,
            after: "runs rt.basic"
        )
        #expect(status == .exited(3))
    }

    @Test(
        "refuses what it does not know",
        arguments: [
            (["--case", "no.such"], "there is no case 'no.such'"),
            (["--known", "no.such=x"], "there is no case 'no.such'"),
            (["--known", "settle.ack"], "a known failure is id=reason"),
            (["--known", "settle.ack= "], "a known failure is id=reason"),
            (["--known", "settle.ack=x", "--known", "settle.ack=y"], "names 'settle.ack' twice"),
            (["--family", "families"], "'families' is invalid"),
            (["--tier", "soak"], "'soak' is invalid"),
            (["--time-unit", "1ms"], "--time-unit must be"),
            (["--out", "/no/such/folder/r.json"], "cannot be written"),
            (["matrix", "/no/such/report.json"], "cannot be read"),
            (["--backend", "nats"], "unknown backend 'nats'"),
        ]
    )
    func usage(arguments: [String], message: String) async throws {
        let result = try await MQBinary.run(all: ["conformance"] + arguments)
        #expect(result.status == .exited(64))
        #expect(result.errorLines.count == 1)
        #expect(result.error.contains(message), "\(result.error)")
        #expect(result.output.isEmpty)
    }

    @Test("prints a table of cases and backends from reports")
    func matrix() async throws {
        let one = try await Self.report(known: [:])
        let version = one.version
        // The same on a broker of another version.
        let text = try ReportFile.json(try await Self.report(known: ["settle.ack": "a | b"]))
        let renamed = text.replacing("\"\(version)\"", with: "\"2.0\"")
        let other = try JSONDecoder().decode(ConformanceReport.self, from: Data(renamed.utf8))
        // Reports of one broker are one column.
        let lines = ConformanceMatrix(reports: [one, other, one]).markdown.split(separator: "\n").map(String.init)
        #expect(lines.contains("| feature | memory \(version) | memory 2.0 |"))
        #expect(lines.contains("| delay | native | native |"))
        #expect(lines.contains { $0.hasPrefix("| `settle.ack` | ") && $0.hasSuffix(" | ✓ | ✗ (1) |") })
        #expect(lines.contains { $0.hasPrefix("1. failed: ") && $0.contains("a \\| b") })
        // Every row has as many cells as its head.
        let cases = lines.drop { !$0.hasPrefix("| case") }.filter { $0.hasPrefix("|") }
        #expect(Set(cases.map { $0.replacing("\\|", with: "").count { $0 == "|" } }) == [5])
    }

    @Test("shows a person families, signs and reasons")
    func table() async throws {
        let report = try await Self.report(known: ["settle.ack": "slow"])
        let terminal = Terminal(isTerminal: true, hasColor: false, columns: 200)
        let lines = ConformanceTable(report: report).lines(terminal)
        #expect(lines.first == "settlement")
        #expect(lines.contains { $0.hasPrefix("  ✗ settle.ack") && $0.contains("remove the mark") })
        #expect(lines.last?.contains("1 failed in ") == true)
    }

    @Test("draws progress in one line that fits")
    func progress() {
        let line = ConformanceProgress.line(done: 5, of: 10, running: "lease.fence", time: .seconds(65), columns: nil)
        #expect(line == "██████████░░░░░░░░░░ 6 of 10  lease.fence  1m 5s")
        let short = ConformanceProgress.line(done: 5, of: 10, running: "lease.fence", time: .seconds(65), columns: 30)
        #expect(short.count == 29)
    }

    private static func report(known: [String: String]) async throws -> ConformanceReport {
        let command = try ConformanceBroker(
            "memory",
            settings: try Settings.load(path: nil, environment: [:]),
            timeout: nil,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        let harness = CommandHarness(broker: command, timeUnit: .milliseconds(200), tolerance: .seconds(1))
        let law = try #require(Conformance.find("settle.ack"))
        return try await ConformanceRunner(harness, known: known).run([law])
    }
}

/// Counts the elements of an XML document.
private final class ElementCounter: NSObject, XMLParserDelegate {
    private(set) var counts: [String: Int] = [:]

    func parser(
        _ parser: XMLParser,
        didStartElement name: String,
        namespaceURI: String?,
        qualifiedName: String?,
        attributes: [String: String]
    ) {
        counts[name, default: 0] += 1
    }
}
