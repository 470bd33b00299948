#if RabbitMQ
import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A message with where it goes.
struct OutgoingMessage: Sendable {
    /// The empty name is the exchange that knows every queue by its name.
    var exchange: String
    var routingKey: String
    var properties: AMQPProperties
    var body: [UInt8]
}

/// A message as it is on the broker: what an application sees of it, and what this library keeps with it.
struct WireMessage: Sendable {
    var message: Message
    /// Deliveries to this group that ended without success before the copy on the broker was made.
    var attempts = 0
    /// How often the broker has handed the copy over before, as it says.
    var deliveries = 0
    /// The same, also after it was learned which of them were no attempts.
    var seen = 0
    var history: [Failure] = []
    var redrives = 0
    /// What is left of a delay that was too long for one walk down the levels.
    var delayLeft: Int64 = 0
    /// Until when a retry waits.
    var until: Int64?
    /// Whether it came from another backend and may be there twice.
    var mayBeDouble = false
    // Of dead letters only.
    var deadID: String?
    var group: String?
    var reason: String?
    var error: String?
    var failedAt: Int64?
    /// Headers whose values are no strings, as they were; the application sees them as text.
    var typed: AMQPTable = []
    /// Properties that have no place in a message of this library, as they were.
    var rest = AMQPProperties()
    /// Why it is no message.
    var problem: String?

    init(_ message: Message) { self.message = message }

    /// Which delivery to its group it is.
    var attempt: Int { attempts + deliveries + 1 }
}

/// Messages as AMQP has them, and back.
///
/// `docs/wire-format.md` describes it.
enum WireFormat {
    /// Headers that mean something to the broker.
    ///
    /// One of that name is sent with the prefix `mq-h-`; coming from the broker they are its own and go nowhere. A copy with the history of another walk would be taken for a loop and dropped.
    static let brokers: Set<String> = [
        "CC", "BCC", "x-death", "x-first-death-exchange", "x-first-death-queue", "x-first-death-reason",
        "x-last-death-exchange", "x-last-death-queue", "x-last-death-reason", "x-delivery-count", "x-acquired-count",
        "x-stream-offset",
    ]
    private static let escape = "mq-h-"
    /// Properties and headers of a message together; what is added later must fit into the same frame.
    static let maxPropertiesBytes = 64 << 10
    /// How much of the history is kept.
    private static let maxHistoryBytes = 16 << 10

    // MARK: - Writing

    /// Why a message cannot be sent at all; `nil` when it can.
    static func problem(_ properties: AMQPProperties, frameMax: Int, queue: String) -> QueueError? {
        for header in properties.headers where header.name.utf8.count > 255 {
            return QueueError(.invalidArgument, "AMQP takes header names of at most 255 bytes", queue: queue)
        }
        let limit = min(maxPropertiesBytes, frameMax / 2)
        if properties.encodedSize > limit {
            return QueueError(
                .tooLarge,
                "id, key and headers exceed \(limit) bytes together, which must fit into one AMQP frame",
                queue: queue
            )
        }
        return nil
    }

    static func properties(_ wire: WireMessage) -> AMQPProperties {
        let message = wire.message
        var properties = wire.rest
        var own: AMQPTable = []
        let id = message.id.rawValue
        if id.utf8.count <= 255 { properties.messageID = id } else { own.append(AMQPHeader("mq-id", .text(id))) }
        if let type = message.contentType {
            if type.utf8.count <= 255 {
                properties.contentType = type
            } else {
                own.append(AMQPHeader("mq-content-type", .text(type)))
            }
        }
        if let key = message.key { own.append(AMQPHeader("mq-key", .text(key))) }
        if case .at(let date)? = message.due { own.append(AMQPHeader("mq-due", .number(UnixTime.milliseconds(date)))) }
        if wire.attempts > 0 { own.append(AMQPHeader("mq-attempts", .number(Int64(wire.attempts)))) }
        if wire.redrives > 0 { own.append(AMQPHeader("mq-redrives", .number(Int64(wire.redrives)))) }
        if wire.delayLeft > 0 { own.append(AMQPHeader("mq-delay-left", .number(wire.delayLeft))) }
        if let time = wire.until { own.append(AMQPHeader("mq-until", .number(time))) }
        if wire.mayBeDouble { own.append(AMQPHeader("mq-maybe-dup", .bool(true))) }
        if !wire.history.isEmpty { own.append(AMQPHeader("mq-history", .text(encode(wire.history)))) }
        if let text = wire.deadID { own.append(AMQPHeader("mq-dead-id", .text(text))) }
        if let text = wire.group { own.append(AMQPHeader("mq-group", .text(text))) }
        if let text = wire.reason { own.append(AMQPHeader("mq-reason", .text(text))) }
        if let text = wire.error { own.append(AMQPHeader("mq-error", .text(text))) }
        if let time = wire.failedAt { own.append(AMQPHeader("mq-failed-at", .number(time))) }
        if !message.headers.isEmpty { own += headers(message.headers, typed: wire.typed) }
        properties.headers = own
        return properties
    }

    private static func headers(_ headers: MessageHeaders, typed: AMQPTable) -> AMQPTable {
        let typed = Dictionary(typed.map { ($0.name, $0.value) }) { first, _ in first }
        var table: AMQPTable = []
        if let order = HeaderOrder.indices(headers.map { wireName($0.name) }) {
            table.append(AMQPHeader("mq-order", .text(order)))
        }
        for header in headers {
            let plain: AMQPValue = header.text != nil ? .text(header.value) : .bytes(header.value)
            table.append(AMQPHeader(wireName(header.name), typed[header.name] ?? plain))
        }
        return table
    }

    private static func wireName(_ name: String) -> String { brokers.contains(name) ? escape + name : name }

    private static func encode(_ history: [Failure]) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        var kept = history.suffix(Failure.maxHistory)
        while !kept.isEmpty {
            if let data = try? encoder.encode(Array(kept)), data.count <= maxHistoryBytes || kept.count == 1 {
                return Array(data)
            }
            kept.removeFirst()
        }
        return Array("[]".utf8)
    }

    // MARK: - Reading

    static func read(_ incoming: IncomingMessage) -> WireMessage {
        var wire = WireMessage(Message(body: incoming.body, id: ""))
        var properties = incoming.properties
        var id = properties.messageID
        wire.message.contentType = properties.contentType
        var fromBroker: Int64 = 0
        var headers: [(wireName: String, header: MessageHeaders.Header)] = []
        var order: String?
        for header in properties.headers {
            switch header.name {
            case "mq-id": id = text(header, &wire)
            case "mq-key": wire.message.key = text(header, &wire)
            case "mq-content-type": wire.message.contentType = text(header, &wire)
            case "mq-due":
                if let due = number(header, &wire) { wire.message.due = .at(UnixTime.date(due)) }
            case "mq-attempts": wire.attempts = count(header, &wire)
            case "mq-redrives": wire.redrives = count(header, &wire)
            case "mq-delay-left": wire.delayLeft = max(0, number(header, &wire) ?? 0)
            case "mq-until": wire.until = number(header, &wire)
            case "mq-maybe-dup": wire.mayBeDouble = header.value == .bool(true)
            case "mq-history":
                // A history that another program broke is no reason to lose its message.
                wire.history = (try? JSONDecoder().decode([Failure].self, from: Data(header.value.headerBytes))) ?? []
            case "mq-order": order = header.value.string
            case "mq-dead-id": wire.deadID = text(header, &wire)
            case "mq-group": wire.group = text(header, &wire)
            case "mq-reason": wire.reason = text(header, &wire)
            case "mq-error": wire.error = String(decoding: header.value.headerBytes, as: UTF8.self)
            case "mq-failed-at": wire.failedAt = number(header, &wire)
            case "x-delivery-count", "x-acquired-count":
                fromBroker = max(fromBroker, header.value.integer ?? 0)
            case "x-death": death(header.value, &wire)
            case let name where brokers.contains(name): continue
            case let name:
                let plain = name.hasPrefix(escape) ? String(name.dropFirst(escape.count)) : name
                headers.append((name, MessageHeaders.Header(name: plain, value: header.value.headerBytes)))
                switch header.value {
                case .text, .bytes: break
                default: wire.typed.append(AMQPHeader(plain, header.value))
                }
            }
        }
        if !headers.isEmpty {
            for header in HeaderOrder.restored(headers, order) {
                wire.message.headers.append(header.name, header.value)
            }
        }
        wire.deliveries = Int(clamping: min(max(0, fromBroker), 1 << 31))
        wire.seen = wire.deliveries
        // Without an id it gets one here, which its copies keep.
        wire.message.id = id.map { MessageID($0) } ?? MessageID.make()
        if id?.isEmpty == true { wire.message.id = .make() }
        (properties.headers, properties.messageID, properties.contentType) = ([], nil, nil)
        wire.rest = properties
        return wire
    }

    /// What the broker noted when it gave up on a message by itself.
    private static func death(_ value: AMQPValue, _ wire: inout WireMessage) {
        guard case .array(let deaths) = value else { return }
        for case .table(let death) in deaths where death.value("reason")?.string == "delivery_limit" {
            wire.reason = wire.reason ?? DeadLetterReason.attemptsExhausted.rawValue
            wire.error = wire.error ?? "its consumers died as often as the broker allows"
            wire.failedAt = wire.failedAt ?? death.value("time")?.integer.map { $0 * 1000 }
        }
    }

    private static func text(_ header: AMQPHeader, _ wire: inout WireMessage) -> String? {
        if let text = header.value.string { return text }
        wire.problem = "the header '\(header.name)' is not UTF-8"
        return nil
    }

    private static func number(_ header: AMQPHeader, _ wire: inout WireMessage) -> Int64? {
        if let number = header.value.integer { return number }
        wire.problem = "the header '\(header.name)' is not a whole number"
        return nil
    }

    private static func count(_ header: AMQPHeader, _ wire: inout WireMessage) -> Int {
        Int(clamping: min(max(0, number(header, &wire) ?? 0), 1 << 31))
    }
}
#endif
