import Messaging
import Synchronization

/// What the clients of one case did and were told, in order.
///
/// Calls are noted when they begin, so that one that never returns is there as well: what it did is unknown.
package final class History: Sendable {
    private struct State {
        var order = 0
        var numbers = 0
        var events: [HistoryEvent] = []
        /// The calls that have not ended, by their numbers.
        var calls: [Int: (text: String, since: ContinuousClock.Instant)] = [:]
    }

    private let state = Mutex(State())
    private let now: @Sendable () -> Duration

    /// Creates an empty history.
    ///
    /// - Parameter now: The time by which leases are judged.
    package init(now: @escaping @Sendable () -> Duration) { self.now = now }

    /// What happened so far, in the order in which the calls were noted.
    package var events: [HistoryEvent] { state.withLock { $0.events } }

    /// The calls that have not ended, the oldest first, each with how long it has been waiting.
    var openCalls: [String] {
        let now = ContinuousClock.now
        return state.withLock { $0.calls }.sorted { $0.key < $1.key }
            .map { "\($0.value.text) (for \((now - $0.value.since).components.seconds) s)" }
    }

    /// Notes that a call has begun.
    ///
    /// - Returns: Its number.
    func enter(_ text: String) -> Int {
        state.withLock { state in
            state.numbers += 1
            state.calls[state.numbers] = (text, .now)
            return state.numbers
        }
    }

    /// Notes that a call has ended.
    func leave(_ number: Int) { state.withLock { _ = $0.calls.removeValue(forKey: number) } }

    /// Makes a call, so that it can be seen while it lasts.
    func during<Value>(
        _ text: String,
        _ call: () async throws(QueueError) -> Value
    ) async throws(QueueError) -> Value {
        let number = enter(text)
        defer { leave(number) }
        return try await call()
    }

    /// Returns a number for a client or a consumer.
    func number() -> Int {
        state.withLock { state in
            state.numbers += 1
            return state.numbers
        }
    }

    /// Returns the point at which a call begins, or at which it has ended.
    func point() -> HistoryPoint {
        state.withLock { state in
            state.order += 1
            return HistoryPoint(state.order, now())
        }
    }

    /// Notes calls that begin, with what is known of them if they never return.
    ///
    /// - Returns: Where they are noted.
    func begin(_ kinds: [HistoryEvent.Kind]) -> Range<Int> {
        state.withLock { state in
            state.order += 1
            let point = HistoryPoint(state.order, now())
            let start = state.events.count
            for kind in kinds { state.events.append(HistoryEvent(point, HistoryEvent.never, kind)) }
            return start..<state.events.count
        }
    }

    /// Notes what became of calls that were noted when they began.
    func end(_ places: Range<Int>, _ kinds: [HistoryEvent.Kind]) {
        state.withLock { state in
            state.order += 1
            let point = HistoryPoint(state.order, now())
            for (place, kind) in zip(places, kinds) {
                state.events[place].end = point
                state.events[place].kind = kind
            }
        }
    }

    /// Notes calls that have ended, or what was seen by them.
    func record(since begin: HistoryPoint, _ kinds: [HistoryEvent.Kind]) {
        state.withLock { state in
            state.order += 1
            let point = HistoryPoint(state.order, now())
            for kind in kinds { state.events.append(HistoryEvent(begin, point, kind)) }
        }
    }

    /// Notes that something outside of the recorded clients publishes to a queue or consumes it.
    ///
    /// A raw client or a child program, for instance. What only a complete history can tell is then not concluded for that
    /// queue.
    package func noteForeign(_ queue: String) {
        let point = point()
        record(since: point, [.foreign(queue: queue)])
    }

    /// Notes that a fault is let loose, of which a connection may break without anybody seeing it.
    func noteDisturbance(_ fault: String) {
        let point = point()
        record(since: point, [.disturbed(fault)])
    }
}

extension History {
    /// The messages that were confirmed.
    var accepted: Set<MessageID> {
        Set(events.compactMap { if case .published(let message, _, .accepted) = $0.kind { message.id } else { nil } })
    }

    /// The messages that came to anybody.
    var delivered: Set<MessageID> {
        Set(events.compactMap { if case .delivered(let delivered, _) = $0.kind { delivered.id } else { nil } })
    }

    /// The messages whose end was confirmed to who held them.
    var handled: Set<MessageID> {
        var ids: [Receipt: MessageID] = [:]
        var found: Set<MessageID> = []
        for event in events {
            if case .delivered(let delivered, _) = event.kind { ids[delivered.receipt] = delivered.id }
            if case .settled(let receipt, .acknowledge, _, .settled) = event.kind, let id = ids[receipt] {
                found.insert(id)
            }
        }
        return found
    }
}
