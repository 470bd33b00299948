#if Kafka
import Messaging

/// Which dead letters of a queue are there: one topic has them all, another says which are gone.
///
/// Both are logs, so this reads only what came since it last looked.
struct DeadLetterBook: Sendable {
    /// How many dead letters each group has, those without a group under the empty name.
    private(set) var counts: [String: Int] = [:]
    /// Those that were sent again or discarded.
    private(set) var gone = OffsetRuns()
    /// Those that are on their way to another backend: nobody sees, sends or discards them.
    private(set) var reserved: Set<Int64> = []
    /// Those that somebody is sending again, with until when nobody may reserve them; milliseconds since 1970.
    private(set) var sending: [Int64: Int64] = [:]
    /// The next dead letter that was not counted.
    var nextLetter: Int64 = 0
    /// The next word on what is gone that was not read.
    var nextState: Int64 = 0

    /// Takes in a dead letter.
    mutating func count(_ record: KafkaRecord) {
        guard record.offset >= nextLetter else { return }
        nextLetter = record.offset + 1
        counts[Self.group(of: record), default: 0] += 1
    }

    /// What the second topic says of a dead letter.
    enum Word: String, Sendable {
        /// It is being sent again; until some time nobody may reserve it, so that it does not go two ways.
        case sending
        case redriven
        case discarded
        case reserved
        /// It is no longer reserved.
        case returned
        /// It has gone to another backend.
        case moved
    }

    /// The name of the header that says for how long a letter is being sent, in milliseconds.
    static let withinHeader = "mq-within"

    /// Takes in a word on a dead letter; which of two counts, their order says to everybody alike.
    mutating func remove(_ record: KafkaRecord) {
        guard record.offset >= nextState else { return }
        nextState = record.offset + 1
        guard let key = record.payload.key, let offset = Int64(String(decoding: key, as: UTF8.self)), offset >= 0,
            !gone.contains(offset), let value = record.payload.value
        else { return }
        switch Word(rawValue: String(decoding: value, as: UTF8.self)) {
        case .sending:
            guard !reserved.contains(offset) else { return }
            let within = record.payload.headers.first { $0.name == Self.withinHeader }
            let time = within.flatMap { Int64(String(decoding: $0.value, as: UTF8.self)) } ?? 0
            let end = (record.timestamp ?? 0).addingReportingOverflow(max(0, time)).partialValue
            sending[offset] = max(sending[offset] ?? 0, end)
        case .reserved:
            if let end = sending[offset], record.timestamp ?? 0 < end { return }
            reserved.insert(offset)
        case .returned: reserved.remove(offset)
        case .discarded: if !reserved.contains(offset) { end(offset, record) }
        case .moved: if reserved.contains(offset) { end(offset, record) }
        // Also words of earlier and later builds, which all end it: its copy is there.
        case .redriven, nil: end(offset, record)
        }
    }

    private mutating func end(_ offset: Int64, _ record: KafkaRecord) {
        reserved.remove(offset)
        sending[offset] = nil
        gone.insert(offset)
        counts[Self.group(of: record), default: 0] -= 1
    }

    /// Whether a dead letter can be seen, sent again and discarded.
    func isOpen(_ offset: Int64) -> Bool { !gone.contains(offset) && !reserved.contains(offset) }

    /// How many dead letters a group has.
    func count(of group: String) -> Int { max(0, counts[group] ?? 0) }

    /// The word on a dead letter.
    ///
    /// - Parameters:
    ///   - offset: The dead letter.
    ///   - group: Its group.
    ///   - word: The word.
    ///   - time: For ``Word/sending``: within which time it is sent or never.
    /// - Returns: The record.
    static func state(_ offset: Int64, group: String?, _ word: Word, within time: Duration? = nil) -> KafkaPayload {
        let headers = [("mq-group", group), (withinHeader, time.map { String($0.milliseconds) })]
        return KafkaPayload(
            key: Array(String(offset).utf8),
            value: Array(word.rawValue.utf8),
            headers: headers.compactMap { name, value in value.map { KafkaHeader(name: name, value: Array($0.utf8)) } }
        )
    }

    private static func group(of record: KafkaRecord) -> String {
        let header = record.payload.headers.first { $0.name == "mq-group" }
        return header.map { String(decoding: $0.value, as: UTF8.self) } ?? ""
    }

    /// A dead letter as it is shown.
    static func letter(_ record: KafkaRecord, queue: String) -> (letter: DeadLetter, envelope: Envelope) {
        let topic = KafkaNames.deadLetters(queue)
        let envelope: Envelope
        do throws(Envelope.Problem) { envelope = try Envelope(record, topic: topic) } catch {
            envelope = error.envelope
        }
        let letter = DeadLetter(
            id: String(record.offset),
            message: envelope.message,
            queue: queue,
            group: envelope.group,
            reason: envelope.reason.map { DeadLetterReason(rawValue: $0) } ?? .rejected,
            error: envelope.error,
            attempts: envelope.attempts,
            failedAt: (envelope.failedAt ?? record.timestamp).map(UnixTime.date),
            publishedAt: envelope.published.map(UnixTime.date),
            history: envelope.history
        )
        return (letter, envelope)
    }
}
#endif
