/// A quantity that a series lets grow.
public enum SeriesKind: String, Sendable, Codable, Hashable, CaseIterable {
    /// Messages that already wait in the queue.
    case backlog
    /// Consumers of one group.
    case consumers
    /// Bytes of a body.
    case payload
    /// Messages of one call.
    case batch
    /// Queues that share the messages.
    case queues
    /// Groups that each get every message.
    case groups
    /// Deliveries that one consumer holds.
    case memory
    /// Consumers that wait.
    case idle

    /// Every value that the series can take.
    private var steps: [Int] {
        switch self {
        case .backlog: [1000, 10_000, 100_000, 1_000_000, 10_000_000]
        case .consumers: [1, 2, 4, 8, 16]
        case .payload: (0...8).map { 16 << (2 * $0) }
        case .batch: [1, 3, 10, 30, 100, 300, 1000]
        case .queues: [1, 10, 100, 1000]
        case .groups: [1, 2, 4, 8, 16, 32]
        case .memory: [1000, 3000, 10_000, 30_000, 100_000]
        case .idle: [1, 10, 100]
        }
    }

    /// The largest value when none was chosen; what takes minutes or gigabytes has to be asked for.
    private var usual: Int {
        switch self {
        case .backlog: 1_000_000
        case .memory: 10_000
        case .queues: 100
        default: limit
        }
    }

    /// The largest value.
    public var limit: Int { steps.last ?? 1 }

    /// The values of a series.
    ///
    /// - Parameter max: The largest; `nil` means the usual one.
    /// - Returns: The steps up to `max`, and `max` itself where it lies between two.
    public func values(upTo max: Int? = nil) -> [Int] {
        let end = Swift.min(max ?? usual, limit)
        let below = steps.filter { $0 <= end }
        return below.last == end ? below : below + [end]
    }

    /// What the values are, for the axis of a plot.
    public var label: String {
        switch self {
        case .backlog: "messages that wait"
        case .consumers: "consumers"
        case .payload: "bytes of a body"
        case .batch: "messages of one call"
        case .queues: "queues"
        case .groups: "groups"
        case .memory: "deliveries held"
        case .idle: "waiting consumers"
        }
    }

    /// The figures that a plot shows, and what they are.
    public var figures: (label: String, names: [String]) {
        switch self {
        case .backlog: ("microseconds per message", ["publish_us", "consume_us"])
        case .memory: ("bytes of memory", ["resident_bytes"])
        case .idle: ("percent of one core", ["cpu_percent"])
        default: ("messages per second", ["publish_per_second", "consume_per_second"])
        }
    }
}
