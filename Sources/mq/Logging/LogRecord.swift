import Logging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// One line of a structured log.
struct LogRecord: Sendable {
    var date = Date()
    var level: Logger.Level
    var label: String
    var message: String
    var metadata: Logger.Metadata = [:]
    var error: String?

    /// Members whose value is never shown, whatever it is.
    private static let secretWords = ["password", "passwd", "secret", "token", "authorization", "credential"]

    /// The record as a JSON object and a line feed; credentials in texts are replaced.
    var line: [UInt8] { json.bytes + [0x0A] }

    var json: JSON {
        var members: [(String, JSON)] = [
            ("ts", .string(Format.date(date))), ("level", .string(level.rawValue)), ("label", .string(label)),
            ("message", .string(Redacted.text(message))),
        ]
        if let error { members.append(("error", .string(Redacted.text(error)))) }
        if !metadata.isEmpty { members.append(("metadata", Self.object(metadata))) }
        return .object(members)
    }

    private static func object(_ metadata: Logger.Metadata) -> JSON {
        // Sorted, so that the same record gives the same line.
        .object(
            metadata.sorted { $0.key < $1.key }.map { key, value in
                let name = key.lowercased()
                return (key, secretWords.contains { name.contains($0) } ? "***" : json(value))
            }
        )
    }

    private static func json(_ value: Logger.MetadataValue) -> JSON {
        switch value {
        case .string(let text): .string(Redacted.text(text))
        case .stringConvertible(let value): .string(Redacted.text(value.description))
        case .array(let values): .array(values.map(json))
        case .dictionary(let members): object(members)
        }
    }
}
