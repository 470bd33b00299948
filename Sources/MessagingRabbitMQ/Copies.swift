#if RabbitMQ
import Messaging

/// The copies that take the place of a message: written first, then the original is acknowledged.
enum Copies {
    /// A message for all groups of a queue.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - queue: The queue.
    ///   - lanes: How many lanes it has; 0 for one that is not keyed.
    ///   - now: The time.
    /// - Returns: What is published.
    static func publication(_ message: Message, queue: String, lanes: Int, now: Int64) -> OutgoingMessage {
        var message = message
        var delay: Int64 = 0
        switch message.due {
        case .after(let duration) where duration > .zero:
            delay = duration.milliseconds
            message.due = .at(UnixTime.date(now + delay))
        case .at(let date):
            delay = max(0, UnixTime.milliseconds(date) - now)
        case .after, nil: message.due = nil
        }
        var wire = WireMessage(message)
        wire.rest.timestamp = UInt64(clamping: now / 1000)
        let lane = Lanes.lane(of: message, among: lanes)
        let exchange = lane.map { RabbitNames.exchange(queue, lane: $0) } ?? RabbitNames.exchange(queue)
        var copy = send(wire, to: exchange, isExchange: true, after: delay)
        // Through an exchange of the queue's own, which does not lead to the levels while the queue is closed.
        if copy.exchange == DelayPlan.top { copy.exchange = RabbitNames.later(queue) }
        return copy
    }

    /// A failed message for the same group, after a delay.
    static func retry(
        _ wire: WireMessage,
        attempt: Int,
        after delay: Duration,
        error: String?,
        consumer: String,
        queue: String,
        group: String,
        now: Int64
    ) -> OutgoingMessage {
        var wire = failed(wire, attempt: attempt, error: error, consumer: consumer, now: now)
        wire.attempts = attempt
        wire.until = delay > .zero ? now + delay.milliseconds : nil
        return send(wire, to: RabbitNames.group(queue, group), isExchange: false, after: delay.milliseconds)
    }

    /// An untouched message for the same group, at once and without counting.
    static func release(_ wire: WireMessage, attempt: Int, queue: String, group: String) -> OutgoingMessage {
        var wire = wire
        wire.attempts = attempt - 1
        return send(wire, to: RabbitNames.group(queue, group), isExchange: false, after: 0)
    }

    /// What is left of a long delay.
    static func delayed(_ wire: WireMessage, to destination: String) -> OutgoingMessage {
        var wire = wire
        let delay = wire.delayLeft
        wire.delayLeft = 0
        return send(wire, to: destination, isExchange: false, after: delay)
    }

    /// A dead letter.
    static func dead(
        _ wire: WireMessage,
        attempts: Int,
        reason: DeadLetterReason,
        error: String?,
        consumer: String?,
        queue: String,
        group: String,
        now: Int64
    ) -> OutgoingMessage {
        var wire = wire
        if let consumer { wire = failed(wire, attempt: attempts, error: error, consumer: consumer, now: now) }
        wire.attempts = attempts
        wire.deadID = MessageID.make().rawValue
        wire.group = group
        wire.reason = reason.rawValue
        wire.error = error.map(Failure.shortened)
        wire.failedAt = now
        return send(wire, to: RabbitNames.dead(queue, group), isExchange: false, after: 0)
    }

    /// A dead letter's message for its group again, on attempt 1 with its history.
    static func redrive(_ wire: WireMessage, queue: String, group: String, lanes: Int) -> OutgoingMessage {
        var wire = wire
        wire.attempts = 0
        wire.redrives += 1
        (wire.deadID, wire.group, wire.reason, wire.error, wire.failedAt) = (nil, nil, nil, nil, nil)
        let lane = Lanes.lane(of: wire.message, among: lanes)
        let name = lane.map { RabbitNames.group(queue, group, lane: $0) } ?? RabbitNames.group(queue, group)
        return send(wire, to: name, isExchange: false, after: 0)
    }

    /// A message with one more failure in its history.
    static func failed(
        _ wire: WireMessage,
        attempt: Int,
        error: String?,
        consumer: String,
        now: Int64
    ) -> WireMessage {
        var wire = wire
        let failure = Failure(
            attempt: attempt,
            at: now,
            consumer: consumer,
            error: Failure.shortened(error ?? "")
        )
        wire.history = (wire.history + [failure]).suffix(Failure.maxHistory)
        return wire
    }

    private static func send(
        _ wire: WireMessage,
        to destination: String,
        isExchange: Bool,
        after delay: Int64
    ) -> OutgoingMessage {
        var wire = wire
        guard delay > 0 else {
            return OutgoingMessage(
                exchange: isExchange ? destination : "",
                routingKey: destination,
                properties: WireFormat.properties(wire),
                body: wire.message.body
            )
        }
        let (first, left) = DelayPlan.split(delay)
        wire.delayLeft = left
        return OutgoingMessage(
            exchange: DelayPlan.top,
            routingKey: DelayPlan.key(first, to: destination),
            properties: WireFormat.properties(wire),
            body: wire.message.body
        )
    }
}
#endif
