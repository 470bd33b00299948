#if Kafka
/// A partition of a topic.
struct TopicPartition: Hashable, Sendable, CustomStringConvertible {
    var topic: String
    var partition: Int32

    var description: String { "\(topic)[\(partition)]" }
}

/// A place in a partition, with the note that was committed along with it.
struct KafkaPosition: Sendable, Equatable {
    /// No offset was committed.
    static let none: Int64 = -1001
    /// The first offset that the partition still has.
    static let beginning: Int64 = -2
    /// The offset after the last record.
    static let end: Int64 = -1

    var place: TopicPartition
    var offset: Int64
    var metadata: String?
}

/// A header of a record.
struct KafkaHeader: Sendable, Hashable {
    var name: String
    var value: [UInt8]
}

/// What is written: everything of a record but its place.
struct KafkaPayload: Sendable, Equatable {
    var key: [UInt8]?
    /// `nil` is a tombstone.
    var value: [UInt8]?
    /// Written as the first header, ``idHeader``.
    var id: String?
    var headers: [KafkaHeader] = []

    static let idHeader: StaticString = "mq-id"
    static let typeHeader: StaticString = "mq-content-type"
}

/// A record that was read.
struct KafkaRecord: Sendable {
    var partition: Int32
    var offset: Int64
    /// Milliseconds since 1970; `nil` when the record has none.
    var timestamp: Int64?
    var payload: KafkaPayload
}

/// What librdkafka says went wrong.
struct KafkaFailure: Error, Sendable, Equatable, CustomStringConvertible {
    var code: Int32
    /// librdkafka's name of the error, such as `_TIMED_OUT`.
    var name: String
    var text: String
    /// The producer cannot go on and must be made anew.
    var isFatal = false

    var description: String { "\(text) (\(name))" }
}

/// Whether a record that failed may be on the broker all the same.
enum Persistence: Sendable, Equatable {
    case not
    case possibly
    case persisted
}

/// What became of records that were written one after the other; of a single one when it failed.
struct KafkaReport: Sendable {
    /// What the first carries.
    var token: UInt
    var count: UInt = 1
    var persistence: Persistence
    var failure: KafkaFailure?
}

/// A line of librdkafka's log.
struct KafkaLogLine: Sendable {
    /// As syslog: 0 is the worst, 7 is for debugging.
    var level: Int
    var facility: String
    var text: String
}

/// What a client's poll thread gets to know.
enum KafkaEvent {
    /// One of the registry or of the reservations, which are read along.
    case record(TopicPartition, KafkaRecord)
    case arrival(Arrival)
    case assigned([TopicPartition])
    case revoked([TopicPartition], isLost: Bool)
    case committed(KafkaFailure?)
    case delivered([KafkaReport])
    case failure(KafkaFailure)
    /// The broker knows nothing of a topic that the group reads.
    case unheard(KafkaFailure)
    case log(KafkaLogLine)
    case statistics(String)
    /// Something that needs no answer.
    case other
}

/// A topic that shall exist.
struct KafkaTopic: Sendable, Equatable {
    var name: String
    var partitions: Int
    /// -1 means the broker's default.
    var replication: Int
    var settings: [String: String]
}
#endif
