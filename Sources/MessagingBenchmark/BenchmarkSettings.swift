import Messaging

/// What a run measures with.
public struct BenchmarkSettings: Sendable, Hashable {
    /// The messages of one workload, without those that warm it up; they are shared out among the pairs.
    public var messages: Int
    /// The bytes of a body.
    public var size: Int
    /// How many messages one `publish`, `receive` and `settle` has, and how many handlers a worker runs at a time.
    public var batch: Int
    /// How many consumers, or workers, share the messages.
    public var consumers: Int
    /// How many ordering keys the messages have; zero means an unordered queue.
    public var keys: Int
    /// How many messages a second are sent for the latency.
    public var rate: Int
    /// How often a workload is measured, beside the baseline if there is one.
    public var pairs: Int
    /// Whether the queue remembers ids.
    public var deduplicates: Bool
    /// How long the latency at a fixed rate and idle consumers are watched.
    public var window: Duration
    /// How long nothing may move before a run gives up.
    public var patience: Duration

    /// The fewest pairs that a ratio is given for.
    public static let fewestPairs = 5

    /// Creates settings.
    ///
    /// - Parameters:
    ///   - messages: The messages of one workload.
    ///   - size: The bytes of a body.
    ///   - batch: How many messages one call has.
    ///   - consumers: How many consumers share the messages.
    ///   - keys: How many ordering keys the messages have; none by default.
    ///   - rate: How many messages a second are sent for the latency.
    ///   - pairs: How often a workload is measured.
    ///   - deduplicates: Whether the queue remembers ids.
    ///   - window: How long the latency and idle consumers are watched; 10 s by default.
    ///   - patience: How long nothing may move before a run gives up; 30 s by default.
    public init(
        messages: Int = 50_000,
        size: Int = 512,
        batch: Int = 100,
        consumers: Int = 1,
        keys: Int = 0,
        rate: Int = 100,
        pairs: Int = BenchmarkSettings.fewestPairs,
        deduplicates: Bool = true,
        window: Duration = .seconds(10),
        patience: Duration = .seconds(30)
    ) {
        self.messages = messages
        self.size = size
        self.batch = batch
        self.consumers = consumers
        self.keys = keys
        self.rate = rate
        self.pairs = pairs
        self.deduplicates = deduplicates
        self.window = window
        self.patience = patience
    }

    /// Checks the values.
    ///
    /// - Throws: `QueueError` with the code `invalidArgument` for the first value outside its range.
    public func validate() throws(QueueError) {
        let ranges: [(name: String, value: Int, range: ClosedRange<Int>)] = [
            ("messages", messages, 1...100_000_000), ("size", size, 1...(64 << 20)), ("batch", batch, 1...1000),
            ("consumers", consumers, 1...1000), ("keys", keys, 0...1_000_000), ("rate", rate, 1...100_000),
            ("pairs", pairs, 1...1000),
        ]
        for (name, value, range) in ranges where !range.contains(value) {
            throw QueueError(
                .invalidArgument,
                "\(name) must be \(range.lowerBound) to \(range.upperBound), not \(value)"
            )
        }
        guard window >= .milliseconds(10), window <= .seconds(600) else {
            throw QueueError(.invalidArgument, "the window must be 10 ms to 10 min")
        }
        guard paced <= Self.mostPaced else {
            throw QueueError(
                .invalidArgument,
                "the rate times the window is \(paced) messages, more than \(Self.mostPaced); choose a shorter window"
            )
        }
        guard patience >= .seconds(1), patience <= .seconds(3600) else {
            throw QueueError(.invalidArgument, "the patience must be 1 s to 1 h")
        }
    }

    /// The largest number of messages of a latency: the time of each is kept until it is handled.
    static let mostPaced = 1_000_000

    /// How long ids are remembered; not for an hour, as some brokers keep them although the queue has been deleted.
    static let dedupeWindow = Duration.seconds(300)

    /// How many messages one measurement has; one more of the same size warms up.
    var part: Int { max(1, messages / pairs) }

    /// How many messages are sent for the latency.
    var paced: Int { max(1, Int((Double(rate) * (window / .seconds(1))).rounded())) }

    /// The queue of a run.
    func definition(_ name: String, groups: Int = 1) -> QueueDefinition {
        QueueDefinition(
            name,
            groups: (0..<groups).map { GroupDefinition(Self.group($0)) },
            dedupeWindow: deduplicates ? Self.dedupeWindow : .zero,
            ordering: keys > 0 ? .keyed : .unordered
        )
    }

    static func group(_ number: Int) -> String { "group-\(number + 1)" }

    /// The key of a message.
    func key(_ number: Int) -> String? { keys > 0 ? "key-\(number % keys)" : nil }
}
