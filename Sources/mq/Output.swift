import Logging
import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// Where a command writes: data to stdout, everything else to stderr.
struct Output: Sendable {
    var terminal: Terminal
    var notes: Terminal
    var isJSON: Bool
    var isQuiet: Bool
    /// Writes bytes to stdout (1) or stderr (2); tests look at them instead.
    var write: @Sendable (_ bytes: [UInt8], _ descriptor: Int32) throws -> Void = { bytes, descriptor in
        guard descriptor == POSIX.standardError else { return try POSIX.write(bytes, to: descriptor) }
        Diagnostics.write(bytes)
    }
    /// How notes and errors are written.
    var diagnostics: LogFormat = .text

    /// The version of the JSON documents.
    static let schemaVersion = 1

    /// Writes bytes and a line feed to stdout.
    func line(_ bytes: [UInt8]) throws { try write(bytes + [0x0A], POSIX.standardOutput) }

    /// Writes a line to stdout.
    func line(_ text: String) throws { try line(Array(text.utf8)) }

    /// Writes a value in one line to stdout.
    func line(_ value: JSON) throws { try line(value.bytes) }

    /// Writes a document to stdout: an object that begins with `schema_version`.
    func document(_ members: [(String, JSON)]) throws {
        try line(.object([("schema_version", .integer(Self.schemaVersion))] + members))
    }

    /// Writes a table to stdout.
    func table(_ table: Table) throws {
        for row in table.lines(terminal) { try line(row) }
    }

    /// Tells something on stderr, unless `--quiet` was given.
    func note(_ text: String) {
        if !isQuiet { tell(CLIErrors.line(text), .notice) }
    }

    /// Tells something on stderr that `--quiet` must not hide.
    func error(_ text: String) { tell(CLIErrors.line(text), .error) }

    /// Writes lines that are already as they should be to stderr.
    func errorLine(_ lines: String) { tell(lines, .error) }

    private func tell(_ lines: String, _ level: Logger.Level) {
        try? write(Diagnostics.bytes(lines, level: level, format: diagnostics), POSIX.standardError)
    }

    /// Writes text to stderr as it is, for questions and progress; as records where every line must be one.
    func prompt(_ text: String) {
        if diagnostics == .json { return tell(text, .notice) }
        try? write(Array(text.utf8), POSIX.standardError)
    }

    /// Shows how far long work is; only to a person.
    func progress(_ text: String?) {
        // A terminal without colours may not know how to clear a line either.
        guard notes.isTerminal, notes.hasColor, !isQuiet, diagnostics == .text else { return }
        prompt("\r\u{1B}[K" + (text ?? ""))
    }
}

/// Rows under a header: aligned on a terminal, separated by tabs otherwise.
struct Table: Sendable {
    let header: [String]
    var rows: [[String]] = []
    /// The columns that hold numbers, aligned to the right.
    var numeric: Set<Int> = []

    init(_ header: [String], numeric: Set<Int> = []) {
        self.header = header
        self.numeric = numeric
    }

    func lines(_ terminal: Terminal) -> [String] {
        let cells = rows.map { $0.map { Redacted.line($0) } }
        guard terminal.isTerminal else { return ([header] + cells).map { $0.joined(separator: "\t") } }
        var widths = header.map(\.count)
        for row in cells {
            for (index, cell) in row.enumerated() { widths[index] = max(widths[index], cell.count) }
        }
        return [terminal.styled(aligned(header, widths, terminal), .bold)]
            + cells.map { aligned($0, widths, terminal) }
    }

    private func aligned(_ row: [String], _ widths: [Int], _ terminal: Terminal) -> String {
        var line = ""
        for (index, cell) in row.enumerated() {
            let padding = String(repeating: " ", count: widths[index] - cell.count)
            if index > 0 { line += "  " }
            if numeric.contains(index) {
                line += padding + cell
            } else {
                line += index == row.count - 1 ? cell : cell + padding
            }
        }
        guard let columns = terminal.columns, line.count > columns else { return line }
        return line.prefix(columns - 1) + "…"
    }
}

/// How values are shown.
enum Format {
    /// A time as ISO 8601 in UTC with milliseconds.
    static func date(_ date: Date) -> String {
        // The style cuts off what is below a millisecond, and a binary fraction is often just below.
        Date(timeIntervalSince1970: (date.timeIntervalSince1970 * 1000).rounded() / 1000 + 0.0001)
            .formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }

    /// Reads ISO 8601: with or without a fraction, with `Z` or an offset.
    static func readDate(_ text: String) -> Date? {
        for fraction in [false, true] {
            let style = Date.ISO8601FormatStyle(includingFractionalSeconds: fraction)
            if let date = try? Date(text, strategy: style) { return date }
        }
        return nil
    }

    /// A number with its grade: `~` before an estimate, `-` for what is not known.
    static func figure(_ figure: Figure) -> String {
        guard let value = figure.value else { return "-" }
        return figure.grade == .estimate ? "~\(value)" : String(value)
    }

    /// A time span in two units at most: `350ms`, `12s`, `3m 20s`, `2d 4h`.
    static func age(_ duration: Duration) -> String {
        let milliseconds = max(0, duration.milliseconds)
        if milliseconds < 1000 { return "\(milliseconds)ms" }
        let seconds = milliseconds / 1000
        switch seconds {
        case ..<60: return "\(seconds)s"
        case ..<3600: return pair(seconds / 60, "m", seconds % 60, "s")
        case ..<86400: return pair(seconds / 3600, "h", seconds % 3600 / 60, "m")
        default: return pair(seconds / 86400, "d", seconds % 86400 / 3600, "h")
        }
    }

    private static func pair(_ one: Int64, _ unit: String, _ two: Int64, _ smaller: String) -> String {
        two == 0 ? "\(one)\(unit)" : "\(one)\(unit) \(two)\(smaller)"
    }

    /// The first words of a text, in one line.
    static func shortened(_ text: String, to length: Int) -> String {
        let line = Redacted.line(text)
        return line.count <= length ? line : line.prefix(length - 1) + "…"
    }

    /// `1 message`, `2 messages`.
    static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

    static func base64(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }

    /// What a confirmed message survives.
    static func durability(_ grade: Capabilities.Durability) -> String {
        switch grade {
        case .memory: "memory"
        case .window(let time): "window \(age(time))"
        case .disk: "disk"
        case .replicated: "replicated"
        case .unknown: "unknown"
        }
    }
}
