#if RabbitMQ
import Messaging

/// Dead letters as the caller sees them, without I/O.
enum DeadLetterPlan {
    /// Where a dead letter stands in a listing: by time, then by id.
    ///
    /// The order on the broker changes when others look.
    struct Position: Comparable, Sendable {
        var time: Int64
        var id: String

        init(time: Int64, id: String) {
            self.time = time
            self.id = id
        }

        /// Reads a cursor; `nil` when it is none of ours.
        init?(_ cursor: String) {
            let parts = cursor.split(separator: "|", maxSplits: 1)
            guard parts.count == 2, let time = Int64(parts[0]) else { return nil }
            self.init(time: time, id: String(parts[1]))
        }

        var cursor: String { "\(time)|\(id)" }

        static func < (left: Position, right: Position) -> Bool { (left.time, left.id) < (right.time, right.id) }
    }

    /// The first so many of what is shown, however much it is.
    struct PageBuilder {
        private let after: Position?
        private let limit: Int
        private var found: [(Position, DeadLetter)] = []
        private var hasMore = false

        init(after: Position?, limit: Int) {
            self.after = after
            self.limit = limit
        }

        mutating func add(_ position: Position, _ letter: @autoclosure () -> DeadLetter?) {
            if let after, position <= after { return }
            if found.count == limit, let last = found.last, position > last.0 {
                hasMore = hasMore || letter() != nil
                return
            }
            guard let letter = letter() else { return }
            let index = found.firstIndex { position < $0.0 } ?? found.endIndex
            found.insert((position, letter), at: index)
            if found.count > limit {
                found.removeLast()
                hasMore = true
            }
        }

        func page() -> Page<DeadLetter> {
            Page(found.map(\.1), next: hasMore ? found.last?.0.cursor : nil)
        }
    }

    /// The id of a dead letter, the same at each look; one that another program wrote is known by what it is.
    static func id(_ incoming: IncomingMessage, _ wire: WireMessage, group: String) -> String {
        "\(wire.deadID ?? digest(incoming))@\(group)"
    }

    static func position(_ incoming: IncomingMessage, _ wire: WireMessage, group: String) -> Position {
        Position(time: time(wire) ?? 0, id: id(incoming, wire, group: group))
    }

    /// The group in an id.
    static func group(_ id: String) -> String? { id.firstIndex(of: "@").map { String(id[id.index(after: $0)...]) } }

    static func letter(_ incoming: IncomingMessage, _ wire: WireMessage, queue: String, group: String) -> DeadLetter {
        var message = wire.message
        if incoming.properties.messageID == nil, incoming.properties.headers.value("mq-id") == nil {
            message.id = MessageID("dead-\(digest(incoming))")
        }
        return DeadLetter(
            id: id(incoming, wire, group: group),
            message: message,
            queue: queue,
            group: group,
            reason: wire.reason.map { DeadLetterReason(rawValue: $0) } ?? .rejected,
            error: wire.error,
            attempts: max(wire.attempts, wire.history.last?.attempt ?? 0),
            failedAt: time(wire).map(UnixTime.date),
            publishedAt: wire.rest.timestamp.map { UnixTime.date(Int64(clamping: $0) &* 1000) },
            history: wire.history
        )
    }

    private static func time(_ wire: WireMessage) -> Int64? {
        wire.failedAt ?? wire.rest.timestamp.map { Int64(clamping: $0) &* 1000 }
    }

    private static func digest(_ incoming: IncomingMessage) -> String {
        let seed = RabbitNames.hash((incoming.properties.messageID ?? "").utf8)
        return RabbitNames.hexadecimal(RabbitNames.hash(incoming.body, seed: seed))
    }
}
#endif
