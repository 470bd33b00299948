import Messaging
import Synchronization

/// Wakes one waiter; a signal that nobody waits for is kept.
final class ProgressSignal: Sendable {
    private struct State {
        var isSet = false
        var isInterrupted = false
        var waiter: Task<Void, Never>?
    }

    private let state = Mutex(State())

    /// Whether the work was cut short.
    var isInterrupted: Bool { state.withLock(\.isInterrupted) }

    func interrupt() { state.withLock { $0.isInterrupted = true } }

    func send() {
        let waiter = state.withLock { state in
            state.isSet = true
            return state.waiter
        }
        waiter?.cancel()
    }

    /// Waits for a signal, for at most some time, or until the task is cancelled.
    func wait(atMost limit: Duration, clock: QueueClock) async {
        let timer = Task { _ = try? await clock.sleep(for: limit) }
        let isSet = state.withLock { state in
            state.waiter = timer
            return state.isSet
        }
        if isSet { timer.cancel() }
        await withTaskCancellationHandler {
            await timer.value
        } onCancel: {
            timer.cancel()
        }
        state.withLock { state in
            state.isSet = false
            state.waiter = nil
        }
    }
}
