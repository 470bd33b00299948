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

/// What a program does that uses librabbitmq and nothing else: the measure for the backend.
final class PlainRabbitMQ {
    private struct Failure: Error {
        var step: String
    }

    private let state: amqp_connection_state_t
    private let queue: String

    init(_ configuration: RabbitMQConfiguration, queue: String) throws {
        guard let state = amqp_new_connection(), let socket = amqp_tcp_socket_new(state) else {
            throw Failure(step: "memory")
        }
        self.state = state
        self.queue = queue
        guard amqp_socket_open(socket, configuration.host, Int32(configuration.port)) == AMQP_STATUS_OK.rawValue else {
            throw Failure(step: "connect")
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
        guard login.reply_type == AMQP_RESPONSE_NORMAL else { throw Failure(step: "login") }
        guard amqp_channel_open(state, 1) != nil, amqp_confirm_select(state, 1) != nil else {
            throw Failure(step: "channel")
        }
        try declare()
    }

    private func declare() throws {
        var entries = [
            ("x-queue-type", "quorum"), ("x-overflow", "reject-publish"), ("x-dead-letter-exchange", ""),
            ("x-dead-letter-strategy", "at-least-once"),
        ].map { name, value in
            var entry = amqp_table_entry_t()
            entry.key = amqp_cstring_bytes(strdup(name))
            entry.value.kind = UInt8(ascii: "S")
            entry.value.value.bytes = amqp_cstring_bytes(strdup(value))
            return entry
        }
        defer { for entry in entries { free(entry.key.bytes); free(entry.value.value.bytes.bytes) } }
        let declared = entries.withUnsafeMutableBufferPointer { buffer in
            withQueue { name in
                amqp_queue_declare(
                    state,
                    1,
                    name,
                    0,
                    1,
                    0,
                    0,
                    amqp_table_t(num_entries: Int32(buffer.count), entries: buffer.baseAddress)
                )
            }
        }
        guard declared != nil else { throw Failure(step: "declare") }
    }

    private func withQueue<Result>(_ body: (amqp_bytes_t) -> Result) -> Result {
        var name = queue
        return name.withUTF8 {
            body(amqp_bytes_t(len: $0.count, bytes: UnsafeMutableRawPointer(mutating: $0.baseAddress)))
        }
    }

    /// Publishes so many messages and waits for all confirmations.
    func publish(_ count: Int, _ body: [UInt8]) throws {
        try body.withUnsafeBytes { bytes in
            let content = amqp_bytes_t(len: bytes.count, bytes: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
            for _ in 0..<count {
                var properties = amqp_basic_properties_t()
                properties._flags = UInt32(AMQP_BASIC_DELIVERY_MODE_FLAG)
                properties.delivery_mode = 2
                let status = withQueue {
                    amqp_basic_publish(state, 1, amqp_bytes_t(), $0, 1, 0, &properties, content)
                }
                guard status == AMQP_STATUS_OK.rawValue else { throw Failure(step: "publish") }
            }
        }
        let target = sent + UInt64(count)
        while confirmed < target {
            let frame = try next()
            guard frame.frame_type == UInt8(AMQP_FRAME_METHOD),
                frame.payload.method.id == MQ_BASIC_ACK.rawValue
            else { continue }
            let acknowledged = frame.payload.method.decoded.load(as: amqp_basic_ack_t.self)
            if acknowledged.multiple != 0 {
                confirmed = max(confirmed, acknowledged.delivery_tag)
            } else {
                loose.insert(acknowledged.delivery_tag)
            }
            while loose.remove(confirmed + 1) != nil { confirmed += 1 }
            amqp_maybe_release_buffers(state)
        }
        sent = target
    }

    private var sent: UInt64 = 0
    private var confirmed: UInt64 = 0
    private var loose: Set<UInt64> = []

    func subscribe(prefetch: Int) throws {
        guard amqp_basic_qos(state, 1, 0, UInt16(prefetch), 0) != nil,
            withQueue({ amqp_basic_consume(state, 1, $0, amqp_bytes_t(), 0, 0, 0, amqp_table_t()) }) != nil
        else { throw Failure(step: "consume") }
    }

    /// Consumes so many messages, acknowledging each hundred at once.
    func consume(_ count: Int) throws {
        var taken = 0
        while taken < count {
            let frame = try next()
            guard frame.frame_type == UInt8(AMQP_FRAME_METHOD), frame.payload.method.id == MQ_BASIC_DELIVER.rawValue
            else {
                continue
            }
            let tag = frame.payload.method.decoded.load(as: amqp_basic_deliver_t.self).delivery_tag
            let header = try next()
            var missing = Int(header.payload.properties.body_size)
            var body: [UInt8] = []
            body.reserveCapacity(missing)
            while missing > 0 {
                let fragment = try next().payload.body_fragment
                body.append(contentsOf: UnsafeRawBufferPointer(start: fragment.bytes, count: fragment.len))
                missing -= fragment.len
            }
            taken += 1
            if taken % 100 == 0 || taken == count { amqp_basic_ack(state, 1, tag, 1) }
            amqp_maybe_release_buffers(state)
        }
    }

    private func next() throws -> amqp_frame_t {
        var frame = amqp_frame_t()
        guard amqp_simple_wait_frame(state, &frame) == AMQP_STATUS_OK.rawValue else { throw Failure(step: "frame") }
        return frame
    }

    func close() {
        _ = amqp_connection_close(state, 200)
        amqp_destroy_connection(state)
    }
}
#endif
