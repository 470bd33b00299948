#if Kafka
/// Which messages that wait are reserved, by the log that says so: one record per word, its key a ``StoredPlace``.
///
/// A reservation holds for a group once the member that has the partition has committed that it knows it: from then on
/// nobody moves the message. `docs/kafka.md` describes it.
struct ReservationBook: Sendable {
    /// What a record says.
    enum Word: String, Sendable {
        case reserved
        /// It is where it was.
        case returned
        /// It has gone elsewhere.
        case moved
    }

    struct Change: Equatable {
        let place: StoredPlace
        let word: Word
    }

    /// Messages of one partition, for one group or for all of them.
    private struct Part: Hashable {
        let topic: StoredPlace.Topic
        let partition: Int32
        let group: String?
    }

    private struct Content {
        /// For each offset, the first record behind the one that reserved it.
        var reserved: [Int64: Int64] = [:]
        var moved = OffsetRuns()
        /// Behind the last record that reserved something.
        var last: Int64 = 0
    }

    /// The first record that was not read.
    private(set) var next: Int64 = 0
    private var contents: [Part: Content] = [:]
    /// What is reserved, with the first record behind the one that said so.
    private(set) var reserved: [StoredPlace: Int64] = [:]

    /// Takes in a record.
    ///
    /// - Returns: What has changed; `nil` for what is no word of ours, was read before, or changes nothing.
    mutating func apply(_ record: KafkaRecord) -> Change? {
        guard record.offset >= next else { return nil }
        next = record.offset + 1
        guard let key = record.payload.key, let value = record.payload.value,
            let place = StoredPlace(String(decoding: key, as: UTF8.self)),
            place.topic == .scheduled || place.topic == .delayed,
            let word = Word(rawValue: String(decoding: value, as: UTF8.self))
        else { return nil }
        let part = Part(topic: place.topic, partition: place.partition, group: place.group)
        var content = contents[part] ?? Content()
        switch word {
        case .reserved:
            guard content.reserved[place.offset] == nil, !content.moved.contains(place.offset) else { return nil }
            content.reserved[place.offset] = next
            content.last = next
            reserved[place] = next
        case .returned:
            guard content.reserved.removeValue(forKey: place.offset) != nil else { return nil }
            reserved[place] = nil
        case .moved:
            // What was put back by another in between is where it was.
            guard content.reserved.removeValue(forKey: place.offset) != nil else { return nil }
            content.moved.insert(place.offset)
            reserved[place] = nil
        }
        contents[part] = content
        return Change(place: place, word: word)
    }

    /// Goes on where the log begins now: what was removed from it is of no importance any more.
    ///
    /// - Returns: Whether something was passed over, so that what was known no longer holds.
    mutating func begin(at offset: Int64) -> Bool {
        guard offset > next else { return false }
        let isGap = next > 0
        next = offset
        contents = [:]
        reserved = [:]
        return isGap
    }

    private func parts(_ topic: StoredPlace.Topic, _ partition: Int32, _ group: String) -> [Content] {
        [nil, group].compactMap { contents[Part(topic: topic, partition: partition, group: $0)] }
    }

    /// Whether a message is reserved, for a group or for all of them.
    func isReserved(_ topic: StoredPlace.Topic, _ partition: Int32, _ offset: Int64, for group: String) -> Bool {
        parts(topic, partition, group).contains { $0.reserved[offset] != nil }
    }

    /// How many messages of a partition are reserved.
    func count(_ topic: StoredPlace.Topic, _ partition: Int32, for group: String) -> Int {
        parts(topic, partition, group).reduce(0) { $0 + $1.reserved.count }
    }

    /// What has gone elsewhere.
    func moved(_ topic: StoredPlace.Topic, _ partition: Int32, for group: String) -> [Range<Int64>] {
        parts(topic, partition, group).flatMap(\.moved.runs)
    }

    /// Behind the last record that reserved something of a partition; 0 for none.
    func last(_ topic: StoredPlace.Topic, _ partition: Int32, for group: String) -> Int64 {
        parts(topic, partition, group).map(\.last).max() ?? 0
    }

    /// Whether nothing is reserved, and all that has gone elsewhere lies behind what every group has finished.
    ///
    /// - Parameter isFinished: Whether a group has finished all messages below an offset of a partition.
    /// - Returns: Whether the log can be emptied.
    func isOver(_ isFinished: (StoredPlace) -> Bool) -> Bool {
        reserved.isEmpty
            && contents.allSatisfy { part, content in
                guard let end = content.moved.runs.last?.upperBound else { return true }
                return isFinished(StoredPlace(part.topic, part.partition, end, group: part.group))
            }
    }

    /// The word about a message.
    static func payload(_ place: StoredPlace, _ word: Word) -> KafkaPayload {
        KafkaPayload(key: Array(place.id.utf8), value: Array(word.rawValue.utf8))
    }
}
#endif
