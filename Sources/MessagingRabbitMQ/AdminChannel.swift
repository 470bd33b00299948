#if RabbitMQ
import DequeModule
import Logging
import Messaging

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// The channel for everything that is neither publishing nor consuming: one step after the other, each with a deadline.
///
/// Belongs to the thread of its connection.
final class AdminChannel: ConnectionRole {
    private let configuration: RabbitMQConfiguration
    private let logger: Logger
    private var connection: AMQPConnection?
    private var confirms = ConfirmTable<Int>()
    private var alarm: String?
    /// What came while an answer was awaited.
    private var arrived = Deque<IncomingMessage>()
    private var verdicts: [(Int, ConfirmTable<Int>.Verdict)] = []
    private(set) var isClosed = false
    /// One more with each connection: what the ones before held has gone back.
    private(set) var generation = 0
    /// When the job that runs must be done.
    private var deadline: Duration = .zero

    /// What the server said of itself when the connection was made.
    private(set) var server: (product: String, version: String, frameMax: Int)?

    init(_ configuration: RabbitMQConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    // MARK: - Turns

    func turn(_ now: Duration) -> ConnectionWait? {
        if isClosed { return nil }
        do throws(QueueError) {
            try readAll()
        } catch {
            drop(error)
        }
        return ConnectionWait(
            socket: connection?.socket,
            until: connection == nil ? nil : now + configuration.heartbeat / 2
        )
    }

    func close() {
        connection?.close()
        connection = nil
        isClosed = true
    }

    /// Does a job; one that may be repeated is done again when the connection turns out to be dead.
    func run<Value>(
        deadline: Duration,
        mayRepeat: Bool,
        _ job: (AdminChannel) throws(QueueError) -> Value
    ) -> Result<Value, QueueError> {
        if isClosed { return .failure(RabbitMQQueue.closedError) }
        self.deadline = deadline
        let wasOpen = connection != nil
        let first = attempt(job)
        // What was under way on the channel must not meet the next job.
        guard case .failure(let error) = first else { return first }
        drop(error)
        guard error.code == .unavailable, wasOpen, mayRepeat, QueueClock.system.now() < deadline else { return first }
        let second = attempt(job)
        if case .failure(let error) = second { drop(error) }
        return second
    }

    private func attempt<Value>(_ job: (AdminChannel) throws(QueueError) -> Value) -> Result<Value, QueueError> {
        do throws(QueueError) {
            try readAll()
            if connection == nil { try connect() }
            let value = try job(self)
            return .success(value)
        } catch {
            return .failure(error)
        }
    }

    private func connect() throws(QueueError) {
        let made = try AMQPConnection(configuration, purpose: "administration", readsRoutingKeys: true)
        connection = made
        generation += 1
        server = (made.serverProduct, made.serverVersion, made.frameMax)
        try open()
    }

    private func open() throws(QueueError) {
        confirms = ConfirmTable()
        arrived.removeAll()
        verdicts.removeAll()
        try call(.channelOpen)
        try call(.confirmSelect)
    }

    /// Closes the channel and opens it again: what it held goes back where it was.
    func reset() throws(QueueError) {
        try call(.channelClose)
        try open()
    }

    private func drop(_ error: QueueError) {
        guard connection != nil else { return }
        logger.debug("the administration's connection ended", metadata: [LogKeys.error: "\(error)"])
        connection = nil
        alarm = nil
    }

    // MARK: - Steps

    /// Asks and waits for the answer.
    @discardableResult
    func call(_ method: AMQPMethod) throws(QueueError) -> AMQPReply {
        try calls([method])[0]
    }

    /// Asks several things at once and waits for all answers.
    @discardableResult
    func calls(_ methods: [AMQPMethod]) throws(QueueError) -> [AMQPReply] {
        for method in methods { try send(method) }
        var replies: [AMQPReply] = []
        while replies.count < methods.count {
            if case .reply(let reply) = try event() {
                guard reply.kind == methods[replies.count].reply else {
                    throw QueueError(.brokerError, "RabbitMQ answered something else than was asked")
                }
                replies.append(reply)
            }
        }
        return replies
    }

    /// Asks queues how many messages are ready in them and how many consumers they have.
    ///
    /// RabbitMQ says that a quorum queue has neither when its leader is silent for 250 ms (`rabbit_quorum_queue:stat/2` of
    /// 3.10). So an answer of zeros that took long is none, and the queue is asked again, alone.
    ///
    /// - Parameter queues: The queues.
    /// - Returns: The answers in order; `nil` where the broker cannot tell at present.
    /// - Throws: `QueueError` when there is no such queue or the broker does not answer.
    func counts(_ queues: [String]) throws(QueueError) -> [QueueCount?] {
        var begin = QueueClock.system.now()
        let replies = try calls(queues.map { .queueExists($0) })
        let isQuick = QueueClock.system.now() - begin < Self.silence
        var counts: [QueueCount?] = replies.map { QueueCount(messages: $0.messages, consumers: $0.consumers) }
        if isQuick { return counts }
        for (index, queue) in queues.enumerated() where counts[index]?.isNothing == true {
            counts[index] = nil
            for _ in 0..<Self.looks where counts[index] == nil {
                begin = QueueClock.system.now()
                let reply = try call(.queueExists(queue))
                let count = QueueCount(messages: reply.messages, consumers: reply.consumers)
                if !count.isNothing || QueueClock.system.now() - begin < Self.silence { counts[index] = count }
            }
        }
        return counts
    }

    /// From how long on an answer of zeros may come from a leader that was silent.
    private static let silence: Duration = .milliseconds(200)
    /// How often such a queue is asked again.
    private static let looks = 3

    func send(_ method: AMQPMethod) throws(QueueError) {
        guard let connection else { throw lost }
        try connection.send(method)
    }

    /// Publishes and waits for the confirmations.
    ///
    /// - Returns: The indices of the messages that were accepted.
    func publish(_ messages: [OutgoingMessage]) throws(QueueError) -> Set<Int> {
        guard let connection else { throw lost }
        try readAll()
        if let alarm { throw AMQPErrors.blocked(alarm) }
        for (index, message) in messages.enumerated() {
            confirms.sent(index, id: message.properties.messageID ?? "", size: message.body.count)
            try connection.publish(message)
            if confirms.count >= 256 { try awaitConfirms(atMost: 128) }
        }
        try awaitConfirms(atMost: 0)
        defer { verdicts.removeAll() }
        return Set(verdicts.filter { $0.1 == .accepted }.map(\.0))
    }

    private func awaitConfirms(atMost open: Int) throws(QueueError) {
        while confirms.count > open { _ = try event() }
    }

    /// Waits for the next message of a consumer on this channel.
    func nextMessage() throws(QueueError) -> IncomingMessage {
        while true {
            if let message = arrived.popFirst() {
                // A walk is as long as its queue; what has a deadline is the wait for the next step.
                deadline = max(deadline, QueueClock.system.now() + configuration.commandTimeout)
                return message
            }
            _ = try event()
        }
    }

    /// Subscribes for as many messages as a queue is said to have and shows them; they stay held, and so does the
    /// subscription.
    ///
    /// Not by asking for single ones, each of which is a command of its own in the log of a quorum queue. Fewer come when some
    /// became due, or were taken by others, since they were counted: then the subscription still lets some in, until
    /// ``cancel(_:_:)`` or ``reset()``, one of which has to follow.
    ///
    /// - Parameters:
    ///   - queue: The queue.
    ///   - tag: The name of the subscription, which no other on the channel has.
    ///   - count: How many messages it is for, 1 to 65535.
    ///   - visit: What to do with a message.
    /// - Returns: How many came.
    /// - Throws: `QueueError` when the broker does not answer, or what the closure throws.
    func take(
        from queue: String,
        tag: String,
        count: Int,
        _ visit: (IncomingMessage) throws(QueueError) -> Void
    ) throws(QueueError) -> Int {
        deadline = max(deadline, QueueClock.system.now() + configuration.commandTimeout)
        try calls([.prefetch(UInt16(count)), .consume(queue: queue, tag: tag)])
        var seen = 0
        // Since the queue was asked: when, how many had come, how often it was empty.
        var (asked, before, empty) = (QueueClock.system.now(), 0, 0)
        // More come when a subscription before this one was not used up.
        while seen < count || !arrived.isEmpty {
            if let message = arrived.popFirst() {
                seen += 1
                try visit(message)
                deadline = max(deadline, QueueClock.system.now() + configuration.commandTimeout)
                continue
            }
            let left = asked + Self.quiet - QueueClock.system.now()
            if left > .zero {
                _ = try event(within: left)
                continue
            }
            let isEmpty = try counts([queue])[0]?.messages == 0
            guard arrived.isEmpty else { continue }
            // What is on its way when the queue is empty comes soon; what comes now and then is none of it.
            empty = isEmpty ? empty + 1 : 0
            if isEmpty, seen == before || empty >= Self.looksAtEmpty { break }
            (asked, before) = (QueueClock.system.now(), seen)
        }
        return seen
    }

    /// Ends a subscription, and shows what came before it had ended.
    ///
    /// One that is not used up may end the channel (see ``SubscriptionPlan``): then everything is back where it was.
    func cancel(_ tag: String, _ visit: (IncomingMessage) throws(QueueError) -> Void) throws(QueueError) {
        try call(.cancel(tag: tag))
        while let message = arrived.popFirst() { try visit(message) }
    }

    /// How many messages are ready in a queue.
    ///
    /// - Throws: `QueueError` also when its leader is silent.
    func ready(in queue: String) throws(QueueError) -> Int {
        guard let count = try counts([queue])[0] else {
            throw QueueError(.unavailable, "the leader of '\(queue)' does not answer RabbitMQ; try again")
        }
        return count.messages
    }

    /// How often a queue is asked whether it has anything left, and how often it may be empty while something comes.
    private static let quiet: Duration = .milliseconds(250)
    private static let looksAtEmpty = 20

    private func readAll() throws(QueueError) {
        while let event = try connection?.next() { try take(event) }
    }

    /// Waits for the next event; the deadline is the job's.
    private func event() throws(QueueError) -> AMQPEvent {
        while true {
            if let event = try event(within: configuration.heartbeat / 2) { return event }
        }
    }

    /// Waits for the next event for some time; the deadline is the job's.
    private func event(within time: Duration) throws(QueueError) -> AMQPEvent? {
        let end = QueueClock.system.now() + time
        while true {
            guard let connection else { throw lost }
            if let event = try connection.next() {
                try take(event)
                return event
            }
            let now = QueueClock.system.now()
            guard now < deadline else {
                throw QueueError(.unavailable, "RabbitMQ at \(configuration.endpoint) did not answer in time")
            }
            guard now < end else { return nil }
            let left = min(deadline, end) - now
            var polled = pollfd(fd: connection.socket, events: Int16(POLLIN), revents: 0)
            _ = poll(&polled, 1, Int32(clamping: min(left, configuration.heartbeat / 2).milliseconds))
        }
    }

    private func take(_ event: AMQPEvent) throws(QueueError) {
        switch event {
        case .message(let message): arrived.append(message)
        case .confirmed(let number, let multiple, let isAccepted):
            verdicts += confirms.confirmed(number, multiple: multiple, isAccepted: isAccepted)
        case .returned(let properties, _, _): confirms.returned(id: properties.messageID ?? "")
        case .blocked(let reason): alarm = reason
        case .unblocked: alarm = nil
        case .channelClosed(let code, let text): throw AMQPErrors.channel(code, text, queue: nil)
        case .connectionClosed(let code, let text): throw AMQPErrors.closed(code, text, configuration.endpoint)
        case .reply, .lateMessage, .empty, .consumerEnded: break
        }
    }

    private var lost: QueueError {
        QueueError(.unavailable, "the connection to RabbitMQ at \(configuration.endpoint) is gone")
    }
}

/// What a queue says of itself.
struct QueueCount: Sendable {
    var messages: Int
    var consumers: Int

    var isNothing: Bool { messages == 0 && consumers == 0 }
}

/// The administration's thread as the rest of the library sees it.
struct Administration: Sendable {
    private let thread: ConnectionThread<AdminChannel>
    private let timeout: Duration

    init(_ configuration: RabbitMQConfiguration, logger: Logger) {
        thread = ConnectionThread { AdminChannel(configuration, logger: logger) }
        timeout = configuration.commandTimeout
    }

    /// Runs steps on the channel, alone.
    ///
    /// - Parameters:
    ///   - queue: The queue, for errors.
    ///   - mayRepeat: Whether doing it twice does no harm.
    ///   - job: The steps.
    /// - Returns: What the steps return.
    /// - Throws: `QueueError`: what the steps throw, `unavailable`, `closed`.
    func run<Value: Sendable>(
        _ queue: String?,
        mayRepeat: Bool = true,
        _ job: @escaping @Sendable (AdminChannel) throws(QueueError) -> Value
    ) async throws(QueueError) -> Value {
        let deadline = QueueClock.system.now() + timeout
        let thread = self.thread
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<Value, QueueError>, Never>) in
            let isTaken = thread.submit { channel in
                continuation.resume(returning: channel.run(deadline: deadline, mayRepeat: mayRepeat, job))
            }
            if !isTaken { continuation.resume(returning: .failure(RabbitMQQueue.closedError)) }
        }
        do throws(QueueError) {
            return try result.get()
        } catch {
            throw error.about(queue)
        }
    }

    func close() async {
        let thread = self.thread
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let isTaken = thread.submit { channel in
                channel.close()
                continuation.resume()
            }
            if !isTaken { continuation.resume() }
        }
    }
}
#endif
