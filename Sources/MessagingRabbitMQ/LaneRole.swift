#if RabbitMQ
import DequeModule
import Logging
import Messaging

/// The connection of a consumer of a keyed queue: a channel for each lane, so that each can be left by itself, and one to ask
/// on.
///
/// The broker gives a lane to one of the consumers that are subscribed to it. While it has the lane it holds the lane's first
/// messages without acknowledging them, and hands over those whose turn it is.
final class LaneRole: ConnectionRole {
    /// A call of `receive`.
    struct Waiter {
        var number: UInt64
        var max: Int
        var deadline: Duration
        /// Whether it wants only what is here.
        var isOnce: Bool
        var finish: @Sendable (Result<[Delivery], QueueError>) -> Void
    }

    /// A lane as this connection has it.
    struct Link {
        enum State {
            case closed, opening, open
            /// It is left as soon as nobody has anything of it in hands.
            case leaving
            /// The broker is asked something, so that it has carried out the acknowledgements.
            case proving
            /// What is here goes back once it is noted.
            case noting
            case closing
        }

        var state = State.closed
        /// Grows with each channel, whose tags begin again.
        var life: UInt32 = 0
        var window = DeliveryWindow()
        var isOwn = false
        var unproven = 0
        var openedAt: Duration = .zero
    }

    /// Who asked a moment ago asks again, most likely.
    static let grace: Duration = .milliseconds(100)
    /// How long the first messages of a lane may take to come.
    static let settling: Duration = .milliseconds(20)
    /// How often others are looked for: while nobody asks this consumer, and otherwise.
    static let idleLook: Duration = .milliseconds(250)
    static let busyLook: Duration = .seconds(1)
    /// How long notes that are of no more use may stay.
    static let staleTime: Duration = .seconds(1)
    /// How long a note about a message that was handed out elsewhere may be on its way.
    static let noteTime: Duration = .milliseconds(200)
    /// How long closing waits for the broker.
    static let closeLimit: Duration = .seconds(2)

    let context: LaneContext
    let configuration: RabbitMQConfiguration
    let helper: LaneHelper
    let logger: Logger
    let lanes: Int

    var connection: AMQPConnection?
    var links: [Link]
    var book = LaneBook()
    var waiters = Deque<Waiter>()
    /// When somebody waited last.
    var askedAt: Duration = .zero
    /// When others were looked for last, and whether the answer is awaited.
    var lookedAt: Duration = .zero
    var isLooking = false
    /// When it was looked at last how long messages have been here.
    var countedAt: Duration = .zero
    /// Whether others can count this consumer.
    var isMember = false
    /// Messages of which it is not known yet what was noted about them.
    var unchecked: [UInt64] = []
    var isChecking = false
    /// Messages that were handed out once more than any note says, and when they are looked up again.
    var doubtful = Deque<(message: UInt64, again: Duration)>()
    var lookedUpTwice: Set<UInt64> = []
    /// Messages that are finished and have notes.
    var stale: [String] = []
    var staleSince: Duration = .zero
    var isForgetting = false
    var isStopped = false
    var leaving: (finish: @Sendable ([String]) -> Void, until: Duration)?
    private var hasEnded = false

    init(
        _ context: LaneContext,
        _ configuration: RabbitMQConfiguration,
        _ helper: LaneHelper,
        lanes: Int,
        logger: Logger
    ) {
        self.context = context
        self.configuration = configuration
        self.helper = helper
        self.lanes = lanes
        self.logger = logger
        links = Array(repeating: Link(), count: lanes)
    }

    /// The channel that questions go over.
    var askingChannel: UInt16 { UInt16(lanes) + 1 }
    func channel(_ lane: Int) -> UInt16 { UInt16(lane) + 1 }
    func source(_ lane: Int) -> String { RabbitNames.group(context.queue, context.group, lane: lane) }

    // MARK: - Jobs

    func receive(_ waiter: Waiter) {
        if isStopped || hasEnded { return waiter.finish(.failure(context.closedError)) }
        waiters.append(waiter)
    }

    func cancel(_ number: UInt64) {
        guard let index = waiters.firstIndex(where: { $0.number == number }) else { return }
        waiters.remove(at: index)
            .finish(.failure(QueueError(.cancelled, "receive was cancelled", queue: context.queue)))
    }

    func renew(_ handOvers: [UInt64?]) -> [Bool] {
        let now = QueueClock.system.now()
        expire(now)
        return handOvers.map { $0.map { book.renew($0, lease: context.lease, at: now) } ?? false }
    }

    /// Ends the connection: what somebody has in hands goes back with the attempt counted, everything else as it was.
    ///
    /// - Parameter finish: Called with the messages whose notes are of no more use.
    func leave(_ finish: @escaping @Sendable ([String]) -> Void) {
        if hasEnded { return finish([]) }
        for waiter in waiters { waiter.finish(.failure(context.closedError)) }
        waiters.removeAll()
        isStopped = true
        leaving = (finish, QueueClock.system.now() + Self.closeLimit)
    }

    // MARK: - Turns

    func turn(_ now: Duration) -> ConnectionWait? {
        do throws(QueueError) {
            if connection == nil, !waiters.isEmpty { try connect() }
            try read(now)
            book.wake(at: now)
            expire(now)
            serve(now)
            try tend(now)
            try acknowledge()
            if isDone(now) { return end() }
        } catch {
            drop(error)
            if leaving != nil { return end() }
        }
        context.setFigures(held: book.heldCount, waiting: book.entries.count - book.heldCount)
        return ConnectionWait(socket: connection?.socket, until: deadline(now))
    }

    private func deadline(_ now: Duration) -> Duration? {
        var times = waiters.map(\.deadline)
        if let leaving { times.append(leaving.until) }
        if let due = book.nextDue { times.append(due) }
        if let first = doubtful.first { times.append(first.again) }
        if let expiry = book.nextExpiry { times.append(expiry) }
        if !stale.isEmpty, !isForgetting { times.append(staleSince + Self.staleTime) }
        if connection != nil {
            times.append(now + configuration.heartbeat / 2)
            if !isLooking, links.contains(where: { $0.state == .open }) { times.append(nextLook) }
            if isMember, waiters.isEmpty, now < askedAt + Self.grace { times.append(askedAt + Self.grace) }
        }
        return times.min()
    }

    private func connect() throws(QueueError) {
        let made = try AMQPConnection(configuration, purpose: "consumer \(context.name)")
        connection = made
        (isLooking, isMember) = (false, false)
        try made.send(.channelOpen, on: askingChannel)
    }

    private func read(_ now: Duration) throws(QueueError) {
        while let event = try connection?.next() {
            let lane = (connection.map { Int($0.current) } ?? 0) - 1
            switch event {
            case .message(let message): take(message, lane, now)
            case .lateMessage(let message): noteLate(message)
            case .reply(let reply): try answered(reply, lane, now)
            case .consumerEnded:
                throw QueueError(
                    .topologyLost,
                    "a lane of the group was deleted on the broker; declare it again",
                    queue: context.queue
                )
            case .channelClosed(let code, let text): throw AMQPErrors.channel(code, text, queue: context.queue)
            case .connectionClosed(let code, let text): throw AMQPErrors.closed(code, text, configuration.endpoint)
            case .empty, .confirmed, .returned, .blocked, .unblocked: break
            }
        }
    }

    private func take(_ message: IncomingMessage, _ lane: Int, _ now: Duration) {
        guard links.indices.contains(lane) else { return }
        links[lane].window.delivered(message.tag)
        links[lane].isOwn = true
        let wire = WireFormat.read(message)
        let (life, tag) = (links[lane].life, message.tag)
        if let problem = wire.problem {
            let copy = context.dead(wire, wire.attempt - 1, .undecodable, problem, consumer: nil)
            return helper.move(copy) { role in role.moved(lane, life, tag) }
        }
        if wire.delayLeft > 0 {
            return helper.move(Copies.delayed(wire, to: source(lane))) { role in role.moved(lane, life, tag) }
        }
        // A retry that was written in from elsewhere says itself when it is due.
        let due = wire.until.map { now + .milliseconds(max(0, $0 - UnixTime.milliseconds())) }
        let number = book.add(lane, tag, wire, due: due, isChecked: wire.seen == 0, at: now)
        if wire.seen > 0 { unchecked.append(number) }
    }

    /// Hands over what is here, and ends calls whose time is over.
    private func serve(_ now: Duration) {
        if !waiters.isEmpty { askedAt = now }
        let left = leavingLanes
        while let waiter = waiters.first, book.readyCount(except: left) > 0 {
            waiters.removeFirst()
            let taken = book.take(
                waiter.max,
                except: left,
                maxAttempts: context.maxAttempts,
                lease: context.lease,
                longestHold: context.longestHold,
                at: now
            )
            let deliveries = taken.map { context.delivery($0.wire, $0.attempt, $0.handOver) }
            if context.isAtMostOnce {
                for delivery in taken {
                    if case .proceed = book.begin(delivery.handOver) { finish(delivery.handOver, now) }
                }
                do throws(QueueError) {
                    try acknowledge()
                } catch {
                    // Not acknowledged for certain, so not handed over.
                    waiter.finish(.failure(error.about(context.queue)))
                    drop(error)
                    return
                }
            }
            waiter.finish(.success(deliveries))
        }
        while let index = waiters.firstIndex(where: { $0.deadline <= now || $0.isOnce && isSettled(now) }) {
            waiters.remove(at: index).finish(.success([]))
        }
    }

    /// Whether everything that there is for this consumer has come.
    private func isSettled(_ now: Duration) -> Bool {
        unchecked.isEmpty && !isChecking && doubtful.isEmpty
            && links.allSatisfy { $0.state == .open && now >= $0.openedAt + Self.settling || $0.state == .leaving }
    }

    /// Acknowledges what is finished.
    func acknowledge() throws(QueueError) {
        guard let connection else { return }
        for lane in links.indices where links[lane].window.waitingCount > 0 {
            for one in links[lane].window.takeAcknowledgements() {
                try connection.send(.acknowledge(one.tag, multiple: one.multiple), on: channel(lane))
                links[lane].unproven += 1
            }
        }
    }

    private func end() -> ConnectionWait? {
        connection?.close()
        connection = nil
        hasEnded = true
        leaving?.finish(stale)
        return nil
    }

    private func isDone(_ now: Duration) -> Bool {
        guard let leaving else { return false }
        return now >= leaving.until || connection == nil || links.allSatisfy { $0.state == .closed }
    }

    /// Gives the connection up: everything that was held belongs to the broker again.
    private func drop(_ error: QueueError) {
        logger.debug("the consumer's connection ended", metadata: [LogKeys.error: "\(error)"])
        connection = nil
        let now = QueueClock.system.now()
        for lane in links.indices { lose(lane, now) }
        for waiter in waiters { waiter.finish(.failure(error.about(context.queue))) }
        waiters.removeAll()
        (isLooking, isMember) = (false, false)
    }

    /// Forgets a lane that belongs to others now.
    func lose(_ lane: Int, _ now: Duration) {
        book.drop(lane, at: now)
        unchecked.removeAll { book.entries[$0] == nil }
        doubtful.removeAll { book.entries[$0.message] == nil }
        lookedUpTwice = lookedUpTwice.filter { book.entries[$0] != nil }
        links[lane] = Link(life: links[lane].life &+ 1)
    }
}
#endif
