#if Kafka
import Foundation
import Messaging

/// A message with all that travels with it, as a record and back.
///
/// `docs/kafka.md` describes it.
struct Envelope: Sendable {
    var id: String
    /// The record's key, raw: a foreign one may be no text.
    var key: [UInt8]?
    /// The record's value, raw; `nil` is a tombstone.
    var value: [UInt8]?
    /// The application's headers.
    var headers: [KafkaHeader] = []
    var contentType: String?
    /// When the message was published, in milliseconds since 1970.
    var published: Int64?
    /// When it becomes available, in milliseconds since 1970.
    var due: Int64?
    /// When it is to be delivered again, in milliseconds since 1970; only in delay topics.
    var again: Int64?
    /// Deliveries that have ended.
    var attempts = 0
    var redrives = 0
    var history: [Failure] = []
    /// Only in dead letters.
    var group: String?
    var reason: String?
    var error: String?
    var failedAt: Int64?

    static let tombstone = "mq-tombstone"

    // MARK: - Reading

    /// Why a record is no message.
    struct Problem: Error {
        let text: String
        /// What could be read.
        let envelope: Envelope
    }

    init(id: String, value: [UInt8]?) {
        self.id = id
        self.value = value
    }

    /// Reads a record.
    ///
    /// - Throws: ``Problem`` when a header of ours cannot be understood.
    init(_ record: KafkaRecord, topic: String) throws(Problem) {
        self.init(id: record.payload.id ?? "", value: record.payload.value)
        key = record.payload.key
        published = record.timestamp
        var problem: String?
        func number(_ header: KafkaHeader) -> Int64? {
            if let number = Int64(String(decoding: header.value, as: UTF8.self)) { return number }
            problem = "the header '\(header.name)' is not a whole number"
            return nil
        }
        func text(_ header: KafkaHeader) -> String? {
            if let text = String(validating: header.value, as: UTF8.self) { return text }
            problem = "the header '\(header.name)' is not UTF-8"
            return nil
        }
        headers.reserveCapacity(record.payload.headers.count)
        for header in record.payload.headers {
            guard header.name.hasPrefix("mq-") else {
                headers.append(header)
                continue
            }
            switch header.name {
            case "mq-id": if let given = text(header) { id = given }
            case "mq-content-type": contentType = text(header)
            case "mq-published": published = number(header) ?? published
            case "mq-due": due = number(header)
            case "mq-again": again = number(header)
            case "mq-attempts": attempts = Int(clamping: min(max(0, number(header) ?? 0), 1 << 40))
            case "mq-redrives": redrives = Int(clamping: min(max(0, number(header) ?? 0), 1 << 40))
            // A history that another program broke is no reason to lose its message.
            case "mq-history": history = (try? JSONDecoder().decode([Failure].self, from: Data(header.value))) ?? []
            case "mq-group": group = text(header)
            case "mq-reason": reason = text(header)
            case "mq-error": error = String(decoding: header.value, as: UTF8.self)
            case "mq-failed-at": failedAt = number(header)
            default: break
            }
        }
        // The message of another program is called after its place.
        if id.isEmpty { id = "\(topic)/\(record.partition)/\(record.offset)" }
        if let problem { throw Problem(text: problem, envelope: self) }
    }

    /// The message that a handler gets.
    var message: Message {
        var message = Message(body: value ?? [], id: MessageID(id))
        if let key { message.key = String(validating: key, as: UTF8.self) ?? "hex:" + Self.hexadecimal(key) }
        message.contentType = contentType
        if let due { message.due = .at(UnixTime.date(due)) }
        for header in headers { message.headers.set(header.name, header.value) }
        if value == nil { message.headers.set(Self.tombstone, [UInt8(ascii: "1")]) }
        return message
    }

    private static func hexadecimal(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    // MARK: - Writing

    /// The message of a publisher.
    init(_ message: Message, due: Int64?) {
        self.init(id: message.id.rawValue, value: message.body)
        key = message.key.map { Array($0.utf8) }
        contentType = message.contentType
        headers = message.headers.map { KafkaHeader(name: $0.name, value: $0.value) }
        self.due = due
    }

    /// The record; what a plain message needs not say is left out.
    var payload: KafkaPayload {
        var payload = KafkaPayload(key: key, value: value, id: id)
        func add(_ name: String, _ text: String) {
            payload.headers.append(KafkaHeader(name: name, value: Array(text.utf8)))
        }
        if let contentType { add("mq-content-type", contentType) }
        if let due { add("mq-due", String(due)) }
        if let again { add("mq-again", String(again)) }
        if let published { add("mq-published", String(published)) }
        if attempts > 0 { add("mq-attempts", String(attempts)) }
        if redrives > 0 { add("mq-redrives", String(redrives)) }
        if !history.isEmpty, let json = try? JSONEncoder().encode(history) {
            payload.headers.append(KafkaHeader(name: "mq-history", value: Array(json)))
        }
        if let group { add("mq-group", group) }
        if let reason { add("mq-reason", reason) }
        if let error { add("mq-error", error) }
        if let failedAt { add("mq-failed-at", String(failedAt)) }
        payload.headers += headers
        return payload
    }

    /// Notes a failed attempt.
    mutating func note(_ attempt: Int, at time: Int64, by consumer: String, _ error: String?) {
        history = Failure.history(history, adding: attempt, at: UnixTime.date(time), by: consumer, error: error)
    }

    /// The dead letter of this message.
    func deadLetter(
        group: String,
        reason: DeadLetterReason,
        error: String?,
        attempts: Int,
        now: Int64
    ) -> Envelope {
        var letter = self
        letter.group = group
        letter.reason = reason.rawValue
        letter.error = error.map(Failure.shortened)
        letter.attempts = attempts
        letter.failedAt = now
        return letter
    }

    /// The message as it goes to its group again.
    var redriven: Envelope {
        var again = self
        (again.group, again.reason, again.error, again.failedAt) = (nil, nil, nil, nil)
        again.attempts = 0
        again.redrives += 1
        return again
    }
}
#endif
