#if Redis
import Messaging

/// Messages as fields of a stream entry, and back.
///
/// `docs/wire-format.md` describes it.
enum WireFormat {
    static let payload = "payload"
    private static let identifier = "mq-id"
    private static let key = "mq-key"
    private static let contentType = "mq-content-type"
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
        writer.word(identifier)
        writer.word(message.id.rawValue)
        if let key = message.key {
            writer.word(Self.key)
            writer.word(key)
        }
        if let type = message.contentType {
            writer.word(contentType)
            writer.word(type)
        }
        for header in message.headers {
            writer.word(name(header.name))
            writer.word(header.value)
        }
    }

    /// The names of the fields of a message, in the order of ``writeValues(_:_:)``; the body and the id come first.
    static func names(_ message: Message) -> [String] {
        var names = [payload, identifier]
        if message.key != nil { names.append(key) }
        if message.contentType != nil { names.append(contentType) }
        for header in message.headers { names.append(name(header.name)) }
        return names
    }

    static func writeValues(_ message: Message, _ writer: inout RESPWriter) {
        writer.word(message.body)
        writer.word(message.id.rawValue)
        if let key = message.key { writer.word(key) }
        if let type = message.contentType { writer.word(type) }
        for header in message.headers { writer.word(header.value) }
    }

    /// Whether two messages have fields of the same names.
    static func haveSameNames(_ one: Message, _ other: Message) -> Bool {
        (one.key == nil) == (other.key == nil) && (one.contentType == nil) == (other.contentType == nil)
            && (one.headers.isEmpty && other.headers.isEmpty
                || one.headers.lazy.map(\.name).elementsEqual(other.headers.lazy.map(\.name)))
    }

    private static func name(_ header: String) -> String { shared.contains(header) ? escape + header : header }

    // MARK: - Reading

    /// A field that is no header, told by the bytes of its name.
    private enum Field: String, CaseIterable {
        case payload
        case identifier = "mq-id"
        case key = "mq-key"
        case contentType = "mq-content-type"
        case due = "mq-due"
        case published = "mq-published"
        case retryCount = "retry_count"
        case redrives = "mq-redrives"
        case history = "mq-history"
        case original = "original_message_id"
        case error
        case failedAt = "failed_at"
        case group = "mq-group"
        case reason = "mq-reason"
        case attempts = "mq-attempts"

        /// The fields by the lengths of their names.
        private static let byLength = {
            var lists: [[(name: [UInt8], field: Field)]] = Array(repeating: [], count: 20)
            for field in allCases {
                let name = Array(field.rawValue.utf8)
                lists[name.count].append((name, field))
            }
            return lists
        }()

        init?(_ name: ArraySlice<UInt8>) {
            guard name.count < Self.byLength.count else { return nil }
            for known in Self.byLength[name.count] where name.elementsEqual(known.name) {
                self = known.field
                return
            }
            return nil
        }
    }

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
            switch Field(name) {
            case .payload:
                entry.message.body = Array(value)
                hasPayload = true
            case .identifier: messageID = text(value, &entry, "mq-id")
            case .key: entry.message.key = text(value, &entry, "mq-key")
            case .contentType: entry.message.contentType = text(value, &entry, "mq-content-type")
            case .due: if let due = number(value, &entry, "mq-due") { entry.message.due = .at(UnixTime.date(due)) }
            case .published: entry.published = number(value, &entry, "mq-published")
            case .retryCount:
                // A foreign program may leave it empty; what is no number of attempts is no message of ours.
                if let count = number(value, &entry, "retry_count") {
                    entry.previousAttempts = Int(clamping: min(max(0, count), 1 << 53))
                }
            case .redrives: entry.redrives = Int(clamping: number(value, &entry, "mq-redrives") ?? 0)
            case .history: entry.history = HistoryCoder.decode(value)
            case .original: original = text(value, &entry, "original_message_id")
            case .error: entry.error = String(decoding: value, as: UTF8.self)
            case .failedAt: entry.failedAt = String(decoding: value, as: UTF8.self)
            case .group: entry.group = text(value, &entry, "mq-group")
            case .reason: entry.reason = text(value, &entry, "mq-reason")
            case .attempts: entry.attempts = number(value, &entry, "mq-attempts").map { Int(clamping: $0) }
            case nil:
                guard let name = String(validating: name, as: UTF8.self) else {
                    entry.problem = "a field name is not UTF-8"
                    continue
                }
                let header = name.hasPrefix(escape) ? String(name.dropFirst(escape.count)) : name
                entry.message.headers.append(header, Array(value))
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
