#if RabbitMQ
import Messaging

/// A look at everything in a queue that only one consumer at a time may look at.
///
/// Who walks gets all messages without acknowledging them, and a marker of its own behind them tells where they end. When
/// the channel is closed, everything is back in its place. The broker counts that as a delivery, which nobody minds in
/// these queues.
struct Walk {
    private static let markerHeader = "mq-marker"
    /// The most that AMQP lets a consumer hold; what lies behind is not seen.
    private static let most = 65535
    /// Markers of walks that did not end are removed after this time.
    private static let markerAge: UInt64 = 3600

    let channel: AdminChannel
    let queue: String

    /// Shows every message to a closure, oldest first.
    ///
    /// - Parameter visit: What to do with a message.
    /// - Throws: `QueueError` when the broker does not answer, or what the closure throws.
    func forEach(_ visit: (IncomingMessage) throws(QueueError) -> Void) throws(QueueError) {
        let mark = MessageID.make().rawValue
        let now = UInt64(clamping: UnixTime.milliseconds() / 1000)
        try channel.calls([.prefetch(UInt16(Self.most)), .consume(queue: queue, tag: "walk")])
        var properties = AMQPProperties()
        properties.messageID = mark
        properties.timestamp = now
        properties.headers = [AMQPHeader(Self.markerHeader, .bool(true))]
        let marker = OutgoingMessage(exchange: "", routingKey: queue, properties: properties, body: [])
        guard try channel.publish([marker]).count == 1 else {
            throw QueueError(.unavailable, "the broker did not take a marker for '\(queue)'")
        }
        var seen = 0
        while seen < Self.most {
            let message = try channel.nextMessage()
            seen += 1
            guard message.properties.headers.value(Self.markerHeader) != nil else {
                try visit(message)
                continue
            }
            let isOwn = message.properties.messageID == mark
            if isOwn || (message.properties.timestamp ?? 0) + Self.markerAge < now {
                try channel.send(.acknowledge(message.tag, multiple: false))
            }
            if isOwn { return }
        }
    }

    /// Removes messages that were shown.
    ///
    /// A channel that ends forgets acknowledgements that its queue has no room for yet, 32 at a time, so each few of them
    /// are followed by a question to the queue, whose answer comes after them. The question is whether one more may
    /// consume; it waits behind the walk and ends with it.
    func remove(_ tags: [UInt64]) throws(QueueError) {
        for (number, part) in tags.split(by: 20).enumerated() {
            for tag in part { try channel.send(.acknowledge(tag, multiple: false)) }
            try channel.call(.consume(queue: queue, tag: "walk-\(number)"))
        }
    }

    /// Puts everything that was not removed back.
    func end() throws(QueueError) { try channel.reset() }
}
#endif
