#if Redis
import Logging
import Messaging
import NIOConcurrencyHelpers
import NIOCore

/// Hears of new due times on one connection, so that nobody has to poll for them.
///
/// What is missed while it is down is made up for by a tick of every keeper when it is up again.
final class RedisSubscriber: Sendable {
    /// Called with the due time that was announced, in the server's milliseconds; `nil` after a reconnect.
    typealias Listener = @Sendable (Int64?) -> Void

    private struct State {
        var listeners: [String: [ObjectIdentifier: Listener]] = [:]
        var task: Task<Void, Never>?
        var isClosed = false
    }

    private let link: RedisLink
    private let logger: Logger
    private let state: NIOLockedValueBox<State>

    init(_ configuration: RedisConfiguration, logger: Logger) {
        let state = NIOLockedValueBox(State())
        self.state = state
        self.logger = logger
        self.link = RedisLink(
            configuration,
            .subscription { reply in
                // ["message", channel, due]
                let words = reply.strings
                guard words.count == 3, words[0] == "message" else { return }
                let listeners = state.withLockedValue { Array(($0.listeners[words[1]] ?? [:]).values) }
                for listener in listeners { listener(Int64(words[2])) }
            },
            logger: logger
        )
    }

    /// Begins to listen; returns when the server has confirmed it, or could not be asked.
    func subscribe(_ channel: String, _ owner: AnyObject, _ listener: @escaping Listener) async {
        let id = ObjectIdentifier(owner)
        let isNew = state.withLockedValue { state in
            if state.isClosed { return false }
            let isNew = state.listeners[channel] == nil
            state.listeners[channel, default: [:]][id] = listener
            return isNew
        }
        guard isNew else { return }
        _ = try? await link.command(["SUBSCRIBE", channel])
        state.withLockedValue { state in
            if state.task == nil, !state.isClosed { state.task = Task { await self.keepUp() } }
        }
    }

    /// Connects again when the connection ends, and subscribes to everything anew.
    private func keepUp() async {
        var failures = 0
        while !Task.isCancelled {
            if let connection = link.current {
                try? await connection.closed.get()
                if Task.isCancelled { return }
            }
            let channels = state.withLockedValue { Array($0.listeners.keys) }
            do {
                if !channels.isEmpty {
                    var writer = RESPWriter()
                    for channel in channels { writer.command(["SUBSCRIBE", channel]) }
                    for reply in try await link.send(writer) { _ = try reply.checked(nil) }
                    let listeners = state.withLockedValue { $0.listeners.values.flatMap(\.values) }
                    for listener in listeners { listener(nil) }
                } else {
                    _ = try await link.connection()
                }
                failures = 0
            } catch {
                failures += 1
                if failures == 1 {
                    logger.debug("due times cannot be heard", metadata: [LogKeys.error: "\(error)"])
                }
                try? await Task.sleep(for: Backoff.delay(failures))
            }
        }
    }

    func close() async {
        let task = state.withLockedValue { state in
            state.isClosed = true
            defer { state.task = nil }
            return state.task
        }
        task?.cancel()
        await link.closeAndWait()
    }
}

/// The pause before the next attempt to connect: 50 ms doubled each time, up to 2 s, with half of it random.
enum Backoff {
    private static let policy = RetryPolicy(
        maxAttempts: 1,
        backoff: .exponential(base: .milliseconds(50), cap: .seconds(2), jitter: 0.5)
    )

    static func delay(_ failures: Int) -> Duration {
        policy.delay(beforeRetry: failures, random: .random(in: 0...1))
    }
}
#endif
