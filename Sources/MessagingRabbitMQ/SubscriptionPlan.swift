#if RabbitMQ
/// Whether a subscription is kept, and how large the next one is; without I/O.
///
/// A subscription may only be cancelled when it is used up: what meets a cancellation on its way is counted as delivered,
/// and makes RabbitMQ 3.10 end the whole channel.
struct SubscriptionPlan: Sendable, Equatable {
    /// How many messages the subscription lets the broker have out; 0 without one.
    var size = 0

    /// What to do when somebody waits.
    enum Step: Sendable, Equatable {
        case keep
        case renew(size: Int)
    }

    /// Whether the broker may send nothing more.
    func isUsedUp(out: Int) -> Bool { out >= size }

    /// Decides when somebody waits for `wanted` messages and nothing is here.
    ///
    /// - Parameters:
    ///   - wanted: How many are wanted.
    ///   - out: How many of the subscription the broker holds to be out.
    ///   - finished: How many of those can be acknowledged now.
    /// - Returns: Whether to go on with the subscription, or how large the next one is.
    func step(wanted: Int, out: Int, finished: Int) -> Step {
        let size = min(max(wanted, 1), 65535)
        if self.size == 0 { return .renew(size: size) }
        guard isUsedUp(out: out) else { return .keep }
        // With half of what is wanted it goes on: renewing costs more than another turn.
        let room = self.size - out + finished
        return room == 0 || room < wanted / 2 ? .renew(size: size) : .keep
    }
}
#endif
