import Messaging
import MessagingPipeline

/// The result of a run for a person, and as JSON.
struct PipelineSummary {
    private let report: PipelineReport
    private let places: [(layer: Layer, place: String)]
    private let isEphemeral: Bool

    init(_ report: PipelineReport, backends: [Layer: OpenBackend]) {
        self.report = report
        places = Layer.workers.compactMap { layer in backends[layer].map { (layer, $0.description) } }
        isEphemeral = backends.values.contains(where: \.isEphemeral)
    }

    /// The members of the JSON document.
    var members: [(String, JSON)] {
        let collect = report.collect
        return [
            ("collected", .integer(collect.collected)),
            ("already_known", .integer(collect.alreadyKnown)),
            ("changed", .integer(collect.changed)),
            ("read", .integer(collect.read)),
            ("malformed", .integer(collect.malformed)),
            ("analysed", .integer(report.analysed)),
            ("unique", .integer(report.counts.unique)),
            ("duplicates", .integer(report.counts.duplicates)),
            ("dead", .integer(report.dead)),
            ("interrupted", .bool(report.wasInterrupted)),
            ("seconds", .seconds(report.elapsed.inSeconds)),
            (
                "layers",
                .array(
                    report.layers.map { layer in
                        .object([
                            ("layer", .string(layer.layer.rawValue)),
                            ("handled", .integer(layer.handled)),
                            ("failed_attempts", .integer(layer.failed)),
                            ("seconds", .seconds(layer.elapsed.inSeconds)),
                            ("busy_seconds", .seconds(layer.busy.inSeconds)),
                        ])
                    }
                )
            ),
            ("backends", .object(places.map { ($0.layer.rawValue, .string($0.place)) })),
            ("sources", .array(collect.sources.map(Self.json))),
            (
                "malformed_records",
                .array(collect.malformedRecords.map { .string($0.description) })
            ),
        ]
    }

    /// The lines for a person.
    var lines: [String] {
        let collect = report.collect
        var lines = [
            "Pipeline \(report.wasInterrupted ? "stopped" : "finished") after \(seconds(report.elapsed)) on \(where_)",
            "",
        ]
        if report.layers.contains(where: { $0.layer == .collect }) {
            var notes: [String] = []
            if collect.alreadyKnown > 0 { notes.append("\(collect.alreadyKnown) known from before") }
            if collect.changed > 0 { notes.append("\(collect.changed) known with another content") }
            if collect.malformed > 0 { notes.append("\(collect.malformed) could not be used, see above") }
            let records = collect.read + collect.malformed
            lines.append(row("collected", collect.collected, "of \(records) records" + suffix(notes)))
        }
        for source in collect.sources { lines.append(Self.line(source)) }
        if report.layers.contains(where: { $0.layer == .analysis }) {
            lines.append(row("analysed", report.analysed, "topics, entities, mentions, sentiment, market relevance"))
        }
        lines.append(row("unique", report.counts.unique, "kept by the api layer"))
        lines.append(row("duplicates", report.counts.duplicates, "said before, in the same or nearly the same words"))
        lines.append(
            row("dead", report.dead, report.dead == 0 ? "nothing was given up" : "given up; see 'mq dlq list' below")
        )
        lines += ["", "  layer           handled      time   per message"]
        for layer in report.layers {
            let each = layer.handled == 0 ? "-" : seconds(layer.busy / layer.handled)
            lines.append(
                "  \(left(layer.layer.rawValue, 14)) \(right(String(layer.handled), 8)) \(right(seconds(layer.elapsed), 9))"
                    + "   \(right(each, 11))"
            )
        }
        return lines + [""] + next
    }

    private static func json(_ source: SourceReport) -> JSON {
        [
            "name": .string(source.name), "fetched": .integer(source.fetched),
            "not_modified": .integer(source.notModified), "failed": .integer(source.failed),
            "last_error": JSON(source.lastError), "read": .integer(source.read),
            "collected": .integer(source.collected), "malformed": .integer(source.malformed),
        ]
    }

    private static func line(_ source: SourceReport) -> String {
        var parts = ["\(source.collected) from \(source.name)"]
        if source.notModified > 0 { parts.append("not modified \(source.notModified) times") }
        if source.failed > 0 { parts.append("failed \(source.failed) times") }
        if let error = source.lastError { parts.append("last: \(error)") }
        return "                        " + Redacted.text(parts.joined(separator: ", "))
    }

    private var next: [String] {
        if isEphemeral {
            return [
                "Where to look next: the memory backend ends with this command. Run it again without '--backend memory',",
                "add '--listen 127.0.0.1:8080' and drop '--until-idle' to browse the statements,",
                "then try 'mq status'. 'mq --help' lists the rest.",
            ]
        }
        var lines = [
            "Where to look next: 'mq status' shows the queues, '--listen 127.0.0.1:8080' serves the statements."
        ]
        for layer in Layer.workers where report.deadLetters[layer] != nil {
            lines.append("'mq dlq list \(layer.queue ?? "")' shows what was given up, and why.")
        }
        return lines
    }

    private var where_: String {
        var seen: [String] = []
        for place in places where !seen.contains(place.place) { seen.append(place.place) }
        return seen.joined(separator: ", ")
    }

    private func row(_ name: String, _ number: Int, _ note: String) -> String {
        "  \(left(name, 11)) \(right(String(number), 7))   \(note)"
    }

    private func suffix(_ notes: [String]) -> String { notes.isEmpty ? "" : " (\(notes.joined(separator: ", ")))" }

    private func seconds(_ duration: Duration) -> String {
        let value = duration.inSeconds
        if value >= 10 { return "\(Int(value.rounded())) s" }
        if value >= 0.1 { return "\((value * 100).rounded() / 100) s" }
        return "\((value * 100_000).rounded() / 100) ms"
    }

    private func left(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }
}
