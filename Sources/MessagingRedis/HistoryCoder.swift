#if Redis
import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// The history of failures as JSON, written by the scripts and read here.
enum HistoryCoder {
    static func encode(_ history: [Failure]) -> [UInt8]? {
        guard !history.isEmpty, let data = try? JSONEncoder().encode(history) else { return nil }
        return Array(data)
    }

    /// Returns what can be understood; a history that another program broke is no reason to lose its message.
    static func decode(_ bytes: ArraySlice<UInt8>) -> [Failure] {
        (try? JSONDecoder().decode([Failure].self, from: Data(bytes))) ?? []
    }
}

/// The times that the scripts write: `2026-11-21T03:04:05.678Z`.
enum TimestampCoder {
    static func encode(_ date: Date) -> String {
        date.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }

    static func decode(_ text: String) -> Date? {
        if let number = Double(text) { return Date(timeIntervalSince1970: number > 1e11 ? number / 1000 : number) }
        if let date = try? Date(text, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true)) {
            return date
        }
        return try? Date(text, strategy: .iso8601)
    }
}
#endif
