#if Kafka
import Messaging

/// A message as a member keeps it: what a handler gets, and what travels with it besides.
///
/// Most messages are plain: what a handler gets is all there is, and their envelope is made when somebody asks for it.
struct Parcel: Sendable {
    private final class Box: Sendable {
        let envelope: Envelope

        init(_ envelope: Envelope) { self.envelope = envelope }
    }

    private(set) var message: Message
    /// When it was published, in milliseconds since 1970.
    private(set) var published: Int64?
    private var box: Box?

    /// A message that has nothing but an id, a key, a media type, a body and headers of the application.
    init(_ message: Message, published: Int64?) {
        self.message = message
        self.published = published
    }

    init(_ envelope: Envelope) {
        message = envelope.message
        published = envelope.published
        box = Box(envelope)
    }

    var envelope: Envelope {
        get {
            if let box { return box.envelope }
            var envelope = Envelope(message, due: nil)
            envelope.published = published
            return envelope
        }
        set { self = Parcel(newValue) }
    }

    /// Deliveries that ended before this copy was written.
    var attempts: Int { box?.envelope.attempts ?? 0 }
    var redrives: Int { box?.envelope.redrives ?? 0 }
    var history: [Failure] { box?.envelope.history ?? [] }
}

/// A record as a member takes it in.
struct Arrival: Sendable {
    enum Content: Sendable {
        case message(Parcel)
        /// It is no message; rare, and large.
        indirect case broken(Envelope.Problem)
    }

    let place: TopicPartition
    let offset: Int64
    /// Milliseconds since 1970; `nil` when the record has none.
    let timestamp: Int64?
    let content: Content

    init(place: TopicPartition, offset: Int64, timestamp: Int64?, content: Content) {
        self.place = place
        self.offset = offset
        self.timestamp = timestamp
        self.content = content
    }

    /// Reads a record whatever it has.
    ///
    /// - Parameters:
    ///   - record: The record.
    ///   - place: Where it is.
    ///   - name: What messages of other programs are called after.
    init(_ record: KafkaRecord, of place: TopicPartition, name: String) {
        let content: Content
        do throws(Envelope.Problem) {
            content = .message(Parcel(try Envelope(record, topic: name)))
        } catch {
            content = .broken(error)
        }
        self.init(place: place, offset: record.offset, timestamp: record.timestamp, content: content)
    }
}
#endif
