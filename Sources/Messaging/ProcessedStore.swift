import Synchronization

/// Remembers which messages a handler has finished, so that a redelivery can be skipped.
///
/// It narrows the window of at-least-once delivery to the instant between the handler's end and the note; a handler
/// whose effects must never double still has to be idempotent.
public protocol ProcessedStore: Sendable {
    /// Tells whether a message was noted and is still remembered.
    ///
    /// - Parameters:
    ///   - id: The message.
    ///   - scope: Whose note: a queue and group, or a handler's name.
    /// - Returns: Whether it is remembered.
    /// - Throws: `QueueError` when the store cannot be reached.
    func contains(_ id: MessageID, scope: String) async throws(QueueError) -> Bool

    /// Notes a message as processed.
    ///
    /// - Parameters:
    ///   - id: The message.
    ///   - scope: Whose note.
    ///   - remember: How long to remember it; longer than the longest time after which it may be redelivered.
    /// - Returns: Whether it was new; `false` when it was noted before.
    /// - Throws: `QueueError` when the store cannot be reached.
    @discardableResult
    func insert(_ id: MessageID, scope: String, remember: Duration) async throws(QueueError) -> Bool
}

/// A store in this process, for tests and single-process services that may forget at a restart.
public final class MemoryProcessedStore: ProcessedStore {
    private struct Key: Hashable {
        let id: MessageID
        let scope: String
    }

    private struct State {
        var expiry: [Key: Duration] = [:]
        var sweepAt = 1024
    }

    private let state = Mutex(State())
    private let clock: QueueClock

    /// Creates an empty store.
    ///
    /// - Parameter clock: The time by which notes expire.
    public init(clock: QueueClock = .system) { self.clock = clock }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func contains(_ id: MessageID, scope: String) async throws(QueueError) -> Bool {
        let now = clock.now()
        return state.withLock { $0.expiry[Key(id: id, scope: scope)].map { $0 > now } ?? false }
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func insert(_ id: MessageID, scope: String, remember: Duration) async throws(QueueError) -> Bool {
        let now = clock.now()
        return state.withLock { state in
            let key = Key(id: id, scope: scope)
            let isNew = state.expiry[key].map { $0 <= now } ?? true
            if isNew { state.expiry[key] = now + remember }
            if state.expiry.count >= state.sweepAt {
                // Each sweep waits until the store has doubled, so that its cost per insert stays constant.
                state.expiry = state.expiry.filter { $0.value > now }
                state.sweepAt = max(1024, state.expiry.count * 2)
            }
            return isNew
        }
    }
}

extension ProcessedStore {
    /// Wraps a handler so that messages it has finished are not handled again.
    ///
    /// - Parameters:
    ///   - scope: A name for the handler; other handlers of the same message use others.
    ///   - remember: How long to remember a message; a day by default.
    ///   - handler: The handler.
    /// - Returns: A handler for a ``Worker``.
    public func skippingProcessed(
        scope: String,
        remember: Duration = .seconds(86400),
        _ handler: @escaping Worker.Handler
    ) -> Worker.Handler {
        { delivery in
            if try await contains(delivery.message.id, scope: scope) { return }
            try await handler(delivery)
            try await insert(delivery.message.id, scope: scope, remember: remember)
        }
    }
}
