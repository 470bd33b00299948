import MessagingBenchmark

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A report as tables for people and scripts.
struct BenchTable: Sendable {
    let report: BenchmarkReport

    static let debugWarning =
        "THIS IS A DEBUG BUILD: its figures say nothing about the library; build with 'swift build -c release'"

    /// The report as one line of JSON.
    static func json(_ report: BenchmarkReport) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(report), as: UTF8.self)
    }

    /// What the figures depend on, a line each.
    static func conditions(_ report: BenchmarkReport) -> [String] {
        let machine = report.machine
        let memory = String(format(Double(machine.memoryBytes) / Double(1 << 30), 1))
        let load = machine.load.map { ", load \(format($0, 1))" } ?? ""
        let settings = report.settings.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(
            separator: ", "
        )
        return [
            "\(report.system) \(report.version) at \(report.place), durability: \(report.durability)",
            "\(machine.cores) cores, \(memory) GiB of memory, \(machine.system), \(machine.build) build\(load)",
            "\(settings)\(report.baseline.map { "; beside \($0)" } ?? "")",
        ] + report.findings
    }

    func write(to output: Output) throws {
        if !report.workloads.isEmpty { try output.table(throughput) }
        if let latency = report.latency {
            if !report.workloads.isEmpty { try output.line("") }
            try output.table(Self.table(latency))
        }
        if let series = report.series { try output.table(Self.table(series)) }
    }

    private var throughput: Table {
        let hasPlain = report.baseline != nil
        var header = ["WORKLOAD", "MESSAGES", "PER-SECOND", "MIN", "MAX", "CPU-US"]
        if hasPlain { header += ["PLAIN", "RATIO", "LOWEST", "HIGHEST"] }
        var table = Table(header, numeric: Set(1..<header.count))
        table.rows = report.workloads.map { result in
            let rate = result.rate
            let row = [
                result.name, String(result.messages), Self.format(rate.median, 0), Self.format(rate.min, 0),
                Self.format(rate.max, 0), result.processorTime.map { Self.format($0, 1) } ?? "-",
            ]
            guard hasPlain else { return row }
            return row + [result.plainRate.map { Self.format($0.median, 0) } ?? "-"]
                + [result.ratio?.median, result.ratio?.min, result.ratio?.max]
                .map { $0.map { Self.format($0, 2) } ?? "-" }
        }
        return table
    }

    private static func table(_ latency: LatencyResult) -> Table {
        var table = Table(
            ["LATENCY", "MESSAGES", "P50-US", "P90-US", "P99-US", "P99.9-US", "MAX-US"],
            numeric: Set(1...6)
        )
        let rows: [(String, LatencySummary?)] = [
            ("from the intended time, \(latency.rate)/s", latency.intended), ("from sending", latency.sent),
            ("round trips of the plain client", latency.plain),
        ]
        table.rows = rows.compactMap { name, summary in
            guard let summary else { return nil }
            return [name, String(summary.count)]
                + [summary.p50, summary.p90, summary.p99, summary.p999, summary.max].map { format($0, 0) }
        }
        return table
    }

    private static func table(_ series: SeriesResult) -> Table {
        let names = Set(series.points.flatMap(\.values.keys)).sorted()
        var table = Table(
            [series.kind.rawValue.uppercased()] + names.map { $0.uppercased().replacing("_", with: "-") },
            numeric: Set(0...names.count)
        )
        table.rows = series.points.map { point in
            [String(point.x)] + names.map { name in point.values[name].map { format($0, 2) } ?? "-" }
        }
        return table
    }

    /// A number with so many digits after the point, rounded.
    static func format(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "-" }
        let scale = (0..<digits).reduce(1) { scale, _ in scale * 10 }
        let scaled = Int((abs(value) * Double(scale)).rounded())
        let sign = value < 0 && scaled > 0 ? "-" : ""
        guard digits > 0 else { return sign + String(scaled) }
        let fraction = String(scaled % scale)
        return "\(sign)\(scaled / scale).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
    }
}
