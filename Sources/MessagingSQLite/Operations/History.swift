#if SQLite
import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// JSON that is read from and written to columns of text.
enum JSONText {
    static func encode(_ value: some Encodable) -> String? {
        guard let data = try? JSONEncoder().encode(value) else { return nil }
        return String(decoding: data, as: UTF8.self)
    }

    static func decode<Value: Decodable>(_ type: Value.Type, from text: String) -> Value? {
        try? JSONDecoder().decode(type, from: Data(text.utf8))
    }
}

/// The failed attempts of a message as JSON: `[{"attempt":1,"at":1700000000000,"consumer":"worker-1","error":"…"}]`.
enum History {
    private struct Entry: Codable {
        let attempt: Int
        let at: Int64
        let consumer: String
        let error: String
    }

    static func decode(_ text: String?) -> [Failure] {
        // What cannot be read is no reason to hold up the message.
        guard let text, let entries = JSONText.decode([Entry].self, from: text) else { return [] }
        return entries.map { Failure(attempt: $0.attempt, at: $0.at, consumer: $0.consumer, error: $0.error) }
    }

    static func encode(_ failures: [Failure]) -> String? {
        if failures.isEmpty { return nil }
        return JSONText.encode(
            failures.map { Entry(attempt: $0.attempt, at: $0.at, consumer: $0.consumer, error: $0.error) }
        )
    }

    /// Adds a failure, and drops the oldest beyond the number that a message carries.
    static func adding(_ failure: Failure, to text: String?) -> String? {
        encode((decode(text) + [failure]).suffix(Failure.maxHistory))
    }
}
#endif
