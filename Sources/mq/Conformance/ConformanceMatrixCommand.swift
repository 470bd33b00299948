import ArgumentParser
import Messaging
import MessagingConformance

/// Turns reports into a table of behaviours and backends.
struct ConformanceMatrixCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "matrix",
        abstract: "Print a Markdown table of cases and backends from reports.",
        discussion: """
            Each report is a column, headed by the backend and the version of the broker that was really run; reports of \
            the same backend and version are one column. What is not ✓ has a note with its reason.

            EXAMPLES:
              mq conformance matrix memory.json sqlite.json redis.json > matrix.md

            EXIT CODES:
              0 done, 64 bad usage or no report.
            """
    )

    @Argument(help: "Files that 'mq conformance --json' or --out made.", completion: .file(extensions: ["json"]))
    var reports: [String]

    func run() async throws {
        let read = try reports.map(ReportFile.read)
        try POSIX.write(Array((ConformanceMatrix(reports: read).markdown + "\n").utf8), to: POSIX.standardOutput)
    }
}

/// Reports side by side.
struct ConformanceMatrix: Sendable {
    let reports: [ConformanceReport]

    /// The tables: what the backends say they can do, then what they were seen to do, then the reasons.
    var markdown: String { (features + [""] + cases).joined(separator: "\n") }

    private var columns: [String] {
        var names: [String] = []
        for report in reports where !names.contains(Self.name(report)) { names.append(Self.name(report)) }
        return names
    }

    private static func name(_ report: ConformanceReport) -> String { "\(report.system) \(report.version)" }

    /// What a column has of a case: that of the report which has it.
    private func result(_ id: String, in column: String) -> CaseResult? {
        reports.lazy.filter { Self.name($0) == column }.compactMap { $0.results.first { $0.id == id } }.first
    }

    /// The first report of each column.
    private var heads: [ConformanceReport] {
        columns.compactMap { column in reports.first { Self.name($0) == column } }
    }

    private var features: [String] {
        let names = Capabilities.Feature.allCases.map(\.description)
        let rows =
            [["durability"] + heads.map(\.durability)]
            + names.map { name in [name] + heads.map { $0.features[name] ?? "" } }
        return Self.head(["feature"] + columns) + rows.map(Self.row)
    }

    private var cases: [String] {
        var notes: [String] = []
        var lines = Self.head(["case", "law"] + columns)
        for family in ConformanceCase.Family.allCases {
            let ids = ids(of: family)
            if ids.isEmpty { continue }
            lines.append(Self.row(["**\(family.rawValue)**", ""] + columns.map { _ in "" }))
            for id in ids {
                let results = columns.map { result(id, in: $0) }
                let cells = results.map { result in
                    guard let result else { return "" }
                    let sign = ConformanceTable.sign(result.outcome).sign
                    guard let reason = result.reason else { return sign }
                    let note = "\(result.outcome.rawValue): \(reason)"
                    let number = notes.firstIndex(of: note).map { $0 + 1 } ?? notes.count + 1
                    if number > notes.count { notes.append(note) }
                    return "\(sign) (\(number))"
                }
                let law = results.lazy.compactMap { $0?.law }.first ?? ""
                lines.append(Self.row(["`\(id)`", law] + cells))
            }
        }
        guard !notes.isEmpty else { return lines }
        return lines + [""] + notes.enumerated().map { "\($0 + 1). \(Self.cell($1))" }
    }

    /// The ids of a family that any report has, in the suite's order and then as they come.
    private func ids(of family: ConformanceCase.Family) -> [String] {
        var ids = Conformance.all.filter { $0.family == family }.map(\.id)
        let ran = reports.flatMap(\.results).filter { $0.family == family }.map(\.id)
        ids.removeAll { !ran.contains($0) }
        for id in ran where !ids.contains(id) { ids.append(id) }
        return ids
    }

    private static func head(_ cells: [String]) -> [String] { [row(cells), row(cells.map { _ in "---" })] }
    private static func row(_ cells: [String]) -> String { "| " + cells.map(cell).joined(separator: " | ") + " |" }
    private static func cell(_ text: String) -> String {
        Redacted.line(Redacted.text(text)).replacing("|", with: "\\|")
    }
}
