#if RabbitMQ
import CRabbitMQ
import Messaging

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

extension AMQPConnection {
    /// Returns the next thing that has come, or `nil`.
    ///
    /// Keeps the heartbeats, so it must be called often.
    func next() throws(QueueError) -> AMQPEvent? {
        try flush()
        while true {
            var frame = amqp_frame_t()
            var none = timeval(tv_sec: 0, tv_usec: 0)
            watchdog.enter()
            let status = amqp_simple_wait_frame_noblock(state, &frame, &none)
            watchdog.leave()
            if status == AMQP_STATUS_TIMEOUT.rawValue { return nil }
            try check(status)
            if frame.channel != current { turn(to: frame.channel) }
            let event = try take(frame)
            amqp_maybe_release_buffers(state)
            if let event { return event }
        }
    }

    /// Whether this side closes the channel of the last event.
    private var isChannelClosing: Bool { !closing.isEmpty && closing.contains(current) }

    /// Goes on with what comes on another channel.
    private func turn(to channel: amqp_channel_t) {
        // A close of the connection comes on channel 0 and ends everything.
        if let partial { parked[current] = partial }
        partial = parked.removeValue(forKey: channel)
        current = channel
    }

    private func take(_ frame: amqp_frame_t) throws(QueueError) -> AMQPEvent? {
        switch Int32(frame.frame_type) {
        case AMQP_FRAME_METHOD: return try method(frame.payload.method)
        case AMQP_FRAME_HEADER:
            guard partial != nil else { return nil }
            let header = frame.payload.properties
            partial?.properties = AMQPMemory.properties(header.decoded.load(as: amqp_basic_properties_t.self))
            partial?.missing = header.body_size
            if case .delivery? = partial?.purpose {
                partial?.body.reserveCapacity(Int(min(header.body_size, 128 << 20)))
            }
            return whole()
        case AMQP_FRAME_BODY:
            guard let missing = partial?.missing else { return nil }
            let fragment = frame.payload.body_fragment
            if case .delivery? = partial?.purpose {
                partial?.body.append(contentsOf: UnsafeRawBufferPointer(start: fragment.bytes, count: fragment.len))
            }
            partial?.missing = missing - min(missing, UInt64(fragment.len))
            return whole()
        default: return nil
        }
    }

    /// The message, when all of it is there.
    private func whole() -> AMQPEvent? {
        guard partial?.missing == 0, let message = partial.take() else { return nil }
        switch message.purpose {
        case .delivery(let tag, let isAnswer):
            let incoming = IncomingMessage(
                tag: tag,
                isAnswer: isAnswer,
                properties: message.properties,
                body: message.body,
                routingKey: message.routingKey
            )
            return isChannelClosing ? .lateMessage(incoming) : .message(incoming)
        case .returned(let code, let text):
            return isChannelClosing ? nil : .returned(message.properties, code: code, text: text)
        }
    }

    private func method(_ method: amqp_method_t) throws(QueueError) -> AMQPEvent? {
        func load<Method>(_ type: Method.Type) -> Method { method.decoded.load(as: type) }
        switch mq_method(rawValue: method.id) {
        case MQ_BASIC_DELIVER:
            let deliver = load(amqp_basic_deliver_t.self)
            let purpose = Purpose.delivery(tag: deliver.delivery_tag, isAnswer: false)
            partial = Partial(purpose: purpose)
            if readsRoutingKeys { partial?.routingKey = AMQPMemory.text(deliver.routing_key) }
            return nil
        case MQ_BASIC_GET_OK:
            let found = load(amqp_basic_get_ok_t.self)
            let purpose = Purpose.delivery(tag: found.delivery_tag, isAnswer: true)
            partial = Partial(purpose: purpose)
            if readsRoutingKeys { partial?.routingKey = AMQPMemory.text(found.routing_key) }
            return nil
        case MQ_BASIC_RETURN:
            let back = load(amqp_basic_return_t.self)
            partial = Partial(purpose: .returned(code: Int(back.reply_code), text: AMQPMemory.text(back.reply_text)))
            return nil
        case MQ_BASIC_GET_EMPTY: return .empty
        case MQ_BASIC_ACK:
            let acknowledged = load(amqp_basic_ack_t.self)
            return .confirmed(
                acknowledged.delivery_tag,
                multiple: acknowledged.multiple != 0,
                isAccepted: true
            )
        case MQ_BASIC_NACK:
            let refused = load(amqp_basic_nack_t.self)
            return .confirmed(refused.delivery_tag, multiple: refused.multiple != 0, isAccepted: false)
        case MQ_QUEUE_DECLARE_OK:
            let declared = load(amqp_queue_declare_ok_t.self)
            return .reply(
                AMQPReply(
                    kind: .queueDeclare,
                    messages: Int(declared.message_count),
                    consumers: Int(declared.consumer_count)
                )
            )
        case MQ_BASIC_CANCEL: return .consumerEnded
        case MQ_CONNECTION_BLOCKED: return .blocked(AMQPMemory.text(load(amqp_connection_blocked_t.self).reason))
        case MQ_CONNECTION_UNBLOCKED: return .unblocked
        case MQ_CHANNEL_CLOSE:
            let close = load(amqp_channel_close_t.self)
            let event = AMQPEvent.channelClosed(code: Int(close.reply_code), text: AMQPMemory.text(close.reply_text))
            partial = nil
            try send(MQ_CHANNEL_CLOSE_OK, amqp_channel_close_ok_t(), on: current)
            return isChannelClosing ? nil : event
        case MQ_CONNECTION_CLOSE:
            let close = load(amqp_connection_close_t.self)
            let event = AMQPEvent.connectionClosed(code: Int(close.reply_code), text: AMQPMemory.text(close.reply_text))
            var answer = amqp_connection_close_ok_t()
            _ = amqp_send_method(state, 0, UInt32(MQ_CONNECTION_CLOSE_OK.rawValue), &answer)
            return event
        default: return Self.replies[method.id].map { .reply(AMQPReply(kind: $0)) }
        }
    }

    private static let replies: [UInt32: AMQPReply.Kind] = [
        MQ_CHANNEL_OPEN_OK.rawValue: .channelOpen, MQ_CHANNEL_CLOSE_OK.rawValue: .channelClose,
        MQ_CONFIRM_SELECT_OK.rawValue: .confirmSelect, MQ_EXCHANGE_DECLARE_OK.rawValue: .exchangeDeclare,
        MQ_EXCHANGE_DELETE_OK.rawValue: .exchangeDelete, MQ_EXCHANGE_BIND_OK.rawValue: .exchangeBind,
        MQ_QUEUE_DELETE_OK.rawValue: .queueDelete, MQ_QUEUE_BIND_OK.rawValue: .queueBind,
        MQ_BASIC_QOS_OK.rawValue: .prefetch, MQ_BASIC_CONSUME_OK.rawValue: .consume,
        MQ_BASIC_CANCEL_OK.rawValue: .cancel, MQ_EXCHANGE_UNBIND_OK.rawValue: .exchangeUnbind,
        MQ_QUEUE_UNBIND_OK.rawValue: .queueUnbind,
    ]
}
#endif
