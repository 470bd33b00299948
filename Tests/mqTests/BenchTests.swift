import Foundation
import Logging
import Messaging
import MessagingBenchmark
import MessagingSQLite
import Subprocess
import Testing

@testable import mq

@Suite("mq bench")
struct BenchTests {
    private static let few = ["--messages", "50", "--size", "32", "--batch", "10", "--rate", "500", "--window", "50ms"]

    private static func report(_ result: MQBinary.Result) throws -> BenchmarkReport {
        let report = try JSONDecoder().decode(BenchmarkReport.self, from: Data(result.output.utf8))
        let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
        #expect(object?["schema_version"] as? Int == 1)
        #expect(result.output.split(separator: "\n").count == 1)
        return report
    }

    @Test("measures memory and prints one document")
    func memory() async throws {
        let result = try await MQBinary.run(all: ["bench", "--backend", "memory", "--json"] + Self.few)
        #expect(result.status == .exited(0), "\(result.error)")
        let report = try Self.report(result)
        #expect(report.system == "memory" && report.durability == "memory")
        #expect(report.workloads.map(\.name) == ["publish", "consume", "worker", "end-to-end"])
        #expect(report.workloads.allSatisfy { $0.rate.count == 5 && $0.messages == 10 && $0.ratio == nil })
        #expect(report.latency?.intended.count == 25)
        #expect(report.latency?.plain == nil && report.baseline == nil && report.series == nil)
        #expect(report.settings["size"] == 32 && report.settings["dedupe"] == 1)
        #expect(report.machine.cores > 0)
        // A person must not take the figures of a debug build for more than they are.
        #expect(report.machine.isDebug == result.error.contains("THIS IS A DEBUG BUILD"))
    }

    @Test("prints a table of scripts when stdout is no terminal")
    func table() async throws {
        let result = try await MQBinary.run(
            all: ["bench", "--backend", "memory", "--workload", "throughput", "--workload", "latency"] + Self.few
        )
        #expect(result.status == .exited(0), "\(result.error)")
        let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        #expect(lines[0] == "WORKLOAD\tMESSAGES\tPER-SECOND\tMIN\tMAX\tCPU-US")
        #expect(lines[1].hasPrefix("publish\t10\t") && lines[2].hasPrefix("consume\t10\t"))
        #expect(lines[3].isEmpty)
        #expect(lines[4] == "LATENCY\tMESSAGES\tP50-US\tP90-US\tP99-US\tP99.9-US\tMAX-US")
        #expect(lines[5].hasPrefix("from the intended time, 500/s\t25\t"))
        #expect(result.error.contains("durability: memory"))
    }

    #if SQLite
    @Test("measures a temporary SQLite file beside plain SQLite and leaves nothing behind")
    func temporaryFile() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let result = try await MQBinary.run(
            all: ["bench", "--backend", "sqlite", "--baseline", "--json"] + Self.few,
            environment: ["TMPDIR": folder.path]
        )
        #expect(result.status == .exited(0), "\(result.error)")
        let report = try Self.report(result)
        #expect(report.baseline?.hasPrefix("SQLite 3.") == true)
        let pairs = report.workloads.filter { ["publish", "consume"].contains($0.name) }
        #expect(pairs.count == 2)
        #expect(pairs.allSatisfy { $0.ratio?.count == 5 && $0.plainRate?.count == 5 })
        #expect(report.latency?.plain?.count == 25)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    @Test("leaves a file's own queues as they are, and no queue or file of its own")
    func ownFile() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let url = "sqlite:\(folder.path)/mq.sqlite"
        let queue = SQLiteQueue(try SQLiteConfiguration(url: url), logger: .init(label: "test"))
        try await queue.declare(QueueDefinition("orders", groups: [GroupDefinition("g")]))
        try await queue.publish(Message(text: "mine"), to: "orders")
        await queue.close()
        let result = try await MQBinary.run(
            all: ["bench", "--backend", url, "--baseline", "--workload", "throughput"] + Self.few
        )
        #expect(result.status == .exited(0), "\(result.error)")
        let again = SQLiteQueue(try SQLiteConfiguration(url: url), logger: .init(label: "test"))
        #expect(try await again.queues() == ["orders"])
        #expect(try await again.statistics(of: "orders")["g"]?.ready == .exact(1))
        await again.close()
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(names.allSatisfy { $0.hasPrefix("mq.sqlite") && !$0.contains("bench") }, "\(names)")
    }

    @Test("deletes its queue when a signal stops it")
    func interrupted() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let url = "sqlite:\(folder.path)/mq.sqlite"
        let status = try await MQBinary.run(
            "bench",
            "--backend",
            url,
            "--messages",
            "10000000",
            "--workload",
            "throughput",
            sending: .interrupt,
            after: "pairs 5"
        )
        #expect(status == .exited(1))
        let queue = SQLiteQueue(try SQLiteConfiguration(url: url), logger: .init(label: "test"))
        #expect(try await queue.queues().isEmpty)
        await queue.close()
    }
    #endif

    @Test("measures a series and draws it")
    func series() async throws {
        let folder = try Folder()
        defer { folder.remove() }
        let file = folder.path + "/batch.svg"
        let result = try await MQBinary.run(
            all: ["bench", "--series", "batch", "--max", "10", "--plot", file, "--json"] + Self.few
        )
        #expect(result.status == .exited(0), "\(result.error)")
        let report = try Self.report(result)
        #expect(report.series?.kind == .batch)
        #expect(report.series?.points.map(\.x) == [1, 3, 10])
        #expect(report.workloads.isEmpty && report.latency == nil)
        let svg = try String(contentsOfFile: file, encoding: .utf8)
        #expect(svg.hasPrefix("<svg ") && svg.ranges(of: "<circle").count == 6)
        let table = try await MQBinary.run(all: ["bench", "--series", "memory", "--max", "100"] + Self.few)
        #expect(table.output.hasPrefix("MEMORY\tBYTES-PER-DELIVERY\tRESIDENT-BYTES\n100\t"), "\(table.output)")
    }

    @Test(
        "refuses what makes no sense",
        arguments: [
            (["--messages", "0"], "messages must be"),
            (["--messages", "many"], "'many' is invalid"),
            (["--batch", "1001"], "batch must be 1 to 1000"),
            (["--size", "0"], "size must be"),
            (["--rate", "0"], "rate must be"),
            (["--pairs", "4", "--baseline"], "at least 5"),
            (["--baseline"], "no client library to compare memory with"),
            (["--baseline-ids"], "--baseline-ids needs --baseline"),
            (["--series", "colours"], "'colours' is invalid"),
            (["--series", "groups", "--baseline"], "a series has no baseline"),
            (["--series", "groups", "--workload", "worker"], "not both"),
            (["--series", "groups", "--max", "33"], "must be 1 to 32"),
            (["--max", "3"], "--max needs --series"),
            (["--plot", "x.svg"], "--plot needs --series"),
            (["--series", "batch", "--plot", "/no/such/folder/x.svg"], "cannot be written"),
            (["--window", "1h"], "the window must be"),
            (["--backend", "nats"], "unknown backend 'nats'"),
        ]
    )
    func usage(arguments: [String], message: String) async throws {
        let result = try await MQBinary.run(all: ["bench"] + arguments)
        #expect(result.status == .exited(64))
        #expect(result.errorLines.count == 1)
        #expect(result.error.contains(message), "\(result.error)")
        #expect(result.output.isEmpty)
    }

    #if Redis
    @Test("ends with 6 when the broker is unreachable, without credentials")
    func unreachable() async throws {
        let result = try await MQBinary.run("bench", "--backend", CommandLineTests.nowhere, "--baseline")
        #expect(result.status == .exited(6))
        #expect(result.error.contains("127.0.0.1:1"))
        #expect(!result.error.contains("hunter2"))
        #expect(result.output.isEmpty)
    }
    #endif

    @Test("writes numbers with the digits that were asked for")
    func numbers() {
        #expect(BenchTable.format(1234.5, 0) == "1235")
        #expect(BenchTable.format(0.905, 2) == "0.91")
        #expect(BenchTable.format(1.04, 1) == "1.0")
        #expect(BenchTable.format(0.05, 2) == "0.05")
        #expect(BenchTable.format(-0.001, 2) == "0.00")
        #expect(BenchTable.format(.nan, 1) == "-")
    }
}

/// A temporary folder.
private struct Folder {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "mq-bench-test-\(UUID())").path()
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    func remove() { try? FileManager.default.removeItem(atPath: path) }
}
