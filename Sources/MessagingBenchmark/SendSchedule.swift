/// When each message of a fixed rate is to be sent.
///
/// Every latency counts from here: a message that is sent late, because the one before took long, has waited as well. A
/// measurement from the moment of sending leaves that out (coordinated omission).
struct SendSchedule: Sendable {
    /// Messages per second, above zero.
    let rate: Int

    /// How long after the start a message is to be sent.
    func offset(of index: Int) -> Duration {
        // Whole seconds apart from the rest: no product of two large numbers.
        .seconds(index / rate) + .nanoseconds(Int64(index % rate) * 1_000_000_000 / Int64(rate))
    }

    /// The last stretch before a message's time is waited for without giving up the processor: a timer of the system is
    /// late by about as much as a broker on the same machine takes.
    private static let precise = Duration.milliseconds(1)

    /// Waits until a message is to be sent; what is late is not waited for.
    ///
    /// - Throws: `CancellationError`.
    func wait(for index: Int, since start: ContinuousClock.Instant) async throws {
        let clock = ContinuousClock()
        let due = start + offset(of: index)
        if due - Self.precise > clock.now {
            try await clock.sleep(until: due - Self.precise, tolerance: .zero)
        } else {
            try Task.checkCancellation()
        }
        while clock.now < due {}
    }
}
