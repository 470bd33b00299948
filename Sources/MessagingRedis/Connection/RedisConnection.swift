#if Redis
import Messaging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import NIOSSL

/// One connection: authenticated, on its database, with the scripts loaded where it needs them.
struct RedisConnection: Sendable {
    /// What a connection is for.
    enum Purpose: Sendable {
        /// Commands and scripts.
        case commands
        /// Reads that block; their connection carries nothing else.
        case reads
        /// Subscriptions; what arrives goes to the closure.
        case subscription(@Sendable (RedisReply) -> Void)
    }

    private let channel: any Channel
    private let handler: NIOLoopBound<RedisChannelHandler>
    let endpoint: String
    /// The SHA-1 of each script, as Redis named it.
    private(set) var hashes: [String] = []
    /// The connection's number on the server, to unblock its reads.
    private(set) var clientID: Int64 = 0

    /// Ends when the connection does.
    var closed: EventLoopFuture<Void> { channel.closeFuture }
    var isActive: Bool { channel.isActive }

    // MARK: - Opening

    /// Connects and prepares within the connect deadline.
    static func open(
        _ configuration: RedisConfiguration,
        _ purpose: Purpose
    ) async throws(QueueError) -> RedisConnection {
        let endpoint = configuration.endpoint.description
        do {
            return try await opened(configuration, purpose)
        } catch let error as QueueError {
            throw error
        } catch let error as NIOSSLError {
            throw RedisErrors.broken(error, endpoint: endpoint)
        } catch {
            throw QueueError(
                .unavailable,
                "cannot reach Redis at \(endpoint) (\(reason(error))); is it running, and the URL right?",
                underlying: error
            )
        }
    }

    private static func opened(
        _ configuration: RedisConfiguration,
        _ purpose: Purpose
    ) async throws -> RedisConnection {
        let endpoint = configuration.endpoint.description
        let tls = try configuration.tls.map { try $0.context() }
        let serverName = configuration.tlsServerName
        let push: (@Sendable (RedisReply) -> Void)? =
            if case .subscription(let push) = purpose { push } else { nil }
        let bootstrap = ClientBootstrap(group: configuration.eventLoopGroup)
            .connectTimeout(.milliseconds(configuration.connectTimeout.milliseconds))
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(.tcpOption(.tcp_nodelay), value: configuration.endpoint.isUnix ? 0 : 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let parser = ReplyParser() else {
                        throw QueueError(.unavailable, "there is no memory for a connection to \(endpoint)")
                    }
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: tls, serverHostname: serverName)
                        )
                    }
                    try channel.pipeline.syncOperations.addHandler(
                        RedisChannelHandler(parser: parser, endpoint: endpoint, onPush: push)
                    )
                }
            }
        let channel: any Channel
        switch configuration.endpoint {
        case .tcp(let host, let port): channel = try await bootstrap.connect(host: host, port: port).get()
        case .unix(let path): channel = try await bootstrap.connect(unixDomainSocketPath: path).get()
        }
        do {
            let handler = try await channel.eventLoop.submit {
                NIOLoopBound(
                    try channel.pipeline.syncOperations.handler(type: RedisChannelHandler.self),
                    eventLoop: channel.eventLoop
                )
            }.get()
            var connection = RedisConnection(channel: channel, handler: handler, endpoint: endpoint)
            try await connection.prepare(configuration, purpose)
            return connection
        } catch {
            channel.close(promise: nil)
            throw error
        }
    }

    private init(channel: any Channel, handler: NIOLoopBound<RedisChannelHandler>, endpoint: String) {
        self.channel = channel
        self.handler = handler
        self.endpoint = endpoint
    }

    /// Authenticates, selects the database, names the connection and loads the scripts, in one round trip.
    private mutating func prepare(_ configuration: RedisConfiguration, _ purpose: Purpose) async throws(QueueError) {
        var writer = RESPWriter(capacity: 4096)
        if let password = configuration.password {
            writer.command(configuration.username.map { ["AUTH", $0, password] } ?? ["AUTH", password])
        }
        if configuration.database != 0 { writer.command(["SELECT", String(configuration.database)]) }
        writer.command(["CLIENT", "SETNAME", "swift-message-queue"])
        let setup = writer.commands
        switch purpose {
        case .commands:
            for script in RedisScript.allCases {
                writer.command(3)
                writer.word("SCRIPT")
                writer.word("LOAD")
                writer.word(script.source(configuration.scriptChanges))
            }
        case .reads: writer.command(["CLIENT", "ID"])
        case .subscription: break
        }
        let replies: [RedisReply]
        do {
            replies = try await send(writer, timeout: configuration.connectTimeout)
        } catch {
            // Nothing that was asked here changes anything, so an unknown outcome is plainly unavailable.
            throw QueueError(
                .unavailable,
                error.message.replacing(RedisChannelHandler.unknown, with: "") + " while the connection was set up",
                isRetryable: error.isRetryable,
                underlying: error.underlying
            )
        }
        for (index, reply) in replies.enumerated() {
            // A user without the right to name its connection can do without.
            if index == setup - 1, reply.error?.hasPrefix("NOPERM") == true { continue }
            if index == 0, configuration.password != nil, reply.error != nil {
                // Never quoted: some servers and proxies repeat the arguments.
                throw QueueError(
                    .authentication,
                    "\(endpoint) refused the user name or password; check the credentials in the URL"
                )
            }
            _ = try reply.checked(nil)
        }
        switch purpose {
        case .commands: hashes = replies.dropFirst(setup).map { $0.string ?? "" }
        case .reads: clientID = replies.last?.integer ?? 0
        case .subscription: break
        }
    }

    /// What a failure of a connection means, in a few words.
    static func reason(_ error: any Error) -> String {
        if let error = error as? NIOConnectionError {
            if let first = error.connectionErrors.first { return reason(first.error) }
            if let dns = error.dnsAError ?? error.dnsAAAAError {
                return "the host name cannot be resolved: \(dns)"
            }
        }
        if let error = error as? IOError { return String(cString: strerror(error.errnoCode)).lowercased() }
        if case .connectTimeout? = error as? ChannelError { return "no answer within the connect deadline" }
        return String(describing: error)
    }

    // MARK: - Use

    /// Writes commands and waits for all their replies.
    ///
    /// - Throws: `unavailable` when nothing was written, `indeterminate` when the answer did not come.
    func send(_ commands: RESPWriter, timeout: Duration) async throws(QueueError) -> [RedisReply] {
        let deadline = NIODeadline.now() + .milliseconds(timeout.milliseconds)
        let result = await withCheckedContinuation { (continuation: CheckedContinuation<_, Never>) in
            let handler = handler
            channel.eventLoop.execute {
                handler.value.submit(commands, deadline: deadline) { continuation.resume(returning: $0) }
            }
        }
        return try result.get()
    }

    func close() { channel.close(promise: nil) }

    func closeAndWait() async { try? await channel.close().get() }
}
#endif
