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

    /// Somebody who wants to know that the queue is there.
    struct Proof {
        var deadline: Duration
        var finish: @Sendable (Result<Void, QueueError>) -> Void
    }

    /// How long acknowledgements wait for the next call of `receive`.
    static let linger: Duration = .milliseconds(5)
    /// How long messages that nobody asked for may lie here.
    static let grace: Duration = .milliseconds(100)
    /// How long closing waits for the end of the subscription.
    private static let closeLimit: Duration = .seconds(1)
    /// As many acknowledgements reach the queue for certain when the channel ends; its room is 32.
    static let fewAcknowledgements = 20
    /// How many single messages are asked for at once.
    static let gets = 50

    let context: ConsumerContext
    let configuration: RabbitMQConfiguration
    let source: String
    private let logger: Logger

    var connection: AMQPConnection?
    var isOpen = false
    var window = DeliveryWindow()
    var buffer = Deque<ReceivedMessage>()
    var waiters = Deque<Waiter>()
    var subscription = SubscriptionPlan()
    var subscriptions = 0
    /// Single messages that were asked for and have not been answered.
    var asked = 0
    /// The answers so far said that the queue is empty.
    var isDry = false
    /// Somebody began to wait and the broker was not asked yet.
    var isNew = false
    /// Since when acknowledgements wait.
    var finishedAt: Duration?
    /// When the last message came, and the first of those that are here.
    var arrivedAt: Duration = .zero
    private var firstAt: Duration = .zero
    var gathering = Gathering()
    /// Until when the socket is left alone, so that more comes meanwhile.
    private var gathers: Duration?
    /// Acknowledgements since the broker was known to have carried them out.
    var unproven = 0
    /// What was given back, to be acknowledged when that lets the broker send nothing that nobody wants.
    var givenBack: [UInt64] = []
    /// Who waits for the answer that their queue is there, and how many of them the broker was asked for.
    var proofs = Deque<Proof>()
    var proofsAsked = 0
    var isStopped = false
    var leaving: (finish: @Sendable () -> Void, until: Duration)?
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

    /// Acknowledges deliveries at once, and asks whether their queue is there.
    ///
    /// The broker says nothing about acknowledgements, and without a subscription nothing about a queue that is deleted.
    func acknowledge(
        _ tags: [UInt64],
        epoch: UInt32,
        _ finish: @escaping @Sendable (Result<Void, QueueError>) -> Void
    ) {
        guard epoch == context.epoch, connection != nil else { return finish(.failure(Self.lostBefore)) }
        acknowledge(tags, epoch: epoch)
        proofs.append(Proof(deadline: QueueClock.system.now() + configuration.commandTimeout, finish: finish))
    }

    private static let lostBefore = QueueError(.unavailable, "the connection was lost")

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
            var isDry = false
            while !isDry {
                // A part is handed over before more is read, to who takes parts.
                isDry = try read(now, atMost: waiters.first?.deadline == nil ? .max : part)
                try serve(now)
            }
            try expireLeases(now)
            if !isStopped { try fetch(now) }
            try prove(now)
            if let leaving, try canLeave(now) { return end(leaving.finish) }
        } catch {
            drop(error)
            if let leaving { return end(leaving.finish) }
        }
        return ConnectionWait(socket: connection?.socket, until: deadline(now), pause: gathers.map { $0 - now })
    }

    private func deadline(_ now: Duration) -> Duration? {
        var times = waiters.compactMap(\.deadline)
        if let lease = context.nextExpiry { times.append(lease) }
        if connection != nil { times.append(now + configuration.heartbeat / 2) }
        if let leaving { times.append(leaving.until) }
        if let proof = proofs.first { times.append(proof.deadline) }
        if let finishedAt, !isStopped { times.append(finishedAt + Self.linger) }
        if waiters.isEmpty, !buffer.isEmpty { times.append(arrivedAt + Self.grace) }
        return times.min()
    }

    private func connect() throws(QueueError) {
        let made = try AMQPConnection(configuration, purpose: "consumer \(context.name)")
        try made.send(.channelOpen)
        connection = made
        isOpen = false
        context.begin()
    }

    /// Reads until so many messages are here, or nothing more is to be read.
    ///
    /// - Returns: Whether nothing more is to be read.
    private func read(_ now: Duration, atMost limit: Int) throws(QueueError) -> Bool {
        var count = 0
        let wasEmpty = buffer.isEmpty
        defer {
            if count > 0 {
                arrivedAt = now
                if wasEmpty { firstAt = now }
                gathering.arrived(count, at: now)
            }
        }
        while buffer.count < limit {
            guard let event = try connection?.next() else { return true }
            switch event {
            case .message(let message):
                count += 1
                if message.isAnswer { asked -= 1 }
                take(message)
            case .empty:
                asked -= 1
                isDry = true
            case .reply(let reply):
                if reply.kind == .channelOpen { isOpen = true }
                if reply.kind == .queueDeclare, proofsAsked > 0 {
                    proofsAsked -= 1
                    proofs.popFirst()?.finish(.success(()))
                }
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
            case .lateMessage, .confirmed, .returned, .blocked, .unblocked: break
            }
        }
        return false
    }

    /// Decides what to do with a message that came.
    private func take(_ message: IncomingMessage) {
        window.delivered(message.tag)
        let wire = WireFormat.read(message)
        if let problem = wire.problem {
            context.bury(message.tag, wire, .undecodable, problem)
        } else if wire.delayLeft > 0 {
            context.delay(message.tag, wire)
        } else if wire.attempt > context.maxAttempts {
            context.bury(message.tag, wire, .attemptsExhausted, nil)
        } else {
            buffer.append(ReceivedMessage(tag: message.tag, wire: wire))
        }
    }

    /// How many messages are handed over together.
    private var part: Int { gathering.isBusy ? subscription.part : .max }

    /// Hands over what is here, and ends calls whose time is over.
    private func serve(_ now: Duration) throws(QueueError) {
        gathers = nil
        while !buffer.isEmpty, let waiter = waiters.first {
            // Who asks once gets all answers together.
            if waiter.deadline == nil, asked > 0 || (!isDry && subscription.size == 0 && buffer.count < waiter.max) {
                break
            }
            // Near the end of the window the broker waits for acknowledgements, and so for what is here.
            if waiter.deadline != nil, window.marked * 2 < subscription.size {
                let enough = min(waiter.max, part)
                gathers = gathering.end(ready: buffer.count, max: enough, first: firstAt, last: arrivedAt, now: now)
                if gathers != nil { break }
            }
            waiters.removeFirst()
            isDry = false
            // In parts, so that the first ones are handled while the next ones are read.
            let count = min(waiter.max, buffer.count, waiter.deadline == nil ? .max : part)
            let deliveries = context.handOver(buffer.prefix(count), at: now)
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

    private func end(_ finish: @Sendable () -> Void) -> ConnectionWait? {
        connection?.close()
        connection = nil
        hasEnded = true
        endProofs(context.closedError)
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
        endProofs(error)
    }

    private func endProofs(_ error: QueueError) {
        for proof in proofs { proof.finish(.failure(error.about(context.queue))) }
        proofs.removeAll()
        proofsAsked = 0
    }
}
#endif
