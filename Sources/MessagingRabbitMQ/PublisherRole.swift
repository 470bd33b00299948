#if RabbitMQ
import DequeModule
import Logging
import Messaging

/// The connection that publishes: sends ahead of the confirmations, within a window.
final class PublisherRole: ConnectionRole {
    /// One call to publish.
    final class Batch {
        let messages: Outbox
        let deadline: Duration
        var outcomes: [PublishOutcome?]
        var next = 0
        var open: Int
        private let finish: (PublishResult) -> Void

        init(_ messages: Outbox, deadline: Duration, finish: @escaping (PublishResult) -> Void) {
            self.messages = messages
            self.deadline = deadline
            self.finish = finish
            outcomes = Array(repeating: nil, count: messages.count)
            open = messages.count
        }

        convenience init(
            _ messages: [OutgoingMessage],
            deadline: Duration,
            finish: @escaping (PublishResult) -> Void
        ) {
            self.init(Outbox(messages), deadline: deadline, finish: finish)
        }

        func settle(_ index: Int, _ outcome: PublishOutcome) {
            guard outcomes[index] == nil else { return }
            outcomes[index] = outcome
            open -= 1
            if open == 0 { finish(.success(outcomes.compactMap { $0 })) }
        }

        /// Ends what was not sent; a batch of which nothing was sent has failed as a whole.
        func refuseRest(_ error: QueueError) {
            if next == 0 {
                open = 0
                return finish(.failure(error))
            }
            let rest = next..<messages.count
            next = messages.count
            for index in rest { settle(index, .refused(error)) }
        }
    }

    private struct Ticket {
        var batch: Batch
        var index: Int
    }

    /// How many messages are sent before confirmations are awaited.
    private static let windowCount = 1024
    private static let windowBytes = 8 << 20
    /// After so many the confirmations are looked at.
    private static let burst = 64
    /// For how long a confirmation says that the broker takes messages.
    private static let trust: Duration = .milliseconds(100)
    /// How long confirmations are awaited when the client is closed.
    private static let closeLimit: Duration = .seconds(2)

    private let configuration: RabbitMQConfiguration
    private let logger: Logger
    private var connection: AMQPConnection?
    private var isReady = false
    private var confirms = ConfirmTable<Ticket>()
    private var pending = Deque<Batch>()
    /// Why the broker takes nothing; it reads no more from this connection then.
    private var alarm: String?
    /// When the last confirmation came.
    private var heardAt: Duration?
    /// Whether the answer to a question is awaited.
    private var isAsking = false
    private var closing: Duration?
    private var hasEnded = false
    /// What the broker said when it closed the channel because an exchange is missing.
    private var lost: String?

    init(_ configuration: RabbitMQConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    // MARK: - Jobs

    func publish(_ batch: Batch) {
        if closing != nil || hasEnded { return batch.refuseRest(RabbitMQQueue.closedError) }
        if batch.messages.isEmpty { return batch.refuseRest(QueueError(.invalidArgument, "nothing to publish")) }
        pending.append(batch)
    }

    func close() { closing = closing ?? QueueClock.system.now() + Self.closeLimit }

    // MARK: - Turns

    func turn(_ now: Duration) -> ConnectionWait? {
        if closing != nil {
            for batch in pending { batch.refuseRest(RabbitMQQueue.closedError) }
            pending.removeAll()
        }
        if connection == nil, !pending.isEmpty { connect() }
        do throws(QueueError) {
            var goesOn = true
            while goesOn {
                try readAll()
                goesOn = try sendSome()
            }
            try connection?.flush()
        } catch {
            drop(error)
            // What was not sent goes over a new connection, or is refused by the one that cannot be made.
            if !pending.isEmpty { connect() }
        }
        expire(now)
        if let closing, confirms.isEmpty || now >= closing {
            drop(RabbitMQQueue.closedError, says: true)
            hasEnded = true
            return nil
        }
        return ConnectionWait(socket: connection?.socket, until: deadline(now))
    }

    private func deadline(_ now: Duration) -> Duration? {
        var times = pending.map(\.deadline)
        if let oldest = confirms.oldest?.batch.deadline { times.append(oldest) }
        if let closing { times.append(closing) }
        if connection != nil { times.append(now + configuration.heartbeat / 2) }
        return times.min()
    }

    private func connect() {
        do throws(QueueError) {
            let connection = try AMQPConnection(configuration, purpose: "publisher")
            try connection.send(.channelOpen)
            try connection.send(.confirmSelect)
            self.connection = connection
            isReady = false
            alarm = nil
        } catch {
            for batch in pending { batch.refuseRest(error) }
            pending.removeAll()
        }
    }

    private func readAll() throws(QueueError) {
        while let event = try connection?.next() {
            switch event {
            case .confirmed(let number, let multiple, let isAccepted):
                (heardAt, isAsking) = (QueueClock.system.now(), false)
                for (ticket, verdict) in confirms.confirmed(number, multiple: multiple, isAccepted: isAccepted) {
                    ticket.batch.settle(ticket.index, outcome(verdict, ticket))
                }
            case .returned(let properties, _, _):
                confirms.returned(id: Self.id(properties))
            case .reply(let reply):
                if reply.kind == .confirmSelect { isReady = true }
            case .blocked(let reason):
                alarm = reason
                logger.warning("the broker blocks publishers", metadata: [LogKeys.reason: "\(reason)"])
            case .unblocked:
                alarm = nil
                logger.notice("the broker takes messages again")
            case .channelClosed(let code, let text):
                lost = code == 404 ? text : nil
                throw AMQPErrors.channel(code, text, queue: nil)
            case .connectionClosed(let code, let text):
                throw AMQPErrors.closed(code, text, configuration.endpoint)
            case .message, .lateMessage, .empty, .consumerEnded: break
            }
        }
    }

    /// Sends what the window has room for; returns whether it stopped only to look at confirmations.
    private func sendSome() throws(QueueError) -> Bool {
        guard let connection, isReady else { return false }
        if let alarm {
            for batch in pending { batch.refuseRest(AMQPErrors.blocked(alarm)) }
            pending.removeAll()
            return false
        }
        guard try isTaking(connection) else { return false }
        var sent = 0
        while let batch = pending.first {
            guard confirms.count < Self.windowCount, confirms.bytes < Self.windowBytes else { return false }
            if sent == Self.burst { return true }
            let index = batch.next
            let message: OutgoingMessage
            switch batch.messages.make(index) {
            case .success(let made): message = made
            case .failure(let problem):
                batch.next += 1
                if batch.next == batch.messages.count { pending.removeFirst() }
                batch.settle(index, .refused(problem))
                continue
            }
            // Noted first: when sending fails, the message may have left.
            confirms.sent(Ticket(batch: batch, index: index), id: Self.id(message.properties), size: message.body.count)
            batch.next += 1
            if batch.next == batch.messages.count { pending.removeFirst() }
            try connection.publish(message)
            sent += 1
        }
        return sent > 0
    }

    /// Whether the broker takes messages, as far as can be known.
    ///
    /// RabbitMQ tells of an alarm only who publishes, and takes what it was told with when the alarm is over. So the first
    /// message after a pause is a question: one that no queue gets.
    private func isTaking(_ connection: AMQPConnection) throws(QueueError) -> Bool {
        if isAsking { return false }
        let now = QueueClock.system.now()
        if pending.isEmpty || !confirms.isEmpty { return true }
        if let heardAt, now - heardAt < Self.trust { return true }
        isAsking = true
        let question = OutgoingMessage(
            exchange: DelayPlan.out,
            routingKey: "mq",
            properties: AMQPProperties(messageID: "mq"),
            body: []
        )
        // In an alarm the answer comes when it is over; what waits for it has a deadline of its own.
        let batch = Batch([question], deadline: now + .seconds(86400)) { _ in }
        batch.next = 1
        confirms.sent(Ticket(batch: batch, index: 0), id: "mq", size: 0)
        try connection.publish(question)
        try connection.flush()
        return false
    }

    /// Gives up what has waited too long.
    private func expire(_ now: Duration) {
        if let oldest = confirms.oldest, now >= oldest.batch.deadline {
            // Its number may still be confirmed, so the channel is of no more use.
            drop(
                QueueError(
                    .unavailable,
                    alarm.map { AMQPErrors.blocked($0).message }
                        ?? "RabbitMQ at \(configuration.endpoint) did not confirm within \(configuration.commandTimeout)"
                )
            )
        }
        for batch in pending where now >= batch.deadline {
            batch.refuseRest(
                QueueError(.unavailable, "RabbitMQ at \(configuration.endpoint) did not take messages in time")
            )
        }
        pending.removeAll { $0.open == 0 || $0.next == $0.messages.count }
    }

    /// Gives the connection up: what was sent and not confirmed is in doubt, what was not sent is tried on the next one.
    private func drop(_ error: QueueError, says: Bool = false) {
        let hadConnection = connection != nil
        if says { connection?.close() }
        connection = nil
        isReady = false
        alarm = nil
        (heardAt, isAsking) = (nil, false)
        let doubt = QueueError(
            .indeterminate,
            "\(error.message); whether the message was taken is unknown, publish it again under the same id",
            underlying: error
        )
        for ticket in confirms.takeAll() {
            let isLost = isLost(ticket.batch, ticket.index)
            ticket.batch.settle(ticket.index, isLost ? .refused(error) : .indeterminate(doubt))
        }
        for batch in pending {
            // A batch that is half in doubt does not go on: the rest would overtake a repetition.
            let mayGoOn = batch.next == 0 && (lost == nil ? error.isRetryable : !isLost(batch, 0))
            if !mayGoOn { batch.refuseRest(error) }
        }
        lost = nil
        pending.removeAll { $0.open == 0 || $0.next == $0.messages.count }
        if hadConnection, !says {
            logger.debug("the publisher's connection ended", metadata: [LogKeys.error: "\(error)"])
        }
    }

    /// Whether the exchange of a message is the one that is missing.
    private func isLost(_ batch: Batch, _ index: Int) -> Bool {
        guard let lost, case .success(let message) = batch.messages.make(index) else { return false }
        return lost.contains("'\(message.exchange)'")
    }

    private func outcome(_ verdict: ConfirmTable<Ticket>.Verdict, _ ticket: Ticket) -> PublishOutcome {
        switch verdict {
        case .accepted: .accepted
        case .returned:
            .refused(
                QueueError(
                    .topologyLost,
                    "no queue on the broker took the message: the groups of the queue are missing; declare it again"
                )
            )
        case .refused:
            .refused(QueueError(.unavailable, "RabbitMQ could not store the message; see the server's log"))
        }
    }

    private static func id(_ properties: AMQPProperties) -> String {
        properties.messageID ?? properties.headers.value("mq-id")?.string ?? ""
    }
}

/// What one call publishes.
///
/// A message is made when it is sent, so that the first ones are on their way meanwhile.
struct Outbox: Sendable {
    let count: Int
    /// The message at a place, or why it cannot be sent.
    let make: @Sendable (Int) -> Result<OutgoingMessage, QueueError>

    var isEmpty: Bool { count == 0 }
}

extension Outbox {
    init(_ messages: [OutgoingMessage]) { self.init(count: messages.count) { .success(messages[$0]) } }
}

/// What became of a batch: an outcome for each message, or an error when nothing was sent.
typealias PublishResult = Result<[PublishOutcome], QueueError>

/// The publishing thread as the rest of the library sees it.
struct Publisher: Sendable {
    private let thread: ConnectionThread<PublisherRole>
    private let timeout: Duration

    init(_ configuration: RabbitMQConfiguration, logger: Logger) {
        thread = ConnectionThread { PublisherRole(configuration, logger: logger) }
        timeout = configuration.commandTimeout
    }

    func publish(_ messages: [OutgoingMessage]) async throws(QueueError) -> [PublishOutcome] {
        try await publish(Outbox(messages))
    }

    func publish(_ outbox: Outbox) async throws(QueueError) -> [PublishOutcome] {
        let deadline = QueueClock.system.now() + timeout
        let thread = self.thread
        let result = await withCheckedContinuation { (continuation: CheckedContinuation<PublishResult, Never>) in
            let isTaken = thread.submit { role in
                role.publish(
                    PublisherRole.Batch(outbox, deadline: deadline) { continuation.resume(returning: $0) }
                )
            }
            if !isTaken { continuation.resume(returning: .failure(RabbitMQQueue.closedError)) }
        }
        return try result.get()
    }

    func close() { thread.submit { $0.close() } }
}
#endif
