import Messaging
import Synchronization

/// Counts what handlers have done, and notes the time at the end of each part.
final class HandledCounter: Sendable {
    private struct State {
        var count = 0
        var marks: [ContinuousClock.Instant] = []
    }

    private let part: Int
    private let total: Int
    private let state = Mutex(State())
    private let done = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))

    /// Creates a counter of so many parts.
    init(part: Int, parts: Int) {
        self.part = part
        total = part * parts
    }

    var count: Int { state.withLock { $0.count } }

    /// Counts one message.
    func countOne() {
        let isDone = state.withLock { state in
            state.count += 1
            if state.count % part == 0, state.count <= total { state.marks.append(.now) }
            return state.count == total
        }
        if isDone { done.continuation.finish() }
    }

    /// The rate of each part after the first, which warms up.
    var rates: [Double] {
        let marks = state.withLock { $0.marks }
        return zip(marks, marks.dropFirst()).map { Taken(count: part, time: $1 - $0).rate }
    }

    /// Waits until everything is handled.
    ///
    /// - Parameter patience: How long nothing may move.
    /// - Throws: `QueueError` when nothing has moved for so long, `CancellationError`.
    func wait(_ patience: Duration) async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { [done] in
                for await _ in done.stream {}
                try Task.checkCancellation()
            }
            tasks.addTask {
                var last = -1
                while true {
                    let count = self.count
                    guard count != last else {
                        throw QueueError(
                            .brokerError,
                            "\(count) of \(self.total) messages were handled, then none within \(patience)"
                        )
                    }
                    last = count
                    try await Task.sleep(for: patience)
                }
            }
            defer { tasks.cancelAll() }
            try await tasks.next()
        }
    }
}
