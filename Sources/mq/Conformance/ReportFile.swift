import MessagingConformance

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A file that a report is written to, whole or not at all.
struct ReportFile: Sendable {
    /// The largest report that is read.
    static let maxBytes = 16 << 20

    let path: String

    /// Checks that the file can be written, before minutes are spent on what goes there.
    init(_ path: String) throws {
        self.path = path
        let folder = URL(filePath: path).deletingLastPathComponent().path()
        guard FileManager.default.isWritableFile(atPath: folder.isEmpty ? "." : folder) else {
            throw CLIError(.usage, "'\(path)' cannot be written", do: "name a file in a folder that can be written to")
        }
    }

    /// Writes the file.
    func write(_ text: String) throws {
        do {
            try Data(text.utf8).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw CLIError(.failed, "'\(path)' could not be written", do: "check the folder and the space on the disk")
        }
    }

    /// A report as one line of JSON.
    static func json(_ report: ConformanceReport) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(report), as: UTF8.self)
    }

    /// Reads a report.
    static func read(_ path: String) throws -> ConformanceReport {
        guard let data = try? Data(contentsOf: URL(filePath: path)) else {
            throw CLIError(.usage, "'\(path)' cannot be read", do: "give files that 'mq conformance --json' printed")
        }
        guard data.count <= maxBytes, let report = try? JSONDecoder().decode(ConformanceReport.self, from: data) else {
            throw CLIError(.usage, "'\(path)' is no report", do: "give files that 'mq conformance --json' printed")
        }
        guard report.schemaVersion == ConformanceReport.schemaVersion else {
            throw CLIError(
                .usage,
                "'\(path)' has the schema version \(report.schemaVersion), this mq reads \(ConformanceReport.schemaVersion)",
                do: "make the report again"
            )
        }
        return report
    }
}
