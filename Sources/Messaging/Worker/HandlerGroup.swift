import Synchronization

/// The handler tasks of a worker that are running: they can be cancelled together and waited for with a deadline, which
/// a task group cannot do when a handler ignores its cancellation.
final class HandlerGroup: Sendable {
    private struct State {
        var tasks: [UInt64: Task<Void, Never>] = [:]
        var next: UInt64 = 0
        var finishedEarly: Set<UInt64> = []
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    /// Runs an operation in a task of its own.
    func start(_ operation: @escaping @Sendable () async -> Void) {
        let id = state.withLock { state in
            state.next += 1
            return state.next
        }
        let task = Task {
            await operation()
            self.finished(id)
        }
        state.withLock { state in
            // A short operation may be over before its task is noted.
            if state.finishedEarly.remove(id) == nil { state.tasks[id] = task }
        }
    }

    func cancel() {
        for task in state.withLock({ Array($0.tasks.values) }) { task.cancel() }
    }

    /// Waits until no task runs, or the time is over: a handler that ignores cancellation cannot hold up the end.
    func wait(grace: Duration, clock: QueueClock) async {
        let timer = Task {
            try await clock.sleep(for: grace)
            self.resumeWaiter()
        }
        await withCheckedContinuation { continuation in
            let isDone = state.withLock { state in
                if state.tasks.isEmpty { return true }
                state.waiter = continuation
                return false
            }
            if isDone { continuation.resume() }
        }
        timer.cancel()
    }

    private func finished(_ id: UInt64) {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if state.tasks.removeValue(forKey: id) == nil { state.finishedEarly.insert(id) }
            guard state.tasks.isEmpty else { return nil }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    private func resumeWaiter() {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }
}
