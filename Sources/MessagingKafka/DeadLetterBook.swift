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

    /// Takes in the word that a dead letter is gone.
    mutating func remove(_ record: KafkaRecord) {
        guard record.offset >= nextState else { return }
        nextState = record.offset + 1
        guard let key = record.payload.key, let offset = Int64(String(decoding: key, as: UTF8.self)), offset >= 0,
            !gone.contains(offset)
        else { return }
        gone.insert(offset)
        counts[Self.group(of: record), default: 0] -= 1
    }

    /// How many dead letters a group has.
    func count(of group: String) -> Int { max(0, counts[group] ?? 0) }

    /// The word that a dead letter is gone.
    static func state(_ offset: Int64, group: String?, _ word: String) -> KafkaPayload {
        KafkaPayload(
            key: Array(String(offset).utf8),
            value: Array(word.utf8),
            headers: group.map { [KafkaHeader(name: "mq-group", value: Array($0.utf8))] } ?? []
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
