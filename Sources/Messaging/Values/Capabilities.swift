/// What a backend, at the version and configuration of its broker, can do.
public struct Capabilities: Sendable {
    /// One thing a backend may be able to do.
    public struct Feature: Hashable, Sendable, CustomStringConvertible, CaseIterable {
        private let name: String
        private init(_ name: String) { self.name = name }

        /// Publishing for a later time, and retries after a delay.
        public static let delay = Feature("delay")
        /// Listing and cancelling scheduled messages.
        public static let scheduleList = Feature("schedule-list")
        /// Recognising an id that was published before.
        public static let deduplication = Feature("deduplication")
        /// Recognising an id that was published before with another body.
        public static let idConflict = Feature("id-conflict")
        /// Several groups that each get every message.
        public static let fanOut = Feature("fan-out")
        /// A lease per delivery that its consumer can renew.
        public static let renewal = Feature("renewal")
        /// Refusing the settlement of a lost lease.
        public static let fencedSettle = Feature("fenced-settle")
        /// Handling messages of one key one after the other.
        public static let keyedOrder = Feature("keyed-order")
        /// Dead letters with reason, error and history.
        public static let deadLetters = Feature("dead-letters")
        /// Moves (retry, reject, redrive) that a crash can neither lose nor double.
        public static let atomicMove = Feature("atomic-move")
        /// A new group that starts in the past.
        public static let replay = Feature("replay")
        /// A bound on the ready messages.
        public static let boundedQueue = Feature("bounded-queue")
        /// Queues can be deleted.
        public static let deletion = Feature("deletion")
        /// Deliveries that are settled when they are handed over.
        public static let atMostOnce = Feature("at-most-once")
        /// Queues that survive the end of this process.
        public static let persistence = Feature("persistence")

        /// Every feature, in the order of documentation.
        public static let allCases: [Feature] = [
            .persistence, .delay, .scheduleList, .deduplication, .idConflict, .fanOut, .renewal, .fencedSettle,
            .keyedOrder, .deadLetters, .atomicMove, .replay, .boundedQueue, .atMostOnce, .deletion,
        ]

        /// The feature's name, in lower case with hyphens.
        public var description: String { name }
    }

    /// How far a feature is there.
    public enum Support: Sendable, Hashable {
        /// The broker does it.
        case native
        /// The backend does it on top of the broker; the note says how.
        case emulated(String)
        /// It cannot be had; the reason says why. Calls throw `unsupported` without touching the broker.
        case unavailable(String)

        /// Whether the feature can be used.
        public var isAvailable: Bool {
            if case .unavailable = self { false } else { true }
        }
    }

    /// What a confirmed message survives.
    public enum Durability: Sendable, Hashable {
        /// The life of the process or server only.
        case memory
        /// A crash of the server loses at most what was confirmed in this time before it.
        case window(Duration)
        /// A crash of the server: one disk has it.
        case disk
        /// The loss of a machine: several have it.
        case replicated
        /// It could not be found out; the reason says why.
        case unknown(String)
    }

    /// The backend's name, as in URLs: `memory`, `redis`, ….
    public var system: String
    /// The version of the broker.
    public var version: String
    /// What a confirmed message survives, probed at connect.
    public var durability: Durability
    /// The largest body, in bytes.
    public var maxBodyBytes: Int
    /// What the operator should know or change, one line each.
    public var findings: [String]
    private var support: [Feature: Support]

    /// Creates a description; for backends.
    ///
    /// Features that are not named are unavailable.
    ///
    /// - Parameters:
    ///   - system: The backend's name.
    ///   - version: The version of the broker.
    ///   - durability: What a confirmed message survives.
    ///   - maxBodyBytes: The largest body, in bytes.
    ///   - support: How far each feature is there.
    ///   - findings: What the operator should know.
    public init(
        system: String,
        version: String,
        durability: Durability,
        maxBodyBytes: Int,
        support: [Feature: Support],
        findings: [String] = []
    ) {
        self.system = system
        self.version = version
        self.durability = durability
        self.maxBodyBytes = maxBodyBytes
        self.support = support
        self.findings = findings
    }

    /// How far a feature is there.
    ///
    /// - Parameter feature: The feature.
    public subscript(feature: Feature) -> Support {
        support[feature] ?? .unavailable("the \(system) backend does not have it")
    }

    /// Checks that a feature can be used.
    ///
    /// - Parameters:
    ///   - feature: The feature.
    ///   - queue: The queue it is wanted for, for the error.
    /// - Throws: `QueueError` with the code `unsupported` and the reason.
    public func require(_ feature: Feature, queue: String? = nil) throws(QueueError) {
        if let refusal = refusal(of: feature, queue: queue) { throw refusal }
    }

    /// Returns the error for a feature that cannot be used; `nil` when it can.
    func refusal(of feature: Feature, queue: String?) -> QueueError? {
        guard case .unavailable(let reason) = self[feature] else { return nil }
        return QueueError(.unsupported, "\(feature) is not available on \(system): \(reason)", queue: queue)
    }
}
