import Messaging
import Synchronization

/// Wakes those who wait for news.
///
/// It counts what was sent, so that nobody misses what came between looking and waiting.
final class StatementSignal: Sendable {
    private struct State {
        var count: UInt64 = 0
        var lastWaiter: UInt64 = 0
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    /// How often it was sent.
    var count: UInt64 { state.withLock(\.count) }

    /// Wakes all who wait.
    func send() {
        let waiters = state.withLock { state in
            state.count += 1
            defer { state.waiters = [:] }
            return state.waiters
        }
        for waiter in waiters.values { waiter.resume() }
    }

    /// Waits until it was sent more often, the time has come, or the task is cancelled.
    ///
    /// - Parameters:
    ///   - count: The ``count`` that was seen before looking.
    ///   - deadline: The longest wait; a point in the time of the clock.
    ///   - clock: The time.
    func wait(past count: UInt64, until deadline: Duration, clock: QueueClock) async {
        await withTaskGroup { group in
            group.addTask { await self.wait(past: count) }
            group.addTask { try? await clock.sleep(until: deadline) }
            await group.next()
            group.cancelAll()
        }
    }

    private func wait(past count: UInt64) async {
        let number = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let waits = state.withLock { state in
                    if state.count > count || Task.isCancelled { return false }
                    state.waiters[number] = continuation
                    return true
                }
                if !waits { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: number) }?.resume()
        }
    }
}
