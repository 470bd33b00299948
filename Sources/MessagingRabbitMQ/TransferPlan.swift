#if RabbitMQ
import Messaging

/// What moving a queue means on RabbitMQ, without I/O.
enum TransferPlan {
    static let noReady =
        "a look at a group's messages counts as a delivery of each; they are taken out by consuming them"
    static let noInFlight = "the broker does not tell which messages consumers hold"
    static let noLevels =
        "RabbitMQ 4 lets go of what was looked at twenty times, which would come early; wait until it is due"
    static let restoresAgain = "the broker knows no ids; what another client wrote in is not recognised"
    /// A queue tells its figures every 5 s, and the management plugin collects them as often.
    static let figureAge: Duration = .seconds(12)
    static let reservesForLife = "what is reserved is on the way to this client, and goes back when its connection ends"

    /// What cannot be listed; `isCounting` is whether the delay levels let go of messages that were looked at too often.
    static func unlisted(isCounting: Bool) -> [StoredMessage.State: String] {
        var reasons: [StoredMessage.State: String] = [.ready: noReady, .inFlight: noInFlight]
        if isCounting { (reasons[.waiting], reasons[.scheduled]) = (noLevels, noLevels) }
        return reasons
    }

    static func limits(version: String) -> TransferLimits {
        TransferLimits(
            unlisted: unlisted(isCounting: isCounting(version)),
            restoresAgain: restoresAgain,
            reservesForLife: reservesForLife,
            figureAge: figureAge,
            pushes: true
        )
    }

    /// Whether a quorum queue without a limit of its own has one; also of a version that cannot be told.
    static func isCounting(_ version: String) -> Bool {
        version.split(separator: ".").first.flatMap { Int($0) }.map { $0 >= 4 } ?? true
    }

    // MARK: - Ids
    //
    // The message's id comes first in that of what waits: ids of this library grow with time, so a listing is about in the
    // order of the queues, and who reserves a page finds it at their heads.

    /// Which messages an id names.
    enum Place: Hashable, Sendable {
        case dead(group: String)
        /// In one of the delay levels.
        case later
    }

    static func place(_ id: String) -> Place? {
        if id.hasPrefix("s:") || id.hasPrefix("w:") { return .later }
        guard id.hasPrefix("d:") else { return nil }
        return DeadLetterPlan.group(id).map { .dead(group: $0) }
    }

    // MARK: - What is stored

    /// A message of a delay level; `nil` when it is another queue's.
    static func later(
        _ incoming: IncomingMessage,
        level: Int,
        _ routes: TransferRoutes,
        now: Int64
    ) -> StoredMessage? {
        guard let route = DelayPlan.route(incoming.routingKey, from: level),
            let owner = routes.owner(of: route.destination)
        else { return nil }
        let wire = WireFormat.read(incoming)
        // One that does not say its time is given all of the way that it may still have to go: late, never early.
        let latest = now + route.milliseconds + wire.delayLeft
        var message = wire.message
        let digest = RabbitNames.hexadecimal(RabbitNames.hash(incoming.body))
        if incoming.properties.messageID == nil, incoming.properties.headers.value("mq-id") == nil {
            message.id = MessageID("later-\(digest)")
        }
        let published = wire.rest.timestamp.map { UnixTime.date(Int64(clamping: $0) &* 1000) }
        guard case .group(let group) = owner else {
            var due = UnixTime.date(latest)
            if case .at(let date) = message.due { due = date }
            return StoredMessage(
                id: "s:\(message.id):\(digest)",
                state: .scheduled,
                group: nil,
                message: message,
                due: due,
                redrives: wire.redrives,
                history: wire.history,
                publishedAt: published
            )
        }
        return StoredMessage(
            id: "w:\(group):\(message.id):\(wire.attempts):\(digest)",
            state: .waiting,
            group: group,
            message: message,
            due: UnixTime.date(wire.until ?? latest),
            attempts: wire.attempts,
            redrives: wire.redrives,
            history: wire.history,
            publishedAt: published
        )
    }

    /// A dead letter.
    static func dead(_ incoming: IncomingMessage, queue: String, group: String) -> StoredMessage {
        let wire = WireFormat.read(incoming)
        let letter = DeadLetterPlan.letter(incoming, wire, queue: queue, group: group)
        return StoredMessage(
            id: "d:\(letter.id)",
            state: .dead,
            group: group,
            message: letter.message,
            attempts: letter.attempts,
            redrives: wire.redrives,
            history: letter.history,
            publishedAt: letter.publishedAt,
            death: StoredMessage.Death(reason: letter.reason, error: letter.error, failedAt: letter.failedAt)
        )
    }

    /// Where a message stands in a listing: dead letters by time, what waits by its id.
    static func position(_ stored: StoredMessage) -> DeadLetterPlan.Position {
        let time = stored.state == .dead ? stored.death?.failedAt.map { UnixTime.milliseconds($0) } : nil
        return DeadLetterPlan.Position(time: time ?? 0, id: stored.id)
    }

    // MARK: - Writing in

    /// Why a message cannot be written in; `nil` when it can.
    static func problem(
        _ stored: StoredMessage,
        maxBodyBytes: Int,
        queue: String,
        groups: Set<String>
    ) -> QueueError? {
        MessageRules.problem(stored.message, maxBodyBytes: maxBodyBytes, queue: queue)
            ?? stored.groupProblem(among: groups, queue: queue)
    }

    /// The message with the state that it had elsewhere, by a way that is open also while the queue is closed.
    static func copy(
        _ stored: StoredMessage,
        mayBeDouble: Bool,
        _ routes: TransferRoutes,
        now: Int64
    ) -> OutgoingMessage {
        var wire = WireMessage(stored.message)
        wire.attempts = stored.attempts
        wire.redrives = stored.redrives
        wire.history = stored.history.suffix(Failure.maxHistory)
        wire.mayBeDouble = mayBeDouble
        wire.rest.timestamp = stored.publishedAt.map { UInt64(clamping: UnixTime.milliseconds($0) / 1000) }
        guard let group = stored.group else { return schedule(stored, wire, routes, now: now) }
        if stored.isDead {
            // Written in again, it is the same letter.
            wire.deadID =
                RabbitNames.hexadecimal(RabbitNames.hash(stored.id.utf8))
                + RabbitNames.hexadecimal(RabbitNames.hash(stored.id.utf8, seed: 0x9E37))
            wire.group = group
            wire.reason = (stored.death?.reason ?? .rejected).rawValue
            wire.error = stored.death?.error.map(Failure.shortened)
            wire.failedAt = stored.death?.failedAt.map { UnixTime.milliseconds($0) } ?? now
            return outgoing(wire, exchange: "", key: RabbitNames.dead(routes.queue, group))
        }
        let destination = routes.work(stored.message, group)
        guard let due = stored.due.map({ UnixTime.milliseconds($0) }), due > now else {
            return outgoing(wire, exchange: "", key: destination)
        }
        wire.until = due
        // In a lane it waits at its place, so that it holds its key.
        if routes.lanes > 0 { return outgoing(wire, exchange: "", key: destination) }
        let (first, left) = DelayPlan.split(due - now)
        wire.delayLeft = left
        return outgoing(wire, exchange: DelayPlan.top, key: DelayPlan.key(first, to: destination))
    }

    private static func schedule(
        _ stored: StoredMessage,
        _ wire: WireMessage,
        _ routes: TransferRoutes,
        now: Int64
    ) -> OutgoingMessage {
        var wire = wire
        wire.attempts = 0
        if let due = stored.due { wire.message.due = .at(due) }
        let destination = routes.exchange(stored.message)
        let delay = stored.due.map { UnixTime.milliseconds($0) - now } ?? 0
        guard delay > 0 else {
            return outgoing(wire, exchange: DelayPlan.out, key: DelayPlan.key(0, to: destination))
        }
        let (first, left) = DelayPlan.split(delay)
        wire.delayLeft = left
        return outgoing(wire, exchange: DelayPlan.top, key: DelayPlan.key(first, to: destination))
    }

    private static func outgoing(_ wire: WireMessage, exchange: String, key: String) -> OutgoingMessage {
        OutgoingMessage(
            exchange: exchange,
            routingKey: key,
            properties: WireFormat.properties(wire),
            body: wire.message.body
        )
    }
}

/// Part of a listing: what comes first behind a position, however much there is and in whatever order it is shown.
///
/// What is the same twice is there once.
struct StoredRows: Sendable {
    private static let most = 5000
    private static let mostBytes = 32 << 20

    private let after: DeadLetterPlan.Position?
    private var rows: [(position: DeadLetterPlan.Position, stored: StoredMessage)] = []
    private var bytes = 0
    /// Whether there was more than it holds.
    private var isCut = false

    init(after: DeadLetterPlan.Position?) { self.after = after }

    mutating func add(_ stored: StoredMessage) {
        let position = TransferPlan.position(stored)
        if let after, position <= after { return }
        if isCut, let last = rows.last, position > last.position { return }
        var (low, high) = (0, rows.count)
        while low < high {
            let middle = (low + high) / 2
            if rows[middle].position < position { low = middle + 1 } else { high = middle }
        }
        if low < rows.count, rows[low].position == position { return }
        rows.insert((position, stored), at: low)
        bytes += stored.message.body.count
        while rows.count > Self.most || (bytes > Self.mostBytes && rows.count > 1) {
            bytes -= rows.removeLast().stored.message.body.count
            isCut = true
        }
    }

    /// Takes the next page; the rest stays for those behind it.
    ///
    /// - Returns: The page; `nil` when nothing is left here although there was more.
    mutating func page(_ limit: Int) -> Page<StoredMessage>? {
        if rows.isEmpty, isCut { return nil }
        let part = rows.prefix(limit)
        rows.removeFirst(part.count)
        let hasMore = !rows.isEmpty || isCut
        return Page(part.map(\.stored), next: hasMore ? part.last?.position.cursor : nil)
    }
}

/// Which messages this client has written in, so that it does not do it twice.
struct RestoredIDs: Sendable {
    /// As many are remembered.
    static let most = 1_000_000

    private var known: [String: Set<String>] = [:]
    /// Those whose confirmation never came.
    private var doubtful: [String: Set<String>] = [:]

    func isKnown(_ id: String, of queue: String) -> Bool { known[queue]?.contains(id) ?? false }

    func isDoubtful(_ id: String, of queue: String) -> Bool { doubtful[queue]?.contains(id) ?? false }

    mutating func note(_ outcome: PublishOutcome, of id: String, _ queue: String) {
        switch outcome {
        case .accepted, .duplicate:
            if known[queue]?.count ?? 0 < Self.most { known[queue, default: []].insert(id) }
            doubtful[queue]?.remove(id)
        case .indeterminate:
            if doubtful[queue]?.count ?? 0 < Self.most { doubtful[queue, default: []].insert(id) }
        case .refused: break
        }
    }

    mutating func forget(_ queue: String) { (known[queue], doubtful[queue]) = (nil, nil) }
}
#endif
