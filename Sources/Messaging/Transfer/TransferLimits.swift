/// What a transfer cannot do here although there is one, with the reasons.
///
/// Who moves a queue adapts to it: what cannot be listed is carried over when a consumer gets it, and what may be written
/// in twice is looked at afterwards.
public struct TransferLimits: Sendable, Hashable {
    /// No limits.
    public static let none = TransferLimits()

    /// The states that cannot be listed without disturbing them, each with the reason; ``QueueTransfer/stored(in:state:group:after:limit:)``
    /// throws `unsupported` for them.
    public var unlisted: [StoredMessage.State: String]
    /// Why a message that was restored is written in again when another client repeats it; `nil` when every client
    /// recognises it.
    ///
    /// What one client restores twice is always recognised, unless its first outcome was `indeterminate`.
    public var restoresAgain: String?
    /// Why what is reserved goes back by itself when the client ends or loses its connection; `nil` when it stays reserved.
    public var reservesForLife: String?
    /// How old a figure can be that stands for an unlisted state: what consumers have in hands may be missing in it until
    /// then.
    public var figureAge: Duration
    /// Whether the broker sends deliveries to a consumer in its own time, so that a receive that does not wait can find none
    /// although there are some.
    public var pushes: Bool

    /// Creates limits.
    ///
    /// - Parameters:
    ///   - unlisted: The states that cannot be listed, each with the reason.
    ///   - restoresAgain: Why another client writes in again what was restored.
    ///   - reservesForLife: Why reservations end with the client.
    ///   - figureAge: How old a figure can be that stands for an unlisted state; none is old by default.
    ///   - pushes: Whether the broker sends deliveries to a consumer in its own time.
    public init(
        unlisted: [StoredMessage.State: String] = [:],
        restoresAgain: String? = nil,
        reservesForLife: String? = nil,
        figureAge: Duration = .zero,
        pushes: Bool = false
    ) {
        self.unlisted = unlisted
        self.restoresAgain = restoresAgain
        self.reservesForLife = reservesForLife
        self.figureAge = figureAge
        self.pushes = pushes
    }
}

extension QueueTransfer {
    /// No limits.
    public func limits() async throws(QueueError) -> TransferLimits { .none }
}
