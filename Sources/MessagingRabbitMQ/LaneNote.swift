#if RabbitMQ
import Messaging

/// What a consumer leaves for the next one that gets a message of a lane: how often it was tried, and when it is due.
///
/// A message of a lane keeps its place, so nothing can be written on it. The broker only counts how often it handed it out,
/// which says too much when a lane changes hands. Notes are messages in a queue of the group, and only looked for when the
/// broker says that it handed a message out before.
struct LaneNote: Sendable, Equatable {
    private static let seenHeader = "mq-seen"
    private static let triedHeader = "mq-tried"

    var id: String
    var redrives: Int
    /// Attempts that ended.
    var attempts: Int
    /// How often the broker has handed the message out, that which the note was made in included.
    var seen: Int
    /// When it may be handed over at the earliest, in milliseconds since 1970.
    var due: Int64?
    var history: [Failure]
    /// Whether it was handed over alone because its attempts might be over: when it comes again they are.
    var isTried = false

    init(id: String, redrives: Int, attempts: Int, seen: Int, due: Int64?, history: [Failure]) {
        (self.id, self.redrives, self.attempts, self.seen) = (id, redrives, attempts, seen)
        (self.due, self.history) = (due, history)
    }

    /// The note about a message as it is known here.
    ///
    /// - Parameters:
    ///   - wire: The message.
    ///   - due: When it may be handed over at the earliest.
    ///   - isLeft: Whether it goes back untouched, so that this is no attempt.
    init(_ wire: WireMessage, due: Int64?, isLeft: Bool) {
        self.init(
            id: wire.message.id.rawValue,
            redrives: wire.redrives,
            attempts: wire.attempts + wire.deliveries,
            seen: wire.seen + (isLeft ? 1 : 0),
            due: due,
            history: wire.history
        )
    }

    /// Reads a note; `nil` when it is none of ours.
    init?(_ incoming: IncomingMessage) {
        guard let seen = incoming.properties.headers.value(Self.seenHeader)?.integer else { return nil }
        let wire = WireFormat.read(incoming)
        guard wire.problem == nil else { return nil }
        var due: Int64?
        if case .at(let date)? = wire.message.due { due = UnixTime.milliseconds(date) }
        self.init(
            id: wire.message.id.rawValue,
            redrives: wire.redrives,
            attempts: wire.attempts,
            seen: Int(clamping: min(max(0, seen), 1 << 31)),
            due: due,
            history: wire.history
        )
        isTried = incoming.properties.headers.value(Self.triedHeader) == .bool(true)
    }

    func message(queue: String, group: String) -> OutgoingMessage {
        var wire = WireMessage(Message(body: [], id: MessageID(id)))
        (wire.redrives, wire.attempts, wire.history) = (redrives, attempts, history)
        if let due { wire.message.due = .at(UnixTime.date(due)) }
        var properties = WireFormat.properties(wire)
        properties.headers.append(AMQPHeader(Self.seenHeader, .number(Int64(seen))))
        if isTried { properties.headers.append(AMQPHeader(Self.triedHeader, .bool(true))) }
        return OutgoingMessage(
            exchange: "",
            routingKey: RabbitNames.notes(queue, group),
            properties: properties,
            body: []
        )
    }

    /// Whether it is about this life of a message: one that comes back from the dead letters begins anew.
    func isAbout(_ wire: WireMessage) -> Bool { id == wire.message.id.rawValue && redrives == wire.redrives }

    /// Whether it was made later than another one about the same message.
    func isLater(than other: LaneNote) -> Bool { (seen, attempts) >= (other.seen, other.attempts) }

    /// The message as the note says: only hand-outs that the note does not know count as attempts.
    func applied(to wire: WireMessage) -> WireMessage {
        var wire = wire
        wire.attempts = attempts
        wire.history = history
        wire.deliveries = max(0, wire.seen - seen)
        return wire
    }
}
#endif
