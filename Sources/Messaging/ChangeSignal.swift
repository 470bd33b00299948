import Synchronization

/// Lets calls wait until something has changed, their time is over or they are cancelled; for backends.
///
/// Read ``mark`` before looking, and wait since that mark when nothing was found: what changes in between is not
/// missed. ``look(for:clock:_:)`` does so.
public final class ChangeSignal: Sendable {
    private struct State {
        var mark: UInt64 = 0
        var last: UInt64 = 0
        var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    /// Creates a signal.
    public init() {}

    /// How often something has changed.
    public var mark: UInt64 { state.withLock { $0.mark } }

    /// How many calls wait.
    var waiters: Int { state.withLock { $0.waiting.count } }

    /// Says that something has changed, and ends every wait.
    public func raise() {
        let woken = state.withLock { state in
            state.mark += 1
            defer { state.waiting = [:] }
            return state.waiting.values
        }
        for waiter in woken { waiter.resume() }
    }

    /// Waits until something has changed since a mark, a time has come or the task is cancelled, whichever is first.
    ///
    /// - Parameters:
    ///   - mark: The mark that was read before looking.
    ///   - deadline: The time, as the clock's `now`.
    ///   - clock: The clock.
    public func wait(since mark: UInt64, until deadline: Duration, clock: QueueClock = .system) async {
        guard clock.now() < deadline else { return }
        let number = state.withLock { state in
            state.last += 1
            return state.last
        }
        let timer = Task {
            do { try await clock.sleep(until: deadline) } catch { return }
            self.wake(number)
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    // Whoever cancels has set the flag before the handler below asks for the lock.
                    if state.mark != mark || Task.isCancelled || clock.now() >= deadline { return true }
                    state.waiting[number] = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            wake(number)
        }
        timer.cancel()
    }

    /// Looks for something until it is there or the time is over, and waits in between; looks at least once.
    ///
    /// - Parameters:
    ///   - time: How long.
    ///   - clock: The clock.
    ///   - body: Looks. Says what is there, and when, as the clock's `now`, there may be more without a change: later
    ///   than     the time at which it looked. Throws when the task is cancelled.
    /// - Returns: What was found; nothing when the time is over.
    /// - Throws: What `body` throws.
    public func look<Element: Sendable>(
        for time: Duration,
        clock: QueueClock = .system,
        _ body: () async throws(QueueError) -> (found: [Element], next: Duration?)
    ) async throws(QueueError) -> [Element] {
        let end = clock.now() + time
        while true {
            let mark = mark
            let (found, next) = try await body()
            if !found.isEmpty || clock.now() >= end { return found }
            await wait(since: mark, until: min(end, next ?? end), clock: clock)
        }
    }

    private func wake(_ number: UInt64) {
        state.withLock { $0.waiting.removeValue(forKey: number) }?.resume()
    }
}
