#if Redis
import Logging
import Messaging
import NIOConcurrencyHelpers
import NIOCore

/// A connection that is opened when it is needed and again after it broke.
///
/// Concurrent callers share one attempt.
final class RedisLink: Sendable {
    private enum State {
        case idle
        case connecting(Task<RedisConnection, any Error>)
        case connected(RedisConnection)
        case closed
    }

    let configuration: RedisConfiguration
    private let purpose: RedisConnection.Purpose
    private let logger: Logger
    private let state = NIOLockedValueBox(State.idle)

    init(_ configuration: RedisConfiguration, _ purpose: RedisConnection.Purpose, logger: Logger) {
        self.configuration = configuration
        self.purpose = purpose
        self.logger = logger
    }

    /// The connection that is open, if one is.
    var current: RedisConnection? {
        state.withLockedValue { state in
            if case .connected(let connection) = state, connection.isActive { connection } else { nil }
        }
    }

    /// Returns the open connection, or opens one within the connect deadline.
    func connection() async throws(QueueError) -> RedisConnection {
        enum Step {
            case ready(RedisConnection)
            case wait(Task<RedisConnection, any Error>)
            case closed
        }
        let step: Step = state.withLockedValue { state in
            switch state {
            case .connected(let connection) where connection.isActive: return .ready(connection)
            case .connecting(let task): return .wait(task)
            case .closed: return .closed
            case .idle, .connected:
                let (configuration, purpose) = (configuration, purpose)
                let task = Task { [self] in
                    let result = await Self.open(configuration, purpose)
                    settle(result)
                    return try result.get()
                }
                state = .connecting(task)
                return .wait(task)
            }
        }
        switch step {
        case .ready(let connection): return connection
        case .closed: throw Self.closedError
        case .wait(let task):
            do {
                return try await task.value
            } catch let error as QueueError {
                throw error
            } catch {
                throw QueueError(.unavailable, "cannot reach Redis", underlying: error)
            }
        }
    }

    private static func open(
        _ configuration: RedisConfiguration,
        _ purpose: RedisConnection.Purpose
    ) async -> Result<RedisConnection, QueueError> {
        do throws(QueueError) {
            return .success(try await RedisConnection.open(configuration, purpose))
        } catch {
            return .failure(error)
        }
    }

    private func settle(_ result: Result<RedisConnection, QueueError>) {
        let unwanted: RedisConnection? = state.withLockedValue { state in
            if case .closed = state { return try? result.get() }
            switch result {
            case .success(let connection): state = .connected(connection)
            case .failure: state = .idle
            }
            return nil
        }
        unwanted?.close()
        if case .success(let connection) = result {
            logger.debug("connected to Redis", metadata: [LogKeys.endpoint: "\(connection.endpoint)"])
        }
    }

    /// Sends commands, connecting first if need be.
    func send(_ commands: RESPWriter, timeout: Duration? = nil) async throws(QueueError) -> [RedisReply] {
        let connection = try await connection()
        let replies = try await send(commands, on: connection, timeout: timeout)
        Self.leaveReplica(connection, replies)
        return replies
    }

    /// Sends commands; what fails because this link was closed says so.
    private func send(
        _ commands: RESPWriter,
        on connection: RedisConnection,
        timeout: Duration? = nil
    ) async throws(QueueError) -> [RedisReply] {
        try await send(1, on: connection, timeout: timeout) { _ in commands }
    }

    private func send(
        _ count: Int,
        on connection: RedisConnection,
        timeout: Duration? = nil,
        _ make: (Int) -> RESPWriter
    ) async throws(QueueError) -> [RedisReply] {
        do throws(QueueError) {
            return try await connection.send(count, timeout: timeout ?? configuration.commandTimeout, make)
        } catch {
            let isClosed = state.withLockedValue { if case .closed = $0 { true } else { false } }
            throw isClosed && error.code == .unavailable ? Self.closedError : error
        }
    }

    /// Closes a connection to a primary that has become a replica, so that the next use finds the new primary.
    static func leaveReplica(_ connection: RedisConnection, _ replies: [RedisReply]) {
        for reply in replies where reply.parts.first?.kind == .error {
            guard let error = reply.error, error.contains("READONLY") || isFromReplica(error) else { continue }
            return connection.close()
        }
    }

    /// Whether an error says that the server is no primary, or not any more.
    static func isFromReplica(_ error: String) -> Bool { error.hasPrefix("READONLY") || error.hasPrefix("MASTERDOWN") }

    /// Sends one command.
    func command(_ words: [String], queue: String? = nil) async throws(QueueError) -> RedisReply {
        var writer = RESPWriter()
        writer.command(words)
        return try Self.first(try await send(writer)).checked(queue)
    }

    /// Runs one script.
    func run(_ call: ScriptCall, queue: String?) async throws(QueueError) -> RedisReply {
        try Self.first(try await run([call])).checked(queue)
    }

    /// Runs scripts in one round trip, in order.
    ///
    /// Those that the server has forgotten are sent again with their text: a script that is unknown has done nothing. With
    /// `overlaps` each call leaves as soon as it is written, which is worth it for large ones.
    func run(_ calls: [ScriptCall], overlaps: Bool = false) async throws(QueueError) -> [RedisReply] {
        let connection = try await connection()
        let hashes = connection.hashes
        var replies = try await send(overlaps ? calls.count : 1, on: connection) { index in
            ScriptCall.encode(overlaps ? [calls[index]] : calls, hashes: hashes)
        }
        let forgotten = replies.indices.filter { replies[$0].error?.hasPrefix("NOSCRIPT") == true }
        if !forgotten.isEmpty {
            let again = try await send(
                ScriptCall.encode(forgotten.map { calls[$0] }, changes: configuration.scriptChanges),
                on: connection
            )
            for (index, reply) in zip(forgotten, again) { replies[index] = reply }
        }
        Self.leaveReplica(connection, replies)
        return replies
    }

    func close() {
        let connection: RedisConnection? = state.withLockedValue { state in
            defer { state = .closed }
            if case .connected(let connection) = state { return connection }
            return nil
        }
        connection?.close()
    }

    func closeAndWait() async {
        let connection = current
        close()
        await connection?.closeAndWait()
    }

    static let closedError = QueueError(.closed, "the queue was closed; open a new one", isRetryable: false)

    private static func first(_ replies: [RedisReply]) throws(QueueError) -> RedisReply {
        guard let reply = replies.first else { throw QueueError(.undecodable, "Redis sent no reply") }
        return reply
    }
}

/// One call of a script: how many words its keys and arguments are, and what writes them.
struct ScriptCall {
    let script: RedisScript
    let keys: [String]
    let arguments: Int
    /// About how long it is, so that its buffer need not grow.
    let bytes: Int
    let write: (inout RESPWriter) -> Void

    init(
        _ script: RedisScript,
        keys: [String],
        arguments: Int,
        bytes: Int = 1024,
        _ write: @escaping (inout RESPWriter) -> Void
    ) {
        self.script = script
        self.keys = keys
        self.arguments = arguments
        self.bytes = bytes
        self.write = write
    }

    init(_ script: RedisScript, keys: [String], _ words: [String] = []) {
        self.init(script, keys: keys, arguments: words.count) { writer in
            for word in words { writer.word(word) }
        }
    }

    /// A call whose last arguments are ids of entries.
    init(_ script: RedisScript, keys: [String], _ words: [String], ids: [EntryID]) {
        self.init(script, keys: keys, arguments: words.count + ids.count) { writer in
            for word in words { writer.word(word) }
            for id in ids { writer.word(id) }
        }
    }

    /// Writes calls by hash, or with the scripts' text when there are no hashes.
    static func encode(
        _ calls: [ScriptCall],
        hashes: [String]? = nil,
        changes: [RedisScriptChange] = []
    ) -> RESPWriter {
        var writer = RESPWriter(capacity: calls.reduce(0) { $0 + $1.bytes })
        for call in calls {
            writer.command(3 + call.keys.count + call.arguments)
            if let hashes {
                writer.word("EVALSHA")
                writer.word(hashes[call.script.rawValue])
            } else {
                writer.word("EVAL")
                writer.word(call.script.source(changes))
            }
            writer.word(call.keys.count)
            for key in call.keys { writer.word(key) }
            call.write(&writer)
        }
        return writer
    }
}
#endif
