/// The one error of this library: what happened, to which queue, and whether trying again can help.
public struct QueueError: Error, Sendable, CustomStringConvertible {
    /// What kind of error it is.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private let name: String
        private init(_ name: String) { self.name = name }

        /// The broker cannot be reached, or cannot do it at the moment.
        public static let unavailable = Code("unavailable")
        /// The broker refused the credentials.
        public static let authentication = Code("authentication")
        /// The credentials lack a right.
        public static let permissionDenied = Code("permission-denied")
        /// A queue, group or message does not exist.
        public static let notFound = Code("not-found")
        /// A name breaks ``NameRules``.
        public static let invalidName = Code("invalid-name")
        /// A value is outside its documented range.
        public static let invalidArgument = Code("invalid-argument")
        /// Something of that name exists with other settings or of another type.
        public static let topologyConflict = Code("topology-conflict")
        /// The queue or group was deleted while it was in use.
        public static let topologyLost = Code("topology-lost")
        /// A new group was to begin at a time from which the queue no longer holds everything.
        public static let positionTrimmed = Code("position-trimmed")
        /// The delivery no longer belongs to this consumer.
        public static let leaseLost = Code("lease-lost")
        /// The delivery has been settled before.
        public static let alreadySettled = Code("already-settled")
        /// The queue or consumer object has been closed.
        public static let closed = Code("closed")
        /// The task was cancelled.
        public static let cancelled = Code("cancelled")
        /// A body or header is larger than the backend takes.
        public static let tooLarge = Code("too-large")
        /// The queue has reached its bound.
        public static let queueFull = Code("queue-full")
        /// The id was published before with another body.
        public static let idConflict = Code("id-conflict")
        /// The request left, the answer never came: it may or may not have taken effect.
        public static let indeterminate = Code("indeterminate")
        /// This backend, at this version and configuration, cannot do it.
        public static let unsupported = Code("unsupported")
        /// Data on the broker cannot be understood.
        public static let undecodable = Code("undecodable")
        /// The broker answered with an error that has no code of its own.
        public static let brokerError = Code("broker-error")

        /// The name of the code, in lower case with hyphens.
        public var description: String { name }
    }

    /// What kind of error it is.
    public let code: Code
    /// What happened, to what, and what to do; never contains credentials.
    public let message: String
    /// The queue it happened to, if it was one.
    public let queue: String?
    /// Whether the same call can succeed later without a change.
    public let isRetryable: Bool
    /// The error of a lower layer that caused it.
    public let underlying: (any Error)?

    /// Creates an error.
    ///
    /// - Parameters:
    ///   - code: What kind of error it is.
    ///   - message: What happened, to what, and what to do; without credentials.
    ///   - queue: The queue it happened to.
    ///   - isRetryable: Whether the same call can succeed later; by default it can for `unavailable`, `queueFull` and
    ///     `indeterminate`.
    ///   - underlying: The error that caused it.
    public init(
        _ code: Code,
        _ message: String,
        queue: String? = nil,
        isRetryable: Bool? = nil,
        underlying: (any Error)? = nil
    ) {
        self.code = code
        self.message = message
        self.queue = queue
        self.isRetryable = isRetryable ?? (code == .unavailable || code == .queueFull || code == .indeterminate)
        self.underlying = underlying
    }

    /// The error in one line: the queue, the message and the code.
    public var description: String {
        let place = queue.map { "queue '\($0)': " } ?? ""
        return "\(place)\(message) [\(code)]"
    }
}
