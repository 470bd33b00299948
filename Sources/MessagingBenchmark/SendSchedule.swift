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
}
