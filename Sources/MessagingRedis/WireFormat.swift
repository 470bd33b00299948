#if Redis
import Messaging

/// Messages as fields of a stream entry, and back.
///
/// `docs/wire-format.md` describes it.
enum WireFormat {
    static let payload = "payload"
    /// Field names that other programs read; a header of such a name is stored with the prefix `mq-h-`.
    private static let shared: Set<String> = ["payload", "retry_count", "original_message_id", "error", "failed_at"]
    private static let escape = "mq-h-"

    // MARK: - Writing

    /// How many words `write` writes.
    static func words(_ message: Message) -> Int {
        4 + (message.key == nil ? 0 : 2) + (message.contentType == nil ? 0 : 2) + 2 * message.headers.count
    }

    static func write(_ message: Message, _ writer: inout RESPWriter) {
        writer.word(payload)
        writer.word(message.body)
        writer.word("mq-id")
        writer.word(message.id.rawValue)
        if let key = message.key {
            writer.word("mq-key")
            writer.word(key)
        }
        if let type = message.contentType {
            writer.word("mq-content-type")
            writer.word(type)
        }
        for header in message.headers {
            writer.word(shared.contains(header.name) ? escape + header.name : header.name)
            writer.word(header.value)
        }
    }

    /// Tells bodies apart that were published under one id: FNV-1a, 64 bits (Fowler, Noll, Vo).
    static func digest(_ body: [UInt8]) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        body.withUnsafeBufferPointer { bytes in
            for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        }
        return hash
    }

    // MARK: - Reading

    /// The fields of one entry.
    struct Entry {
        var message = Message(body: [], id: "")
        var previousAttempts = 0
        var published: Int64?
        var redrives = 0
        var history: [Failure] = []
        // Of dead letters only.
        var error: String?
        var failedAt: String?
        var group: String?
        var reason: String?
        var attempts: Int?
        /// Why the entry is no message.
        var problem: String?
    }

    /// Reads the fields of an entry whose array begins at the cursor.
    static func read(
        _ cursor: inout RedisReplyCursor,
        id: EntryID
    ) throws(RedisReplyCursor.Unexpected) -> Entry {
        guard let count = try cursor.array() else {
            var entry = Entry()
            entry.problem = "the entry was deleted while it was pending"
            return entry
        }
        return try read(&cursor, fields: count / 2, id: id)
    }

    /// Reads this many fields.
    static func read(
        _ cursor: inout RedisReplyCursor,
        fields: Int,
        id: EntryID
    ) throws(RedisReplyCursor.Unexpected) -> Entry {
        var entry = Entry()
        var hasPayload = false
        var messageID: String?
        var original: String?
        for _ in 0..<fields {
            let name = try cursor.bytes()
            let value = try cursor.bytes()
            guard let name = String(validating: name, as: UTF8.self) else {
                entry.problem = "a field name is not UTF-8"
                continue
            }
            switch name {
            case payload:
                entry.message.body = Array(value)
                hasPayload = true
            case "mq-id": messageID = text(value, &entry, name)
            case "mq-key": entry.message.key = text(value, &entry, name)
            case "mq-content-type": entry.message.contentType = text(value, &entry, name)
            case "mq-due":
                if let due = number(value, &entry, name) { entry.message.due = .at(UnixTime.date(due)) }
            case "mq-published": entry.published = number(value, &entry, name)
            case "retry_count":
                // A foreign program may leave it empty; what is no number of attempts is no message of ours.
                if let count = number(value, &entry, name) {
                    entry.previousAttempts = Int(clamping: min(max(0, count), 1 << 53))
                }
            case "mq-redrives": entry.redrives = Int(clamping: number(value, &entry, name) ?? 0)
            case "mq-history": entry.history = HistoryCoder.decode(value)
            case "original_message_id": original = text(value, &entry, name)
            case "error": entry.error = String(decoding: value, as: UTF8.self)
            case "failed_at": entry.failedAt = String(decoding: value, as: UTF8.self)
            case "mq-group": entry.group = text(value, &entry, name)
            case "mq-reason": entry.reason = text(value, &entry, name)
            case "mq-attempts": entry.attempts = number(value, &entry, name).map { Int(clamping: $0) }
            default:
                let name = name.hasPrefix(escape) ? String(name.dropFirst(escape.count)) : name
                entry.message.headers.append(name, Array(value))
            }
        }
        if !hasPayload { entry.problem = "the entry has no field 'payload'" }
        entry.message.id = MessageID(messageID ?? original ?? id.description)
        return entry
    }

    private static func text(_ value: ArraySlice<UInt8>, _ entry: inout Entry, _ name: String) -> String? {
        if let text = String(validating: value, as: UTF8.self) { return text }
        entry.problem = "the field '\(name)' is not UTF-8"
        return nil
    }

    private static func number(_ value: ArraySlice<UInt8>, _ entry: inout Entry, _ name: String) -> Int64? {
        if let number = Int64(String(decoding: value, as: UTF8.self)) { return number }
        entry.problem = "the field '\(name)' is not a whole number"
        return nil
    }
}

/// The id of a stream entry: milliseconds and a sequence number.
struct EntryID: Hashable, Comparable, Sendable, CustomStringConvertible {
    let milliseconds: UInt64
    let sequence: UInt64

    init(milliseconds: UInt64, sequence: UInt64) {
        self.milliseconds = milliseconds
        self.sequence = sequence
    }

    init?(_ bytes: some Sequence<UInt8>) {
        var parts: (UInt64, UInt64) = (0, 0)
        var dashes = 0
        var digits = (0, 0)
        for byte in bytes {
            if byte == UInt8(ascii: "-") {
                dashes += 1
                continue
            }
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9"), dashes < 2 else { return nil }
            let digit = UInt64(byte - UInt8(ascii: "0"))
            let (product, overflow) = (dashes == 0 ? parts.0 : parts.1).multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(digit)
            if overflow || carry { return nil }
            if dashes == 0 { parts.0 = sum } else { parts.1 = sum }
            if dashes == 0 { digits.0 += 1 } else { digits.1 += 1 }
        }
        guard dashes == 1, digits.0 > 0, digits.1 > 0 else { return nil }
        (milliseconds, sequence) = parts
    }

    static func < (left: EntryID, right: EntryID) -> Bool {
        (left.milliseconds, left.sequence) < (right.milliseconds, right.sequence)
    }

    var description: String { "\(milliseconds)-\(sequence)" }
}
#endif
