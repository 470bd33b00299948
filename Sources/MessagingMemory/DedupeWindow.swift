import Messaging

/// The ids that were accepted within the dedupe window, with a digest of their bodies.
struct DedupeWindow: Sendable {
    enum Answer: Sendable {
        case new
        case duplicate
        case conflict
    }

    let window: Duration
    private var marks = MarkTable()
    private var order = ExpiryOrder()
    private var last: UInt64 = 0
    /// The end of the window of the message that was admitted last, by its number.
    private var latest: (number: UInt64, until: Duration) = (0, .zero)

    init(window: Duration) { self.window = window.bounded }

    var count: Int { marks.count }
    /// How many ids are waiting to be forgotten, those that were forgotten before their time included.
    var waiting: Int { order.count }

    /// Tells whether an id is known, and remembers it when it is not.
    mutating func admit(_ message: Message, now: Duration) -> Answer {
        guard window > .zero else { return .new }
        last += 1
        let fresh = MarkTable.Mark(id: message.id, digest: BodyDigest.of(message.body), number: last)
        if let mark = marks.insert(fresh) {
            return mark.digest == nil || mark.digest == fresh.digest ? .duplicate : .conflict
        }
        latest = (fresh.number, now + window)
        order.insert(ExpiryOrder.Entry(id: message.id, number: fresh.number, until: latest.until))
        return .new
    }

    /// Forgets an id whose message was not kept after all.
    mutating func forget(_ id: MessageID) {
        let number = marks.find(id)?.number
        marks.remove(id)
        // Refused messages must not pile up here while the queue is full.
        if number == latest.number { order.remove(until: latest.until, number: latest.number) }
    }

    /// Remembers an id that was published elsewhere, unless it is known.
    mutating func remember(_ id: MessageID, until: Duration) {
        guard window > .zero else { return }
        last += 1
        guard marks.insert(MarkTable.Mark(id: id, digest: nil, number: last)) == nil else { return }
        order.insert(ExpiryOrder.Entry(id: id, number: last, until: until))
    }

    /// Returns the ids in the order in which they are forgotten, or `nil` when the cursor is not one of ours.
    func page(after cursor: String?, limit: Int) -> (ids: [(id: MessageID, until: Duration)], next: String?)? {
        var start = (until: Duration.seconds(Int64.min), number: UInt64.zero)
        if let cursor {
            let parts = cursor.split(separator: "-").compactMap { UInt64($0) }
            guard parts.count == 3 else { return nil }
            let (seconds, attoseconds) = (Int64(clamping: parts[0]), Int64(clamping: parts[1]))
            start = (Duration(secondsComponent: seconds, attosecondsComponent: attoseconds), parts[2])
        }
        var found: [(id: MessageID, until: Duration)] = []
        var last: ExpiryOrder.Entry?
        for entry in order.entries(after: start.until, start.number)
        where marks.find(entry.id)?.number == entry.number {
            guard found.count < limit else { return (found, last.map(Self.cursor(of:))) }
            found.append((entry.id, entry.until))
            last = entry
        }
        return (found, nil)
    }

    private static func cursor(of entry: ExpiryOrder.Entry) -> String {
        "\(entry.until.components.seconds)-\(entry.until.components.attoseconds)-\(entry.number)"
    }

    mutating func expire(now: Duration) {
        while let first = order.first, first.until <= now {
            order.removeFirst()
            // A forgotten id may have been accepted again later.
            marks.remove(first.id, number: first.number)
        }
    }
}
