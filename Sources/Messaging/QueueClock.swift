#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// The time that a queue and a worker see, so that tests can decide it.
public struct QueueClock: Sendable {
    /// The time since some fixed point; never goes back.
    public let now: @Sendable () -> Duration
    /// The wall clock.
    public let date: @Sendable () -> Date
    private let sleeper: @Sendable (Duration) async throws -> Void

    /// Creates a clock.
    ///
    /// - Parameters:
    ///   - now: The time since some fixed point; never goes back.
    ///   - date: The wall clock.
    ///   - sleepUntil: Waits until `now` has reached a point; throws when the task is cancelled.
    public init(
        now: @escaping @Sendable () -> Duration,
        date: @escaping @Sendable () -> Date,
        sleepUntil: @escaping @Sendable (Duration) async throws -> Void
    ) {
        self.now = now
        self.date = date
        self.sleeper = sleepUntil
    }

    /// The machine's clocks.
    public static let system: QueueClock = {
        let start = ContinuousClock.now
        return QueueClock(
            now: { ContinuousClock.now - start },
            date: { Date() },
            sleepUntil: { try await Task.sleep(until: start + $0, clock: .continuous) }
        )
    }()

    /// Waits until `now` has reached a point.
    ///
    /// - Parameter deadline: The point.
    /// - Throws: `CancellationError` when the task is cancelled.
    public func sleep(until deadline: Duration) async throws { try await sleeper(deadline) }

    /// Waits for some time.
    ///
    /// - Parameter duration: How long.
    /// - Throws: `CancellationError` when the task is cancelled.
    public func sleep(for duration: Duration) async throws { try await sleeper(now() + duration) }
}
