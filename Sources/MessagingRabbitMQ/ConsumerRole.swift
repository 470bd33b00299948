#if RabbitMQ
import DequeModule
import Logging
import Messaging

/// The connection of one consumer: asks the broker for what is wanted, and for nothing when nothing is.
///
/// The broker pushes as many messages as a subscription lets it have out. So that nothing lies here that nobody asked for,
/// a subscription is as large as what was wanted when it began, and acknowledgements wait a moment for the next call of
/// `receive`: when none comes the subscription is cancelled first. One that is not used up cannot be cancelled (see
/// ``SubscriptionPlan``); what still comes for it goes back soon.
final class ConsumerRole: ConnectionRole {
    /// A call of `receive`.
    struct Waiter {
        var number: UInt64
        var max: Int
        /// Until when; `nil` asks once.
        var deadline: Duration?
        var finish: @Sendable (Result<[Delivery], QueueError>) -> Void
    }

    /// A message that came and was not handed over.
    private struct Ready {
        var tag: UInt64
        var wire: WireMessage
    }

    /// How long acknowledgements wait for the next call of `receive`.
    private static let linger: Duration = .milliseconds(5)
    /// How long messages that nobody asked for may lie here.
    private static let grace: Duration = .milliseconds(100)
    /// How long closing waits for the end of the subscription.
    private static let closeLimit: Duration = .seconds(1)
    /// As many acknowledgements reach the queue for certain when the channel ends; its room is 32.
    private static let fewAcknowledgements = 20
    /// How many single messages are asked for at once.
    private static let gets = 50

    private let context: ConsumerContext
    private let configuration: RabbitMQConfiguration
    private let source: String
    private let logger: Logger

    private var connection: AMQPConnection?
    private var isOpen = false
    private var window = DeliveryWindow()
    private var buffer = Deque<Ready>()
    private var waiters = Deque<Waiter>()
    private var subscription = SubscriptionPlan()
    private var subscriptions = 0
    /// Single messages that were asked for and have not been answered.
    private var asked = 0
    /// The answers so far said that the queue is empty.
    private var isDry = false
    /// Somebody began to wait and the broker was not asked yet.
    private var isNew = false
    /// Since when acknowledgements wait.
    private var finishedAt: Duration?
    /// When the last message came.
    private var arrivedAt: Duration = .zero
    /// Acknowledgements since the broker was known to have carried them out.
    private var unproven = 0
    /// What was given back, to be acknowledged when that lets the broker send nothing that nobody wants.
    private var givenBack: [UInt64] = []
    private var isStopped = false
    private var leaving: (finish: @Sendable () -> Void, until: Duration)?
    private var hasEnded = false

    init(_ context: ConsumerContext, _ configuration: RabbitMQConfiguration, logger: Logger) {
        self.context = context
        self.configuration = configuration
        self.source = RabbitNames.group(context.queue, context.group)
        self.logger = logger
    }

    // MARK: - Jobs

    func receive(_ waiter: Waiter) {
        if isStopped || hasEnded { return waiter.finish(.failure(context.closedError)) }
        waiters.append(waiter)
        isNew = true
        isDry = false
    }

    func cancel(_ number: UInt64) {
        guard let index = waiters.firstIndex(where: { $0.number == number }) else { return }
        let waiter = waiters.remove(at: index)
        waiter.finish(.failure(QueueError(.cancelled, "receive was cancelled", queue: context.queue)))
    }

    /// Acknowledges deliveries of one life of the connection.
    func acknowledge(_ tags: [UInt64], epoch: UInt32) {
        guard epoch == context.epoch else { return }
        for tag in tags { window.finish(tag) }
        finishedAt = finishedAt ?? QueueClock.system.now()
    }

    /// Acknowledges what was given back because nobody wanted it.
    func acknowledgeGivenBack(_ tags: [UInt64], epoch: UInt32) {
        if epoch == context.epoch { givenBack += tags }
    }

    /// Ends intake.
    ///
    /// - Parameter finish: Called with what had come and was not handed over.
    func stopIntake(_ finish: @escaping @Sendable ([(UInt64, WireMessage)]) -> Void) {
        for waiter in waiters { waiter.finish(.failure(context.closedError)) }
        waiters.removeAll()
        isStopped = true
        let left = buffer.map { ($0.tag, $0.wire) }
        buffer.removeAll()
        finish(left)
    }

    /// Ends the connection: what is held goes back.
    func leave(_ finish: @escaping @Sendable () -> Void) {
        if hasEnded { return finish() }
        isStopped = true
        leaving = (finish, QueueClock.system.now() + Self.closeLimit)
    }

    // MARK: - Turns

    func turn(_ now: Duration) -> ConnectionWait? {
        do throws(QueueError) {
            if connection == nil, !waiters.isEmpty { try connect() }
            try readAll()
            try expireLeases(now)
            try serve(now)
            if !isStopped { try fetch(now) }
            if let leaving, try canLeave(now) { return end(leaving.finish) }
        } catch {
            drop(error)
            if let leaving { return end(leaving.finish) }
        }
        return ConnectionWait(socket: connection?.socket, until: deadline(now))
    }

    private func deadline(_ now: Duration) -> Duration? {
        var times = waiters.compactMap(\.deadline)
        if let lease = context.nextExpiry { times.append(lease) }
        if connection != nil { times.append(now + configuration.heartbeat / 2) }
        if let leaving { times.append(leaving.until) }
        if waiters.isEmpty {
            if let finishedAt { times.append(finishedAt + Self.linger) }
            if !buffer.isEmpty { times.append(arrivedAt + Self.grace) }
        }
        return times.min()
    }

    private func connect() throws(QueueError) {
        let made = try AMQPConnection(configuration, purpose: "consumer \(context.name)")
        try made.send(.channelOpen)
        connection = made
        isOpen = false
        context.begin()
    }

    private func readAll() throws(QueueError) {
        while let event = try connection?.next() {
            switch event {
            case .message(let message):
                if message.isAnswer { asked -= 1 }
                take(message)
            case .empty:
                asked -= 1
                isDry = true
            case .reply(let reply):
                if reply.kind == .channelOpen { isOpen = true }
            case .consumerEnded:
                throw QueueError(
                    .topologyLost,
                    "the group's queue was deleted on the broker; declare it again",
                    queue: context.queue
                )
            case .channelClosed(let code, let text):
                throw AMQPErrors.channel(code, text, queue: context.queue)
            case .connectionClosed(let code, let text):
                throw AMQPErrors.closed(code, text, configuration.endpoint)
            case .confirmed, .returned, .blocked, .unblocked: break
            }
        }
    }

    /// Decides what to do with a message that came.
    private func take(_ message: IncomingMessage) {
        window.delivered(message.tag)
        arrivedAt = QueueClock.system.now()
        let wire = WireFormat.read(message)
        if let problem = wire.problem {
            context.bury(message.tag, wire, .undecodable, problem)
        } else if wire.delayLeft > 0 {
            context.delay(message.tag, wire)
        } else if wire.attempt > context.maxAttempts {
            context.bury(message.tag, wire, .attemptsExhausted, nil)
        } else {
            buffer.append(Ready(tag: message.tag, wire: wire))
        }
    }

    /// Hands over what is here, and ends calls whose time is over.
    private func serve(_ now: Duration) throws(QueueError) {
        while !buffer.isEmpty, let waiter = waiters.first {
            // Who asks once gets all answers together.
            if waiter.deadline == nil, asked > 0 || (!isDry && subscription.size == 0 && buffer.count < waiter.max) {
                break
            }
            waiters.removeFirst()
            isDry = false
            let count = min(waiter.max, buffer.count)
            let deliveries = context.handOver(buffer.prefix(count).map { ($0.tag, $0.wire) }, at: now)
            buffer.removeFirst(count)
            if context.isAtMostOnce {
                for delivery in deliveries { window.finish(delivery.receipt.low) }
                do throws(QueueError) {
                    try flush()
                } catch {
                    // Not acknowledged for certain, so not handed over.
                    waiter.finish(.failure(error))
                    throw error
                }
            }
            waiter.finish(.success(deliveries))
        }
        while let index = waiters.firstIndex(where: { $0.deadline.map { $0 <= now } ?? false }) {
            waiters.remove(at: index).finish(.success([]))
        }
    }

    /// Asks the broker for what is wanted.
    private func fetch(_ now: Duration) throws(QueueError) {
        guard connection != nil, isOpen else { return }
        if !givenBack.isEmpty, !waiters.isEmpty || isUsedUp {
            for tag in givenBack { window.finish(tag) }
            givenBack.removeAll()
            finishedAt = finishedAt ?? now
        }
        let wanted = waiters.filter { $0.deadline != nil }.reduce(0) { $0 + $1.max }
        if wanted > 0 {
            if isNew { try subscribe(wanted) }
            try flush()
        }
        if let waiter = waiters.first(where: { $0.deadline == nil }) { try askOnce(waiter) }
        isNew = false
        guard waiters.isEmpty else { return }
        if let finishedAt, now >= finishedAt + Self.linger || subscription.size == 0 {
            try unsubscribe()
            try flush()
        }
        if !buffer.isEmpty, now >= arrivedAt + Self.grace {
            try unsubscribe()
            context.giveBack(buffer.map { ($0.tag, $0.wire) })
            buffer.removeAll()
        }
    }

    /// Answers calls that ask once: with a subscription everything there is has come already, without one single messages
    /// are asked for until there are no more.
    private func askOnce(_ waiter: Waiter) throws(QueueError) {
        if !isUsedUp {
            try flush()
            for waiter in waiters where waiter.deadline == nil { waiter.finish(.success([])) }
            waiters.removeAll { $0.deadline == nil }
            return
        }
        guard asked == 0 else { return }
        if isDry {
            isDry = false
            waiters.removeAll { $0.number == waiter.number }
            return waiter.finish(.success([]))
        }
        try unsubscribe()
        try flush()
        // One at first: most calls of this kind find nothing.
        asked = buffer.isEmpty ? 1 : min(waiter.max - buffer.count, Self.gets)
        for _ in 0..<asked { try connection?.send(.get(queue: source)) }
    }

    private var isUsedUp: Bool { subscription.isUsedUp(out: window.marked) }

    private func subscribe(_ wanted: Int) throws(QueueError) {
        let step = subscription.step(wanted: wanted, out: window.marked, finished: window.markedWaiting)
        guard case .renew(let size) = step else { return }
        try unsubscribe()
        try flush()
        subscriptions += 1
        subscription.size = size
        window.setMark()
        try connection?.send(.prefetch(UInt16(clamping: size)))
        try connection?.send(.consume(queue: source, tag: tag))
    }

    /// Ends the subscription if it is used up.
    private func unsubscribe() throws(QueueError) {
        guard subscription.size > 0, isUsedUp else { return }
        subscription.size = 0
        try connection?.send(.cancel(tag: tag))
    }

    private var tag: String { "\(context.name)#\(subscriptions)" }

    private func flush() throws(QueueError) {
        finishedAt = nil
        guard let connection else { return }
        for one in window.takeAcknowledgements() {
            try connection.send(.acknowledge(one.tag, multiple: one.multiple))
            unproven += 1
        }
    }

    /// Whether the connection can be closed now: a channel that ends forgets acknowledgements which its queue has no room
    /// for yet, so the answer to one more question proves that there are few of them.
    private func canLeave(_ now: Duration) throws(QueueError) -> Bool {
        guard let leaving, connection != nil, isOpen, now < leaving.until else { return true }
        for tag in givenBack { window.finish(tag) }
        givenBack.removeAll()
        try unsubscribe()
        try flush()
        if unproven > Self.fewAcknowledgements, asked == 0 {
            unproven = 0
            asked = 1
            try connection?.send(.get(queue: source))
        }
        return asked == 0
    }

    private func end(_ finish: @Sendable () -> Void) -> ConnectionWait? {
        connection?.close()
        connection = nil
        hasEnded = true
        finish()
        return nil
    }

    private func expireLeases(_ now: Duration) throws(QueueError) {
        let expired = context.expired(now)
        // What goes back must not come straight here again.
        if !expired.isEmpty, waiters.isEmpty {
            try unsubscribe()
            try flush()
        }
        for tag in expired {
            window.giveBack(tag)
            try connection?.send(.requeue(tag))
        }
    }

    /// Gives the connection up: everything that was held belongs to the broker again.
    private func drop(_ error: QueueError) {
        logger.debug("the consumer's connection ended", metadata: [LogKeys.error: "\(error)"])
        connection = nil
        isOpen = false
        context.end()
        window = DeliveryWindow()
        buffer.removeAll()
        (asked, unproven, isDry, finishedAt) = (0, 0, false, nil)
        subscription = SubscriptionPlan()
        givenBack.removeAll()
        for waiter in waiters { waiter.finish(.failure(error.about(context.queue))) }
        waiters.removeAll()
    }
}
#endif
