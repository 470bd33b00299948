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

/// One connection, with one channel for most: with its extensions the only place that calls librabbitmq.
///
/// Belongs to one thread. Every call may throw; the connection is then of no more use and must be closed. Nothing of
/// librabbitmq's memory leaves this folder.
final class AMQPConnection {
    /// The channel of who needs only one.
    static let channel: amqp_channel_t = 1

    let state: amqp_connection_state_t
    let watchdog: Watchdog
    let endpoint: String
    let isEncrypted: Bool
    /// How long the broker may take to read what is written.
    let writeLimit: Duration
    var arena = Arena()
    /// What was published and has not been written to the socket.
    var outgoing: PublishBuffer
    /// Whether messages say what they were published with; a consumer does not need it.
    let readsRoutingKeys: Bool
    /// The channel that the last event was about.
    var current: amqp_channel_t = channel
    /// A message on that channel whose parts have not all come.
    var partial: Partial?
    /// The same of other channels.
    var parked: [amqp_channel_t: Partial] = [:]
    /// The channels that this side has said to close: what still comes for the old one is dropped.
    var closing: Set<amqp_channel_t> = []

    /// The socket, to wait on.
    let socket: Int32
    /// The largest frame that both sides agreed to.
    let frameMax: Int
    /// The version of the broker, as it says.
    let serverVersion: String
    /// The product, such as `RabbitMQ`.
    let serverProduct: String

    enum Purpose {
        case delivery(tag: UInt64, isAnswer: Bool)
        case returned(code: Int, text: String)
    }

    struct Partial {
        var purpose: Purpose
        var properties = AMQPProperties()
        var body: [UInt8] = []
        var routingKey = ""
        /// How much of the body is missing; `nil` before the header has come.
        var missing: UInt64?
    }

    /// Connects, encrypts, logs in and opens the channel's connection; blocks for at most the connect timeout per step.
    init(
        _ configuration: RabbitMQConfiguration,
        purpose: String,
        readsRoutingKeys: Bool = false
    ) throws(QueueError) {
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
        self.readsRoutingKeys = readsRoutingKeys
        endpoint = configuration.endpoint
        isEncrypted = configuration.tls != nil
        writeLimit = configuration.commandTimeout
        (socket, watchdog) = opened
        frameMax = Int(amqp_get_frame_max(state))
        outgoing = PublishBuffer(frameMax: frameMax, channel: Self.channel)
        let server = amqp_get_server_properties(state).map { AMQPMemory.table($0.pointee) } ?? []
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
            throw AMQPErrors.closed(Int(close.reply_code), AMQPMemory.text(close.reply_text), configuration.endpoint)
        default: throw AMQPErrors.login(fault(reply.library_error), configuration.endpoint)
        }
    }

    private static func interval(_ duration: Duration) -> timeval {
        let (seconds, attoseconds) = duration.components
        return timeval(tv_sec: Int(seconds), tv_usec: .init(attoseconds / 1_000_000_000_000))
    }

    static func fault(_ status: Int32) -> AMQPErrors.Fault {
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

    func check(_ status: Int32) throws(QueueError) {
        guard status != AMQP_STATUS_OK.rawValue else { return }
        throw AMQPErrors.broken(Self.fault(status), isCutOff: watchdog.hasFired, endpoint)
    }
}
#endif
