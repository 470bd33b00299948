import Messaging
import Synchronization

/// How fast messages may go over, and how many have.
final class Pace: Sendable {
    private struct State {
        var total = 0
        var next: Duration = .zero
    }

    /// How many messages may go over in a second.
    let perSecond: Int?
    private let clock: QueueClock
    private let state = Mutex(State())
    private let report: @Sendable (Int) -> Void

    init(perSecond: Int?, clock: QueueClock, report: @escaping @Sendable (Int) -> Void) {
        self.perSecond = perSecond
        self.clock = clock
        self.report = report
    }

    /// Whether there is a bound.
    var isLimited: Bool { perSecond != nil }

    /// Counts messages that have gone over, and waits until more may; time in which none went over gives no credit.
    func wait(after count: Int) async throws {
        guard count > 0 else { return }
        let now = clock.now()
        let (total, next) = state.withLock { state in
            state.total += count
            if let perSecond { state.next = max(state.next, now) + .seconds(1) * count / perSecond }
            return (state.total, state.next)
        }
        report(total)
        if next > now { try await clock.sleep(until: next) }
    }
}
