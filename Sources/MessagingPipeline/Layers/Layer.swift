import Messaging

/// The steps of the pipeline, in order.
///
/// Each but the first consumes the queue that bears its name.
public enum Layer: String, Sendable, Hashable, CaseIterable {
    /// Reads statements from files and feeds the analysis.
    case collect
    /// Adds what can be told from one statement alone.
    case analysis
    /// Finds statements that were made before.
    case deduplication
    /// Keeps the unique statements and serves them.
    case api

    /// The queue that the layer consumes; `nil` for the first.
    public var queue: String? { self == .collect ? nil : "queue:\(rawValue)" }

    /// The group that the layer's workers form.
    public var group: String? {
        switch self {
        case .collect: nil
        case .analysis: "analysis-workers"
        case .deduplication: "dedup-workers"
        case .api: "api-workers"
        }
    }

    /// The layer that gets what this one publishes; `nil` for the last.
    public var next: Layer? {
        switch self {
        case .collect: .analysis
        case .analysis: .deduplication
        case .deduplication: .api
        case .api: nil
        }
    }

    /// The layers that consume a queue, in order.
    public static let workers: [Layer] = [.analysis, .deduplication, .api]

    /// After so many attempts a message is given up whatever a worker's policy says: it may have killed its workers.
    package static let maxAttempts = 20

    /// The settings of the layer's queue.
    ///
    /// - Parameter lease: How long a delivery belongs to its worker.
    /// - Returns: The definition; `nil` for the first layer.
    public func definition(lease: Duration) -> QueueDefinition? {
        guard let queue, let group else { return nil }
        return QueueDefinition(
            queue,
            groups: [GroupDefinition(group, lease: lease, maxAttempts: Self.maxAttempts)],
            dedupeWindow: .seconds(24 * 3600)
        )
    }

    /// Derives the id of the message that this layer publishes from the id of the one it handles, so that doing it
    /// twice publishes one message.
    ///
    /// - Parameter upstream: The id of the message that is handled.
    /// - Returns: The id of the message that follows from it.
    public func derivedID(from upstream: MessageID) -> MessageID {
        let derived = "\(upstream.rawValue)/\(rawValue)"
        return MessageID(
            derived.utf8.count <= 200 ? derived : "h-\(StableHash.hex128(upstream.rawValue.utf8))/\(rawValue)"
        )
    }
}
