import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// What `mq status --watch` knows at one moment.
struct StatusView: Sendable {
    let backend: String
    let every: Duration
    var date = Date()
    /// The last figures; `nil` before the first answer.
    var queues: [QueueStatistics]?
    /// How many queues there are, also those that are not shown.
    var total = 0
    var rates = StatusRates()
    /// Why the last look failed, and how long ago the last one that did not was.
    var problem: (text: String, since: Duration)?

    /// The lines for a person.
    ///
    /// - Parameters:
    ///   - terminal: Where they go.
    ///   - rows: How many fit; `nil` means all.
    /// - Returns: The lines.
    func lines(_ terminal: Terminal, rows: Int? = nil) -> [String] {
        let title = "\(backend)  \(Format.date(date))  every \(Format.age(every))"
        var lines = [Self.fitted(Redacted.line(title), terminal)]
        if let problem {
            let text =
                "\(Redacted.line(Redacted.text(problem.text))); trying again, figures of \(Format.age(problem.since)) ago"
            let shown = queues == nil ? "\(Redacted.line(Redacted.text(problem.text))); trying again" : text
            lines.append(terminal.styled(Self.fitted(shown, terminal), .red))
        }
        guard let queues else { return problem == nil ? lines + ["", "waiting for the first answer"] : lines }
        guard !queues.isEmpty else { return lines + ["", "no queues"] }
        lines += [""] + table(queues).lines(terminal)
        if total > queues.count { lines.append("… and \(total - queues.count) more queues; name one to see it") }
        guard let rows, lines.count > rows, rows > 1 else { return lines }
        return lines.prefix(rows - 1) + ["… \(lines.count - rows + 1) more lines"]
    }

    private static func fitted(_ text: String, _ terminal: Terminal) -> String {
        guard let columns = terminal.columns, text.count > columns, columns > 1 else { return text }
        return text.prefix(columns - 1) + "…"
    }

    private func table(_ queues: [QueueStatistics]) -> Table {
        var table = Table(
            [
                "QUEUE", "GROUP", "READY", "IN-FLIGHT", "DELAYED", "DEAD", "CONSUMERS", "OLDEST", "LAG", "LAG/S",
                "PUBLISH/S", "SETTLE/S",
            ],
            numeric: Set(2...11)
        )
        for (row, group) in zip(StatusReport.table(queues).rows, queues.flatMap(Self.names)) {
            let rate = group.map { rates.rate(of: $0.group, in: $0.queue) } ?? StatusRates.Rate()
            table.rows.append(
                row + [
                    rate.lag.map { ($0 > 0 ? "+" : "") + Self.text($0) } ?? "-", rate.published.map(Self.text) ?? "-",
                    rate.settled.map(Self.text) ?? "-",
                ]
            )
        }
        return table
    }

    /// One entry for each row of the table.
    private static func names(_ queue: QueueStatistics) -> [(queue: String, group: String)?] {
        queue.groups.isEmpty ? [nil] : queue.groups.map { (queue.queue, $0.group) }
    }

    /// A rate in few digits: `0`, `0.4`, `12.5`, `1250`.
    static func text(_ rate: Double) -> String {
        let tenths = (rate * 10).rounded() / 10
        if tenths == 0 { return "0" }
        return abs(tenths) >= 100 ? String(Int(tenths.rounded())) : String(tenths)
    }

    /// The document for a program.
    var members: [(String, JSON)] {
        [
            ("at", .string(Format.date(date))), ("backend", .string(backend)),
            ("error", JSON(problem.map { Redacted.text($0.text) })),
            (
                "queues",
                problem != nil
                    ? .null
                    : .array((queues ?? []).map { queue in StatusReport.json(queue, rates: rates) })
            ),
        ]
    }
}
