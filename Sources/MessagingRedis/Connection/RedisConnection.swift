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
        // Kept here: a failed handshake may end the channel, and take its handlers away, before connecting returns.
        let made = NIOLockedValueBox<NIOLoopBound<RedisChannelHandler>?>(nil)
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
                    let handler = RedisChannelHandler(parser: parser, endpoint: endpoint, onPush: push)
                    try channel.pipeline.syncOperations.addHandler(handler)
                    made.withLockedValue { $0 = NIOLoopBound(handler, eventLoop: channel.eventLoop) }
                }
            }
        let channel: any Channel
        switch configuration.endpoint {
        case .tcp(let host, let port): channel = try await bootstrap.connect(host: host, port: port).get()
        case .unix(let path): channel = try await bootstrap.connect(unixDomainSocketPath: path).get()
        }
        do {
            guard let handler = made.withLockedValue({ $0 }) else { throw ChannelError.ioOnClosedChannel }
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

    /// Authenticates, selects the database and names the connection, then loads the scripts.
    ///
    /// In two round trips: Redis closes the connection of somebody who is not let in and sends more than 16 KiB in a word, and
    /// the closing can overtake the answer that says why.
    private mutating func prepare(_ configuration: RedisConfiguration, _ purpose: Purpose) async throws(QueueError) {
        var first = RESPWriter(capacity: 256)
        if let password = configuration.password {
            first.command(configuration.username.map { ["AUTH", $0, password] } ?? ["AUTH", password])
        }
        if configuration.database != 0 { first.command(["SELECT", String(configuration.database)]) }
        first.command(["CLIENT", "SETNAME", "swift-message-queue"])
        let greetings = try await ask(first, configuration)
        for (index, reply) in greetings.enumerated() {
            // A user without the right to name its connection can do without.
            if index == greetings.count - 1, reply.error?.hasPrefix("NOPERM") == true { continue }
            if index == 0, configuration.password != nil, reply.error != nil {
                // Never quoted: some servers and proxies repeat the arguments.
                throw QueueError(
                    .authentication,
                    "\(endpoint) refused the user name or password; check the credentials in the URL"
                )
            }
            _ = try reply.checked(nil)
        }
        var second = RESPWriter(capacity: 4096)
        switch purpose {
        case .commands:
            for script in RedisScript.allCases {
                second.command(3)
                second.word("SCRIPT")
                second.word("LOAD")
                second.word(script.source(configuration.scriptChanges))
            }
        case .reads: second.command(["CLIENT", "ID"])
        case .subscription: return
        }
        let replies = try await ask(second, configuration)
        for reply in replies { _ = try reply.checked(nil) }
        switch purpose {
        case .commands: hashes = replies.map { $0.string ?? "" }
        case .reads: clientID = replies.last?.integer ?? 0
        case .subscription: break
        }
    }

    private func ask(
        _ commands: RESPWriter,
        _ configuration: RedisConfiguration
    ) async throws(QueueError) -> [RedisReply] {
        do {
            return try await send(commands, timeout: configuration.connectTimeout)
        } catch {
            // Nothing that is asked here changes anything, so an unknown outcome is plainly unavailable.
            throw QueueError(
                .unavailable,
                error.message.replacing(RedisChannelHandler.unknown, with: "") + " while the connection was set up",
                isRetryable: error.isRetryable,
                underlying: error.underlying
            )
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

    /// Writes batches of commands as each of them is made, and waits for all replies.
    ///
    /// The server works on one while the next is being written. They fail together.
    ///
    /// - Throws: `unavailable` when nothing was written, `indeterminate` when an answer did not come.
    func send(
        _ count: Int,
        timeout: Duration,
        _ make: (Int) -> RESPWriter
    ) async throws(QueueError) -> [RedisReply] {
        let deadline = NIODeadline.now() + .milliseconds(timeout.milliseconds)
        let result = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<[RedisReply], QueueError>, Never>) in
            let gathered = NIOLockedValueBox(BatchReplies())
            for index in 0..<count {
                let (handler, commands, isLast) = (handler, make(index), index == count - 1)
                channel.eventLoop.execute {
                    handler.value.submit(commands, deadline: deadline) { result in
                        let all = gathered.withLockedValue { $0.add(result, isFirst: index == 0) }
                        if isLast { continuation.resume(returning: all) }
                    }
                }
            }
        }
        return try result.get()
    }

    func close() { channel.close(promise: nil) }

    func closeAndWait() async { try? await channel.close().get() }
}

/// The replies to batches that were written one after the other and stand or fall together.
struct BatchReplies: Sendable {
    private var result: Result<[RedisReply], QueueError> = .success([])

    /// Adds what came of one batch; returns what came of all so far.
    mutating func add(
        _ next: Result<[RedisReply], QueueError>,
        isFirst: Bool
    ) -> Result<[RedisReply], QueueError> {
        guard case .success(let replies) = result else { return result }
        switch next {
        case .success(let more): result = .success(isFirst ? more : replies + more)
        case .failure(let error) where isFirst || error.code == .indeterminate: result = next
        case .failure(let error):
            // This one was not written, but the ones before were.
            result = .failure(
                QueueError(
                    .indeterminate,
                    error.message + RedisChannelHandler.unknown,
                    isRetryable: error.isRetryable,
                    underlying: error.underlying
                )
            )
        }
        return result
    }
}
#endif
