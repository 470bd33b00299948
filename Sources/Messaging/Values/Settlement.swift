/// How a delivery ends.
public enum Settlement: Sendable, Hashable {
    /// Handled: the group never sees the message again.
    case acknowledge
    /// Failed for now: deliver it again to this group after a delay, with the attempt counted and the error noted.
    case retry(after: Duration, error: String?)
    /// Failed for good: move it to the dead letters of this group.
    case reject(reason: DeadLetterReason, error: String?)
    /// Not wanted: the group never sees the message again, and it is no dead letter.
    case discard
    /// Given back untouched: deliver it again at once, attempt not counted.
    case release
}

/// A settlement for one delivery.
public struct SettleRequest: Sendable, Hashable {
    /// The delivery.
    public let receipt: Receipt
    /// How it ends.
    public let settlement: Settlement

    /// Creates a request.
    ///
    /// - Parameters:
    ///   - receipt: The delivery's receipt.
    ///   - settlement: How it ends.
    public init(_ receipt: Receipt, _ settlement: Settlement) {
        self.receipt = receipt
        self.settlement = settlement
    }
}

/// What became of one settlement.
public enum SettleOutcome: Sendable {
    /// The delivery has ended as asked.
    case settled
    /// The delivery had been taken over; nothing was done.
    case leaseLost
    /// This consumer has settled the delivery before; nothing was done.
    case alreadySettled
    /// It was not carried out, or it is unknown whether it was (`indeterminate`); the lease goes on.
    case failed(QueueError)

    /// The error of an outcome that is not `settled`.
    public var error: QueueError? {
        switch self {
        case .settled: nil
        case .leaseLost:
            QueueError(.leaseLost, "the lease had run out and the delivery belongs to another consumer")
        case .alreadySettled: QueueError(.alreadySettled, "the delivery was settled before")
        case .failed(let error): error
        }
    }
}

/// Why a message is in the dead letters.
public struct DeadLetterReason: Sendable, Hashable, RawRepresentable, CustomStringConvertible {
    /// The reason's name on the wire.
    public let rawValue: String

    /// Creates a reason of the application's own.
    ///
    /// - Parameter rawValue: A short name in lower case with hyphens.
    public init(rawValue: String) { self.rawValue = rawValue }

    /// Its handler failed as often as the policy allows, or its consumers died as often as the group allows.
    public static let attemptsExhausted = DeadLetterReason(rawValue: "attempts-exhausted")
    /// Its handler said that trying again cannot help.
    public static let rejected = DeadLetterReason(rawValue: "rejected")
    /// What is on the broker is no message; kept as it was.
    public static let undecodable = DeadLetterReason(rawValue: "undecodable")

    /// The reason's name.
    public var description: String { rawValue }
}
