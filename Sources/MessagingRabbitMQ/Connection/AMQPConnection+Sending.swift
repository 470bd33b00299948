#if RabbitMQ
import CRabbitMQ
import Messaging

extension AMQPConnection {
    /// Sends a method; its answer comes as an event.
    func send(_ method: AMQPMethod, on channel: UInt16 = AMQPConnection.channel) throws(QueueError) {
        arena.reset()
        try flush()
        switch method {
        case .channelOpen:
            closing.remove(channel)
            if channel == current { partial = nil } else { parked[channel] = nil }
            try send(MQ_CHANNEL_OPEN, amqp_channel_open_t(out_of_band: amqp_bytes_t()), on: channel)
        case .channelClose:
            closing.insert(channel)
            try send(
                MQ_CHANNEL_CLOSE,
                amqp_channel_close_t(reply_code: 200, reply_text: amqp_bytes_t(), class_id: 0, method_id: 0),
                on: channel
            )
        case .confirmSelect: try send(MQ_CONFIRM_SELECT, amqp_confirm_select_t(nowait: 0), on: channel)
        case .exchangeDeclare(let name, let type, let arguments):
            var declare = amqp_exchange_declare_t()
            (declare.exchange, declare.type, declare.durable) = (arena.copy(name), arena.copy(type), 1)
            declare.arguments = arena.table(arguments)
            try send(MQ_EXCHANGE_DECLARE, declare, on: channel)
        case .exchangeDelete(let name):
            try send(
                MQ_EXCHANGE_DELETE,
                amqp_exchange_delete_t(ticket: 0, exchange: arena.copy(name), if_unused: 0, nowait: 0),
                on: channel
            )
        case .exchangeBind(let name, let source, let key):
            var bind = amqp_exchange_bind_t()
            (bind.destination, bind.source, bind.routing_key) = (arena.copy(name), arena.copy(source), arena.copy(key))
            try send(MQ_EXCHANGE_BIND, bind, on: channel)
        case .queueDeclare(let name, let arguments):
            var declare = amqp_queue_declare_t()
            (declare.queue, declare.durable, declare.arguments) = (arena.copy(name), 1, arena.table(arguments))
            try send(MQ_QUEUE_DECLARE, declare, on: channel)
        case .queueExists(let name):
            var declare = amqp_queue_declare_t()
            (declare.queue, declare.passive) = (arena.copy(name), 1)
            try send(MQ_QUEUE_DECLARE, declare, on: channel)
        case .queueDelete(let name):
            var delete = amqp_queue_delete_t()
            delete.queue = arena.copy(name)
            try send(MQ_QUEUE_DELETE, delete, on: channel)
        case .queueBind(let name, let exchange, let key):
            var bind = amqp_queue_bind_t()
            (bind.queue, bind.exchange, bind.routing_key) = (arena.copy(name), arena.copy(exchange), arena.copy(key))
            try send(MQ_QUEUE_BIND, bind, on: channel)
        case .exchangeUnbind(let name, let source, let key):
            var bind = amqp_exchange_unbind_t()
            (bind.destination, bind.source, bind.routing_key) = (arena.copy(name), arena.copy(source), arena.copy(key))
            try send(MQ_EXCHANGE_UNBIND, bind, on: channel)
        case .queueUnbind(let name, let exchange, let key):
            var bind = amqp_queue_unbind_t()
            (bind.queue, bind.exchange, bind.routing_key) = (arena.copy(name), arena.copy(exchange), arena.copy(key))
            try send(MQ_QUEUE_UNBIND, bind, on: channel)
        case .prefetch(let count):
            try send(MQ_BASIC_QOS, amqp_basic_qos_t(prefetch_size: 0, prefetch_count: count, global: 0), on: channel)
        case .consume(let queue, let tag):
            var consume = amqp_basic_consume_t()
            (consume.queue, consume.consumer_tag) = (arena.copy(queue), arena.copy(tag))
            try send(MQ_BASIC_CONSUME, consume, on: channel)
        case .cancel(let tag):
            try send(MQ_BASIC_CANCEL, amqp_basic_cancel_t(consumer_tag: arena.copy(tag), nowait: 0), on: channel)
        case .get(let queue):
            try send(MQ_BASIC_GET, amqp_basic_get_t(ticket: 0, queue: arena.copy(queue), no_ack: 0), on: channel)
        case .acknowledge(let tag, let multiple):
            try send(MQ_BASIC_ACK, amqp_basic_ack_t(delivery_tag: tag, multiple: multiple ? 1 : 0), on: channel)
        case .requeue(let tag):
            try send(MQ_BASIC_NACK, amqp_basic_nack_t(delivery_tag: tag, multiple: 0, requeue: 1), on: channel)
        }
    }

    func send(
        _ id: mq_method,
        _ arguments: some BitwiseCopyable,
        on channel: amqp_channel_t
    ) throws(QueueError) {
        var arguments = arguments
        watchdog.enter()
        let status = withUnsafeMutablePointer(to: &arguments) {
            amqp_send_method(state, channel, UInt32(id.rawValue), $0)
        }
        watchdog.leave()
        try check(status)
    }

    // MARK: - Publishing

    /// Adds a durable message that must reach a queue to what is written next.
    func publish(_ message: OutgoingMessage) throws(QueueError) {
        if isEncrypted { return try publishEncrypted(message) }
        if outgoing.isFull { try flush() }
        guard outgoing.begin(message, &arena) else {
            throw QueueError(.tooLarge, "the headers or the names of a message do not fit into one AMQP frame")
        }
        var start = 0
        while start < message.body.count {
            if outgoing.isFull { try flush() }
            let end = min(start + outgoing.chunk, message.body.count)
            message.body.withUnsafeBytes { outgoing.add(UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
            start = end
        }
    }

    /// Lets librabbitmq send a message, which has the only way to the encrypted socket.
    private func publishEncrypted(_ message: OutgoingMessage) throws(QueueError) {
        arena.reset()
        var properties = arena.properties(message.properties)
        let (exchange, key) = (arena.copy(message.exchange), arena.copy(message.routingKey))
        watchdog.enter()
        let status = message.body.withUnsafeBytes { bytes in
            amqp_basic_publish(
                state,
                Self.channel,
                exchange,
                key,
                1,
                0,
                &properties,
                amqp_bytes_t(len: bytes.count, bytes: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
            )
        }
        watchdog.leave()
        try check(status)
    }

    /// Writes what was published.
    func flush() throws(QueueError) {
        if outgoing.isEmpty { return }
        let (socket, limit) = (self.socket, writeLimit)
        let endpoint = self.endpoint
        try outgoing.take { (bytes) throws(QueueError) in
            guard let problem = SocketWriter.write(bytes, to: socket, within: limit) else { return }
            let fault = AMQPErrors.Fault(kind: .other, text: problem.text)
            throw AMQPErrors.broken(fault, isCutOff: problem.isTimeout, endpoint)
        }
    }
}
#endif
