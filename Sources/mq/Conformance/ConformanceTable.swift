import Messaging
import MessagingConformance

/// A report for people: by family on a terminal, one line per case separated by tabs otherwise.
struct ConformanceTable: Sendable {
    let report: ConformanceReport

    /// Prints it.
    func write(to output: Output) throws {
        guard output.terminal.isTerminal else {
            try output.table(table)
            output.note(summary)
            return
        }
        for line in lines(output.terminal) { try output.line(line) }
    }

    /// What becomes of a pipe.
    var table: Table {
        var table = Table(["CASE", "FAMILY", "TIER", "OUTCOME", "SECONDS", "REASON"])
        table.rows = report.results.map { result in
            [
                result.id, result.family.rawValue, result.tier.rawValue, result.outcome.rawValue,
                JSON.seconds(result.seconds).text, result.reason ?? "",
            ]
        }
        return table
    }

    /// What a person sees.
    func lines(_ terminal: Terminal) -> [String] {
        let width = report.results.map(\.id.count).max() ?? 0
        var lines: [String] = []
        for family in ConformanceCase.Family.allCases {
            let results = report.results.filter { $0.family == family }
            if results.isEmpty { continue }
            lines.append(terminal.styled(family.rawValue, .bold))
            for result in results {
                let (sign, style) = Self.sign(result.outcome)
                let padding = String(repeating: " ", count: width - result.id.count)
                let time = result.seconds > 0 ? Format.age(.seconds(result.seconds)) : ""
                let gap = String(repeating: " ", count: max(0, 8 - time.count))
                let text = Redacted.line(Self.text(result))
                lines.append("  \(terminal.styled(sign, style)) \(result.id)\(padding)  \(time)\(gap)\(text)")
            }
        }
        let style: Terminal.Style = report.isPassed ? .green : .red
        return lines + ["", terminal.styled(Redacted.line(summary), style)]
    }

    private static func text(_ result: CaseResult) -> String {
        guard let reason = result.reason else { return result.law }
        switch result.outcome {
        case .passed: return result.law
        case .failed: return "\(result.law): \(reason)"
        case .unsupported, .notPossible, .knownFailure: return "\(word(result.outcome)): \(reason)"
        }
    }

    static func sign(_ outcome: CaseResult.Outcome) -> (sign: String, style: Terminal.Style) {
        switch outcome {
        case .passed: ("✓", .green)
        case .failed: ("✗", .red)
        case .unsupported, .notPossible: ("–", .dim)
        case .knownFailure: ("!", .yellow)
        }
    }

    private static func word(_ outcome: CaseResult.Outcome) -> String {
        switch outcome {
        case .passed: "passed"
        case .failed: "failed"
        case .unsupported: "unsupported"
        case .notPossible: "not possible here"
        case .knownFailure: "known to fail"
        }
    }

    /// How many cases ended how, on what, and how long it took.
    var summary: String {
        let counts = CaseResult.Outcome.allCases.compactMap { outcome in
            let count = report.count(outcome)
            return count == 0 ? nil : "\(count) \(Self.word(outcome))"
        }
        let time = Format.age(.seconds(report.seconds))
        return "\(report.system) \(report.version): \(counts.joined(separator: ", ")) in \(time)"
    }
}

/// The cases, without running them.
struct ConformanceList: Sendable {
    let cases: [ConformanceCase]

    /// Prints them.
    func write(to output: Output) throws {
        if output.isJSON {
            return try output.document([("cases", .array(cases.map(Self.json)))])
        }
        var table = Table(["CASE", "FAMILY", "TIER", "REQUIRES", "LAW"])
        table.rows = cases.map { law in
            [
                law.id, law.family.rawValue, law.tier.rawValue,
                law.requires.map(\.description).joined(separator: ","), law.law,
            ]
        }
        try output.table(table)
    }

    private static func json(_ law: ConformanceCase) -> JSON {
        [
            "id": .string(law.id), "family": .string(law.family.rawValue), "tier": .string(law.tier.rawValue),
            "law": .string(law.law), "requires": .array(law.requires.map { .string($0.description) }),
        ]
    }
}
