#if Redis
import NIOConcurrencyHelpers

/// Waits for work that cannot be cut short, but not for ever.
enum Deadline {
    /// Runs work in a task of its own and returns when it is done or the time is over; then it goes on alone.
    static func run(_ limit: Duration, _ work: @escaping @Sendable () async -> Void) async {
        let isOver = NIOLockedValueBox(false)
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let finish: @Sendable () -> Void = {
                let isFirst = isOver.withLockedValue { isOver in
                    defer { isOver = true }
                    return !isOver
                }
                if isFirst { continuation.resume() }
            }
            let timer = Task {
                try await Task.sleep(for: limit)
                finish()
            }
            Task {
                await work()
                timer.cancel()
                finish()
            }
        }
    }
}
#endif
