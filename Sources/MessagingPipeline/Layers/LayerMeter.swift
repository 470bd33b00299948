import Messaging
import Synchronization

/// Counts what one layer has handled in this process, and for how long it was at it.
final class LayerMeter: Sendable {
    struct Reading: Sendable, Hashable {
        var handled = 0
        var failed = 0
        /// From the first message to the last.
        var elapsed: Duration = .zero
        /// Of all handlers together.
        var busy: Duration = .zero
    }

    private struct State {
        var reading = Reading()
        var first: Duration?
    }

    private let clock: QueueClock
    private let state = Mutex(State())

    init(clock: QueueClock) { self.clock = clock }

    var reading: Reading { state.withLock(\.reading) }

    /// Wraps a handler so that it is counted.
    func measured(_ handler: @escaping Worker.Handler) -> Worker.Handler {
        { delivery in
            let start = self.clock.now()
            do {
                try await handler(delivery)
                self.note(start, failed: false)
            } catch {
                self.note(start, failed: true)
                throw error
            }
        }
    }

    private func note(_ start: Duration, failed: Bool) {
        let end = clock.now()
        state.withLock { state in
            let first = state.first ?? start
            state.first = min(first, start)
            state.reading.elapsed = end - min(first, start)
            state.reading.busy += end - start
            if failed { state.reading.failed += 1 } else { state.reading.handled += 1 }
        }
    }
}
