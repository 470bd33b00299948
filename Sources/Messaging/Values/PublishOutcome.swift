/// What became of one published message.
public enum PublishOutcome: Sendable {
    /// The broker has confirmed it at the durability that ``Capabilities/durability`` states.
    case accepted
    /// The id was published before, within the dedupe window; nothing was added.
    case duplicate
    /// It was not published and never will be; the error says why.
    case refused(QueueError)
    /// The connection died after bytes had left: the message may or may not exist. Only the same id on the same broker
    /// may be published again.
    case indeterminate(QueueError)

    /// Whether the message is on the broker for certain.
    public var isConfirmed: Bool {
        switch self {
        case .accepted, .duplicate: true
        case .refused, .indeterminate: false
        }
    }

    /// The error of a message that is not confirmed.
    public var error: QueueError? {
        switch self {
        case .accepted, .duplicate: nil
        case .refused(let error), .indeterminate(let error): error
        }
    }
}
