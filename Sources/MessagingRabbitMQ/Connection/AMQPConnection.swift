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

/// One connection with one channel: the only place that calls librabbitmq.
///
/// Belongs to one thread. Every call may throw; the connection is then of no more use and must be closed. Nothing of
/// librabbitmq's memory leaves this file.
final class AMQPConnection {
    private static let channel: amqp_channel_t = 1

    private let state: amqp_connection_state_t
    private let watchdog: Watchdog
    private let endpoint: String
    private var arena = Arena()
    /// A message whose parts have not all come.
    private var partial: Partial?
    /// Whether this side has said that it closes the channel: what still comes for the old one is dropped.
    private var isChannelClosing = false

    /// The socket, to wait on.
    let socket: Int32
    /// The largest frame that both sides agreed to.
    let frameMax: Int
    /// The version of the broker, as it says.
    let serverVersion: String
    /// The product, such as `RabbitMQ`.
    let serverProduct: String

    private enum Purpose {
        case delivery(tag: UInt64, isAnswer: Bool)
        case returned(code: Int, text: String)
    }

    private struct Partial {
        var purpose: Purpose
        var properties = AMQPProperties()
        var body: [UInt8] = []
        /// How much of the body is missing; `nil` before the header has come.
        var missing: UInt64?
    }

    /// Connects, encrypts, logs in and opens the channel's connection; blocks for at most the connect timeout per step.
    init(_ configuration: RabbitMQConfiguration, purpose: String) throws(QueueError) {
        guard let state = amqp_new_connection() else {
            throw QueueError(.unavailable, "there is no memory for a connection")
        }
        let opened: (socket: Int32, watchdog: Watchdog)
        do throws(QueueError) {
            opened = try Self.open(state, configuration, purpose)
        } catch {
            amqp_destroy_connection(state)
            throw error
        }
        self.state = state
        endpoint = configuration.endpoint
        (socket, watchdog) = opened
        frameMax = Int(amqp_get_frame_max(state))
        let server = amqp_get_server_properties(state).map { Self.table($0.pointee) } ?? []
        serverVersion = server.value("version")?.string ?? "unknown"
        serverProduct = server.value("product")?.string ?? "unknown"
    }

    deinit {
        watchdog.end()
        amqp_destroy_connection(state)
    }

    /// Says goodbye; waits for the answer for two seconds at most.
    func close() {
        watchdog.enter()
        _ = amqp_connection_close(state, 200)
        watchdog.leave()
    }

    // MARK: - Opening

    private static func open(
        _ state: amqp_connection_state_t,
        _ configuration: RabbitMQConfiguration,
        _ purpose: String
    ) throws(QueueError) -> (Int32, Watchdog) {
        let socket = try makeSocket(state, configuration)
        var limit = interval(configuration.connectTimeout)
        let status = configuration.host.withCString {
            amqp_socket_open_noblock(socket, $0, Int32(configuration.port), &limit)
        }
        guard status == AMQP_STATUS_OK.rawValue else {
            throw AMQPErrors.connect(fault(status), configuration.endpoint)
        }
        let handle = amqp_get_sockfd(state)
        let watchdog = Watchdog(handle, limit: configuration.commandTimeout)
        _ = amqp_set_handshake_timeout(state, &limit)
        var goodbye = interval(.seconds(2))
        _ = amqp_set_rpc_timeout(state, &goodbye)
        watchdog.enter()
        let reply = mq_login(
            state,
            configuration.virtualHost,
            131072,
            Int32(clamping: configuration.heartbeat.components.seconds),
            "swift-message-queue \(purpose)",
            configuration.username,
            configuration.password
        )
        watchdog.leave()
        do throws(QueueError) {
            try check(reply, configuration)
        } catch {
            watchdog.end()
            throw error
        }
        return (handle, watchdog)
    }

    private static func makeSocket(
        _ state: amqp_connection_state_t,
        _ configuration: RabbitMQConfiguration
    ) throws(QueueError) -> OpaquePointer {
        guard let tls = configuration.tls else {
            guard let socket = amqp_tcp_socket_new(state) else {
                throw QueueError(.unavailable, "there is no memory for a socket")
            }
            return socket
        }
        guard let socket = amqp_ssl_socket_new(state) else {
            throw QueueError(.unavailable, "the TLS library cannot be used", isRetryable: false)
        }
        amqp_ssl_socket_set_verify_peer(socket, 1)
        amqp_ssl_socket_set_verify_hostname(socket, 1)
        guard amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST) == AMQP_STATUS_OK.rawValue else {
            throw QueueError(.unavailable, "the TLS library has no TLS 1.2", isRetryable: false)
        }
        let authorities = try tls.authorities()
        guard amqp_ssl_socket_set_cacert(socket, authorities) == AMQP_STATUS_OK.rawValue else {
            throw QueueError(.invalidArgument, "the certificates of '\(authorities)' cannot be read; check tls_ca")
        }
        if let certificate = tls.certificateFile, let key = tls.keyFile {
            guard amqp_ssl_socket_set_key(socket, certificate, key) == AMQP_STATUS_OK.rawValue else {
                throw QueueError(
                    .invalidArgument,
                    "the client certificate '\(certificate)' or its key cannot be read; check tls_cert and tls_key"
                )
            }
        }
        return socket
    }

    private static func check(
        _ reply: amqp_rpc_reply_t,
        _ configuration: RabbitMQConfiguration
    ) throws(QueueError) {
        switch reply.reply_type {
        case AMQP_RESPONSE_NORMAL: return
        case AMQP_RESPONSE_SERVER_EXCEPTION where reply.reply.id == UInt32(MQ_CONNECTION_CLOSE.rawValue):
            let close = reply.reply.decoded.load(as: amqp_connection_close_t.self)
            throw AMQPErrors.closed(Int(close.reply_code), text(close.reply_text), configuration.endpoint)
        default: throw AMQPErrors.login(fault(reply.library_error), configuration.endpoint)
        }
    }

    private static func interval(_ duration: Duration) -> timeval {
        let (seconds, attoseconds) = duration.components
        return timeval(tv_sec: Int(seconds), tv_usec: .init(attoseconds / 1_000_000_000_000))
    }

    private static func fault(_ status: Int32) -> AMQPErrors.Fault {
        let kind: AMQPErrors.Fault.Kind =
            switch status {
            case AMQP_STATUS_HOSTNAME_RESOLUTION_FAILED.rawValue: .hostUnknown
            case AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED.rawValue, AMQP_STATUS_SSL_PEER_VERIFY_FAILED.rawValue,
                AMQP_STATUS_SSL_CONNECTION_FAILED.rawValue, AMQP_STATUS_SSL_ERROR.rawValue:
                .tls
            default: .other
            }
        return AMQPErrors.Fault(kind: kind, text: String(cString: amqp_error_string2(status)))
    }

    // MARK: - Sending

    private func check(_ status: Int32) throws(QueueError) {
        guard status != AMQP_STATUS_OK.rawValue else { return }
        throw AMQPErrors.broken(Self.fault(status), isCutOff: watchdog.hasFired, endpoint)
    }

    /// Sends a method; its answer comes as an event.
    func send(_ method: AMQPMethod) throws(QueueError) {
        arena.reset()
        if method == .channelClose { isChannelClosing = true }
        switch method {
        case .channelOpen:
            isChannelClosing = false
            partial = nil
            try send(MQ_CHANNEL_OPEN, amqp_channel_open_t(out_of_band: amqp_bytes_t()))
        case .channelClose:
            try send(
                MQ_CHANNEL_CLOSE,
                amqp_channel_close_t(reply_code: 200, reply_text: amqp_bytes_t(), class_id: 0, method_id: 0)
            )
        case .confirmSelect: try send(MQ_CONFIRM_SELECT, amqp_confirm_select_t(nowait: 0))
        case .exchangeDeclare(let name, let type):
            var declare = amqp_exchange_declare_t()
            (declare.exchange, declare.type, declare.durable) = (arena.copy(name), arena.copy(type), 1)
            try send(MQ_EXCHANGE_DECLARE, declare)
        case .exchangeBind(let name, let source, let key):
            var bind = amqp_exchange_bind_t()
            (bind.destination, bind.source, bind.routing_key) = (arena.copy(name), arena.copy(source), arena.copy(key))
            try send(MQ_EXCHANGE_BIND, bind)
        case .queueDeclare(let name, let arguments):
            var declare = amqp_queue_declare_t()
            (declare.queue, declare.durable, declare.arguments) = (arena.copy(name), 1, arena.table(arguments))
            try send(MQ_QUEUE_DECLARE, declare)
        case .queueExists(let name):
            var declare = amqp_queue_declare_t()
            (declare.queue, declare.passive) = (arena.copy(name), 1)
            try send(MQ_QUEUE_DECLARE, declare)
        case .queueBind(let name, let exchange, let key):
            var bind = amqp_queue_bind_t()
            (bind.queue, bind.exchange, bind.routing_key) = (arena.copy(name), arena.copy(exchange), arena.copy(key))
            try send(MQ_QUEUE_BIND, bind)
        case .prefetch(let count):
            try send(MQ_BASIC_QOS, amqp_basic_qos_t(prefetch_size: 0, prefetch_count: count, global: 0))
        case .consume(let queue, let tag):
            var consume = amqp_basic_consume_t()
            (consume.queue, consume.consumer_tag) = (arena.copy(queue), arena.copy(tag))
            try send(MQ_BASIC_CONSUME, consume)
        case .cancel(let tag): try send(MQ_BASIC_CANCEL, amqp_basic_cancel_t(consumer_tag: arena.copy(tag), nowait: 0))
        case .get(let queue): try send(MQ_BASIC_GET, amqp_basic_get_t(ticket: 0, queue: arena.copy(queue), no_ack: 0))
        case .acknowledge(let tag, let multiple):
            try send(MQ_BASIC_ACK, amqp_basic_ack_t(delivery_tag: tag, multiple: multiple ? 1 : 0))
        case .requeue(let tag):
            try send(MQ_BASIC_NACK, amqp_basic_nack_t(delivery_tag: tag, multiple: 0, requeue: 1))
        }
    }

    private func send(_ id: mq_method, _ arguments: some BitwiseCopyable) throws(QueueError) {
        var arguments = arguments
        watchdog.enter()
        let status = withUnsafeMutablePointer(to: &arguments) {
            amqp_send_method(state, Self.channel, UInt32(id.rawValue), $0)
        }
        watchdog.leave()
        try check(status)
    }

    /// Sends a durable message that must reach a queue.
    func publish(_ message: OutgoingMessage) throws(QueueError) {
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

    // MARK: - Receiving

    /// Returns the next thing that has come, or `nil`.
    ///
    /// Keeps the heartbeats, so it must be called often.
    func next() throws(QueueError) -> AMQPEvent? {
        while true {
            var frame = amqp_frame_t()
            var none = timeval(tv_sec: 0, tv_usec: 0)
            watchdog.enter()
            let status = amqp_simple_wait_frame_noblock(state, &frame, &none)
            watchdog.leave()
            if status == AMQP_STATUS_TIMEOUT.rawValue { return nil }
            try check(status)
            let event = try take(frame)
            amqp_maybe_release_buffers(state)
            if let event { return event }
        }
    }

    private func take(_ frame: amqp_frame_t) throws(QueueError) -> AMQPEvent? {
        switch Int32(frame.frame_type) {
        case AMQP_FRAME_METHOD: return try method(frame.payload.method)
        case AMQP_FRAME_HEADER:
            guard partial != nil else { return nil }
            let header = frame.payload.properties
            partial?.properties = Self.properties(header.decoded.load(as: amqp_basic_properties_t.self))
            partial?.missing = header.body_size
            if case .delivery? = partial?.purpose { partial?.body.reserveCapacity(Int(clamping: header.body_size)) }
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
        guard let message = partial, message.missing == 0 else { return nil }
        partial = nil
        if isChannelClosing { return nil }
        switch message.purpose {
        case .delivery(let tag, let isAnswer):
            return .message(
                IncomingMessage(
                    tag: tag,
                    isAnswer: isAnswer,
                    properties: message.properties,
                    body: message.body
                )
            )
        case .returned(let code, let text): return .returned(message.properties, code: code, text: text)
        }
    }

    private func method(_ method: amqp_method_t) throws(QueueError) -> AMQPEvent? {
        func load<Method>(_ type: Method.Type) -> Method { method.decoded.load(as: type) }
        switch mq_method(rawValue: method.id) {
        case MQ_BASIC_DELIVER:
            let deliver = load(amqp_basic_deliver_t.self)
            let purpose = Purpose.delivery(tag: deliver.delivery_tag, isAnswer: false)
            partial = Partial(purpose: purpose)
            return nil
        case MQ_BASIC_GET_OK:
            let found = load(amqp_basic_get_ok_t.self)
            let purpose = Purpose.delivery(tag: found.delivery_tag, isAnswer: true)
            partial = Partial(purpose: purpose)
            return nil
        case MQ_BASIC_RETURN:
            let back = load(amqp_basic_return_t.self)
            partial = Partial(purpose: .returned(code: Int(back.reply_code), text: Self.text(back.reply_text)))
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
        case MQ_CONNECTION_BLOCKED: return .blocked(Self.text(load(amqp_connection_blocked_t.self).reason))
        case MQ_CONNECTION_UNBLOCKED: return .unblocked
        case MQ_CHANNEL_CLOSE:
            let close = load(amqp_channel_close_t.self)
            let event = AMQPEvent.channelClosed(code: Int(close.reply_code), text: Self.text(close.reply_text))
            partial = nil
            try send(MQ_CHANNEL_CLOSE_OK, amqp_channel_close_ok_t())
            return isChannelClosing ? nil : event
        case MQ_CONNECTION_CLOSE:
            let close = load(amqp_connection_close_t.self)
            let event = AMQPEvent.connectionClosed(code: Int(close.reply_code), text: Self.text(close.reply_text))
            var answer = amqp_connection_close_ok_t()
            _ = amqp_send_method(state, 0, UInt32(MQ_CONNECTION_CLOSE_OK.rawValue), &answer)
            return event
        default: return Self.replies[method.id].map { .reply(AMQPReply(kind: $0)) }
        }
    }

    private static let replies: [UInt32: AMQPReply.Kind] = [
        MQ_CHANNEL_OPEN_OK.rawValue: .channelOpen, MQ_CHANNEL_CLOSE_OK.rawValue: .channelClose,
        MQ_CONFIRM_SELECT_OK.rawValue: .confirmSelect, MQ_EXCHANGE_DECLARE_OK.rawValue: .exchangeDeclare,
        MQ_EXCHANGE_BIND_OK.rawValue: .exchangeBind, MQ_QUEUE_BIND_OK.rawValue: .queueBind,
        MQ_BASIC_QOS_OK.rawValue: .prefetch, MQ_BASIC_CONSUME_OK.rawValue: .consume,
        MQ_BASIC_CANCEL_OK.rawValue: .cancel,
    ]

    // MARK: - Reading librabbitmq's memory

    private static func bytes(_ bytes: amqp_bytes_t) -> [UInt8] {
        Array(UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.len))
    }

    private static func text(_ bytes: amqp_bytes_t) -> String {
        String(decoding: UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.len), as: UTF8.self)
    }

    private static func properties(_ raw: amqp_basic_properties_t) -> AMQPProperties {
        func text(_ flag: Int32, _ bytes: amqp_bytes_t) -> String? {
            raw._flags & UInt32(flag) == 0 ? nil : Self.text(bytes)
        }
        var properties = AMQPProperties()
        properties.contentType = text(AMQP_BASIC_CONTENT_TYPE_FLAG, raw.content_type)
        properties.contentEncoding = text(AMQP_BASIC_CONTENT_ENCODING_FLAG, raw.content_encoding)
        properties.correlationID = text(AMQP_BASIC_CORRELATION_ID_FLAG, raw.correlation_id)
        properties.replyTo = text(AMQP_BASIC_REPLY_TO_FLAG, raw.reply_to)
        properties.messageID = text(AMQP_BASIC_MESSAGE_ID_FLAG, raw.message_id)
        properties.type = text(AMQP_BASIC_TYPE_FLAG, raw.type)
        properties.appID = text(AMQP_BASIC_APP_ID_FLAG, raw.app_id)
        if raw._flags & UInt32(AMQP_BASIC_TIMESTAMP_FLAG) != 0 { properties.timestamp = raw.timestamp }
        if raw._flags & UInt32(AMQP_BASIC_HEADERS_FLAG) != 0 { properties.headers = table(raw.headers) }
        return properties
    }

    private static func table(_ raw: amqp_table_t) -> AMQPTable {
        UnsafeBufferPointer(start: raw.entries, count: Int(raw.num_entries)).map { entry in
            AMQPHeader(text(entry.key), value(entry.value))
        }
    }

    private static func value(_ raw: amqp_field_value_t) -> AMQPValue {
        let kind = raw.kind
        switch kind {
        case UInt8(ascii: "S"): return .text(bytes(raw.value.bytes))
        case UInt8(ascii: "x"): return .bytes(bytes(raw.value.bytes))
        case UInt8(ascii: "t"): return .bool(raw.value.boolean != 0)
        case UInt8(ascii: "b"): return .number(Int64(raw.value.i8), kind: kind)
        case UInt8(ascii: "B"): return .number(Int64(raw.value.u8), kind: kind)
        case UInt8(ascii: "s"): return .number(Int64(raw.value.i16), kind: kind)
        case UInt8(ascii: "u"): return .number(Int64(raw.value.u16), kind: kind)
        case UInt8(ascii: "I"): return .number(Int64(raw.value.i32), kind: kind)
        case UInt8(ascii: "i"): return .number(Int64(raw.value.u32), kind: kind)
        case UInt8(ascii: "l"), UInt8(ascii: "L"): return .number(raw.value.i64, kind: UInt8(ascii: "l"))
        case UInt8(ascii: "f"): return .double(Double(raw.value.f32), kind: kind)
        case UInt8(ascii: "d"): return .double(raw.value.f64, kind: kind)
        case UInt8(ascii: "D"): return .decimal(places: raw.value.decimal.decimals, value: raw.value.decimal.value)
        case UInt8(ascii: "T"): return .timestamp(raw.value.u64)
        case UInt8(ascii: "F"): return .table(table(raw.value.table))
        case UInt8(ascii: "A"):
            let array = raw.value.array
            return .array(UnsafeBufferPointer(start: array.entries, count: Int(array.num_entries)).map(value))
        default: return .void
        }
    }
}

// MARK: - Writing librabbitmq's memory

/// Memory for the arguments of one call, used again by the next.
private struct Arena: ~Copyable {
    private var block = UnsafeMutableRawBufferPointer.allocate(byteCount: 16 << 10, alignment: 16)
    private var used = 0
    /// What did not fit.
    private var extra: [UnsafeMutableRawPointer] = []

    deinit {
        for pointer in extra { pointer.deallocate() }
        block.deallocate()
    }

    mutating func reset() {
        used = 0
        for pointer in extra { pointer.deallocate() }
        extra.removeAll(keepingCapacity: true)
    }

    private mutating func allocate(_ count: Int) -> UnsafeMutableRawPointer {
        let size = (max(count, 1) + 15) & ~15
        if used + size <= block.count, let base = block.baseAddress {
            defer { used += size }
            return base + used
        }
        let pointer = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        extra.append(pointer)
        return pointer
    }

    mutating func copy(_ text: String) -> amqp_bytes_t {
        var text = text
        return text.withUTF8 { copy(UnsafeRawBufferPointer($0)) }
    }

    private mutating func copy(_ bytes: UnsafeRawBufferPointer) -> amqp_bytes_t {
        let pointer = allocate(bytes.count)
        UnsafeMutableRawBufferPointer(start: pointer, count: bytes.count).copyMemory(from: bytes)
        return amqp_bytes_t(len: bytes.count, bytes: pointer)
    }

    mutating func table(_ table: AMQPTable) -> amqp_table_t {
        if table.isEmpty { return amqp_table_t(num_entries: 0, entries: nil) }
        let entries = allocate(table.count * MemoryLayout<amqp_table_entry_t>.stride)
            .bindMemory(to: amqp_table_entry_t.self, capacity: table.count)
        for (index, header) in table.enumerated() {
            (entries + index).initialize(
                to: amqp_table_entry_t(key: copy(header.name), value: value(header.value))
            )
        }
        return amqp_table_t(num_entries: Int32(clamping: table.count), entries: entries)
    }

    private mutating func value(_ value: AMQPValue) -> amqp_field_value_t {
        var raw = amqp_field_value_t()
        switch value {
        case .text(let bytes):
            raw.kind = UInt8(ascii: "S")
            raw.value.bytes = bytes.withUnsafeBytes { copy($0) }
        case .bytes(let bytes):
            raw.kind = UInt8(ascii: "x")
            raw.value.bytes = bytes.withUnsafeBytes { copy($0) }
        case .bool(let isTrue):
            raw.kind = UInt8(ascii: "t")
            raw.value.boolean = isTrue ? 1 : 0
        case .number(let number, let kind):
            raw.kind = kind
            switch kind {
            case UInt8(ascii: "b"): raw.value.i8 = Int8(clamping: number)
            case UInt8(ascii: "B"): raw.value.u8 = UInt8(clamping: number)
            case UInt8(ascii: "s"): raw.value.i16 = Int16(clamping: number)
            case UInt8(ascii: "u"): raw.value.u16 = UInt16(clamping: number)
            case UInt8(ascii: "I"): raw.value.i32 = Int32(clamping: number)
            case UInt8(ascii: "i"): raw.value.u32 = UInt32(clamping: number)
            default:
                raw.kind = UInt8(ascii: "l")
                raw.value.i64 = number
            }
        case .double(let number, let kind):
            raw.kind = kind
            if kind == UInt8(ascii: "f") { raw.value.f32 = Float(number) } else { raw.value.f64 = number }
        case .decimal(let places, let number):
            raw.kind = UInt8(ascii: "D")
            raw.value.decimal = amqp_decimal_t(decimals: places, value: number)
        case .timestamp(let seconds):
            raw.kind = UInt8(ascii: "T")
            raw.value.u64 = seconds
        case .void: raw.kind = UInt8(ascii: "V")
        case .table(let entries):
            raw.kind = UInt8(ascii: "F")
            raw.value.table = table(entries)
        case .array(let values):
            raw.kind = UInt8(ascii: "A")
            let entries = allocate(values.count * MemoryLayout<amqp_field_value_t>.stride)
                .bindMemory(to: amqp_field_value_t.self, capacity: max(values.count, 1))
            for (index, element) in values.enumerated() { (entries + index).initialize(to: self.value(element)) }
            raw.value.array = amqp_array_t(num_entries: Int32(clamping: values.count), entries: entries)
        }
        return raw
    }

    mutating func properties(_ properties: AMQPProperties) -> amqp_basic_properties_t {
        var raw = amqp_basic_properties_t()
        // 2 is persistent.
        raw.delivery_mode = 2
        var flags = AMQP_BASIC_DELIVERY_MODE_FLAG
        if let text = properties.contentType {
            raw.content_type = copy(text)
            flags |= AMQP_BASIC_CONTENT_TYPE_FLAG
        }
        if let text = properties.contentEncoding {
            raw.content_encoding = copy(text)
            flags |= AMQP_BASIC_CONTENT_ENCODING_FLAG
        }
        if let text = properties.correlationID {
            raw.correlation_id = copy(text)
            flags |= AMQP_BASIC_CORRELATION_ID_FLAG
        }
        if let text = properties.replyTo {
            raw.reply_to = copy(text)
            flags |= AMQP_BASIC_REPLY_TO_FLAG
        }
        if let text = properties.messageID {
            raw.message_id = copy(text)
            flags |= AMQP_BASIC_MESSAGE_ID_FLAG
        }
        if let text = properties.type {
            raw.type = copy(text)
            flags |= AMQP_BASIC_TYPE_FLAG
        }
        if let text = properties.appID {
            raw.app_id = copy(text)
            flags |= AMQP_BASIC_APP_ID_FLAG
        }
        if let seconds = properties.timestamp {
            raw.timestamp = seconds
            flags |= AMQP_BASIC_TIMESTAMP_FLAG
        }
        if !properties.headers.isEmpty {
            raw.headers = table(properties.headers)
            flags |= AMQP_BASIC_HEADERS_FLAG
        }
        raw._flags = UInt32(flags)
        return raw
    }
}
#endif
