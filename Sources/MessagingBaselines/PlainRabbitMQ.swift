#if RabbitMQ
import CRabbitMQ
import Messaging
import MessagingRabbitMQ

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

extension PlainLibrary {
    /// librabbitmq: publisher confirms, and a prefetched consumer, on a quorum queue of the backend's settings.
    ///
    /// - Parameter configuration: Where the server is; TLS is not possible here.
    /// - Returns: The library.
    public static func rabbitMQ(_ configuration: RabbitMQConfiguration) -> PlainLibrary {
        PlainLibrary(name: "librabbitmq \(String(cString: amqp_version()))") {
            try PlainRabbitMQ(configuration, $0)
        }
    }
}

/// What a program does that uses librabbitmq and nothing else: one connection that publishes, one that consumes.
final class PlainRabbitMQ: PlainClient {
    private let configuration: RabbitMQConfiguration
    private let settings: PlainSettings
    private let body: [UInt8]
    private let publisher: PlainAMQP
    private var consumer: PlainAMQP?
    private var isClosed = false
    private var sent: UInt64 = 0
    private var confirmed: UInt64 = 0
    private var loose: Set<UInt64> = []

    init(_ configuration: RabbitMQConfiguration, _ settings: PlainSettings) throws {
        guard configuration.tls == nil else {
            throw QueueError(.unsupported, "the plain librabbitmq client connects without TLS only; use amqp://")
        }
        self.configuration = configuration
        self.settings = settings
        body = settings.body
        publisher = try PlainAMQP(configuration, queue: settings.queue)
        guard amqp_confirm_select(publisher.state, 1) != nil else { throw PlainAMQP.failure("confirm.select") }
        try publisher.declare()
    }

    func publish(_ count: Int) throws {
        var left = count
        while left > 0 {
            let part = min(left, settings.window)
            try send(part)
            try confirm(part)
            left -= part
        }
    }

    private func send(_ count: Int) throws {
        var properties = amqp_basic_properties_t()
        properties._flags = UInt32(AMQP_BASIC_DELIVERY_MODE_FLAG)
        properties.delivery_mode = 2
        var id = Array((settings.identifier ?? "").utf8)
        try id.withUnsafeMutableBytes { id in
            if !id.isEmpty {
                properties._flags |= UInt32(AMQP_BASIC_MESSAGE_ID_FLAG)
                properties.message_id = amqp_bytes_t(len: id.count, bytes: id.baseAddress)
            }
            try body.withUnsafeBytes { bytes in
                let content = amqp_bytes_t(
                    len: bytes.count,
                    bytes: UnsafeMutableRawPointer(mutating: bytes.baseAddress)
                )
                for _ in 0..<count {
                    let status = publisher.withQueue {
                        amqp_basic_publish(publisher.state, 1, amqp_bytes_t(), $0, 1, 0, &properties, content)
                    }
                    guard status == AMQP_STATUS_OK.rawValue else { throw PlainAMQP.failure("basic.publish") }
                }
            }
        }
    }

    private func confirm(_ count: Int) throws {
        let target = sent + UInt64(count)
        while confirmed < target {
            let frame = try publisher.next()
            guard frame.frame_type == UInt8(AMQP_FRAME_METHOD) else { continue }
            switch frame.payload.method.id {
            case MQ_BASIC_ACK.rawValue:
                let acknowledged = frame.payload.method.decoded.load(as: amqp_basic_ack_t.self)
                if acknowledged.multiple != 0 {
                    confirmed = max(confirmed, acknowledged.delivery_tag)
                } else {
                    loose.insert(acknowledged.delivery_tag)
                }
                while loose.remove(confirmed + 1) != nil { confirmed += 1 }
            case MQ_BASIC_NACK.rawValue: throw PlainAMQP.failure("the broker refused a message")
            case MQ_CHANNEL_CLOSE.rawValue, MQ_CONNECTION_CLOSE.rawValue:
                throw PlainAMQP.failure("the broker closed the channel")
            default: break
            }
            amqp_maybe_release_buffers(publisher.state)
        }
        sent = target
    }

    func consume(_ count: Int) throws {
        let consumer = try subscribed()
        // Often enough that the window never runs dry.
        let step = max(1, settings.window / 5)
        var taken = 0
        while taken < count {
            let frame = try consumer.next()
            guard frame.frame_type == UInt8(AMQP_FRAME_METHOD) else { continue }
            let method = frame.payload.method.id
            guard method != MQ_CHANNEL_CLOSE.rawValue, method != MQ_CONNECTION_CLOSE.rawValue else {
                throw PlainAMQP.failure("the broker closed the channel")
            }
            guard method == MQ_BASIC_DELIVER.rawValue else { continue }
            let tag = frame.payload.method.decoded.load(as: amqp_basic_deliver_t.self).delivery_tag
            let header = try consumer.next()
            var missing = Int(header.payload.properties.body_size)
            var body: [UInt8] = []
            body.reserveCapacity(missing)
            while missing > 0 {
                let fragment = try consumer.next().payload.body_fragment
                body.append(contentsOf: UnsafeRawBufferPointer(start: fragment.bytes, count: fragment.len))
                missing -= fragment.len
            }
            taken += 1
            if taken % step == 0 || taken == count { amqp_basic_ack(consumer.state, 1, tag, 1) }
            amqp_maybe_release_buffers(consumer.state)
        }
    }

    private func subscribed() throws -> PlainAMQP {
        if let consumer { return consumer }
        let consumer = try PlainAMQP(configuration, queue: settings.queue)
        guard amqp_basic_qos(consumer.state, 1, 0, UInt16(clamping: settings.window), 0) != nil,
            consumer.withQueue({
                amqp_basic_consume(consumer.state, 1, $0, amqp_bytes_t(), 0, 0, 0, amqp_table_t())
            }) != nil
        else { throw PlainAMQP.failure("basic.consume") }
        self.consumer = consumer
        return consumer
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        consumer?.close()
        _ = publisher.withQueue { amqp_queue_delete(publisher.state, 1, $0, 0, 0) }
        publisher.close()
    }
}

/// One connection with one channel.
private final class PlainAMQP {
    let state: amqp_connection_state_t
    private let queue: String

    init(_ configuration: RabbitMQConfiguration, queue: String) throws {
        guard let state = amqp_new_connection() else { throw Self.failure("out of memory") }
        self.state = state
        self.queue = queue
        var limit = timeval(tv_sec: PlainLimits.answerSeconds, tv_usec: 0)
        // A connection that broke must not hold a call for ever either.
        guard amqp_set_rpc_timeout(state, &limit) == AMQP_STATUS_OK.rawValue,
            let socket = amqp_tcp_socket_new(state),
            amqp_socket_open_noblock(socket, configuration.host, Int32(configuration.port), &limit)
                == AMQP_STATUS_OK.rawValue
        else {
            throw QueueError(.unavailable, "the plain librabbitmq client cannot connect to \(configuration)")
        }
        let login = mq_login(
            state,
            configuration.virtualHost,
            131072,
            0,
            "plain",
            configuration.username,
            configuration.password
        )
        guard login.reply_type == AMQP_RESPONSE_NORMAL else { throw Self.failure("logging in") }
        guard amqp_channel_open(state, 1) != nil else { throw Self.failure("channel.open") }
    }

    deinit { amqp_destroy_connection(state) }

    /// Makes a queue with the arguments of the backend's.
    func declare() throws {
        let entries = [
            ("x-queue-type", "quorum"), ("x-overflow", "reject-publish"), ("x-dead-letter-exchange", ""),
            ("x-dead-letter-strategy", "at-least-once"),
        ].map { name, value in
            var entry = amqp_table_entry_t()
            entry.key = amqp_cstring_bytes(strdup(name))
            entry.value.kind = UInt8(ascii: "S")
            entry.value.value.bytes = amqp_cstring_bytes(strdup(value))
            return entry
        }
        defer {
            for entry in entries {
                free(entry.key.bytes)
                free(entry.value.value.bytes.bytes)
            }
        }
        var table = entries
        let declared = table.withUnsafeMutableBufferPointer { buffer in
            withQueue { name in
                let arguments = amqp_table_t(num_entries: Int32(buffer.count), entries: buffer.baseAddress)
                return amqp_queue_declare(state, 1, name, 0, 1, 0, 0, arguments)
            }
        }
        guard declared != nil else { throw Self.failure("queue.declare") }
    }

    func withQueue<Result>(_ body: (amqp_bytes_t) -> Result) -> Result {
        var name = queue
        return name.withUTF8 {
            body(amqp_bytes_t(len: $0.count, bytes: UnsafeMutableRawPointer(mutating: $0.baseAddress)))
        }
    }

    func next() throws -> amqp_frame_t {
        var frame = amqp_frame_t()
        var limit = timeval(tv_sec: PlainLimits.answerSeconds, tv_usec: 0)
        guard amqp_simple_wait_frame_noblock(state, &frame, &limit) == AMQP_STATUS_OK.rawValue else {
            throw Self.failure("no frame came in time")
        }
        return frame
    }

    func close() { _ = amqp_connection_close(state, 200) }

    static func failure(_ step: String) -> QueueError { QueueError.plain("librabbitmq", step) }
}
#endif
