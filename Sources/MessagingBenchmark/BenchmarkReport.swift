/// What a run has measured, with all that the figures depend on; the document that `mq bench --json` prints.
public struct BenchmarkReport: Sendable, Codable, Hashable {
    /// The version of this document.
    public static let schemaVersion = 1

    /// The version of this document.
    public var schemaVersion = BenchmarkReport.schemaVersion
    /// The backend's name.
    public var system: String
    /// The version of the broker.
    public var version: String
    /// What a confirmed message survives.
    public var durability: String
    /// Where the broker is, without credentials.
    public var place: String
    /// What the operator should know about the broker's settings.
    public var findings: [String]
    /// The machine that ran this.
    public var machine: Machine
    /// The values of the run's settings, by name.
    public var settings: [String: Int]
    /// The client library beside ours; `nil` without a baseline.
    public var baseline: String?
    /// The throughput of each workload.
    public var workloads: [WorkloadResult] = []
    /// The latency at a fixed rate; `nil` when it was not measured.
    public var latency: LatencyResult?
    /// A scaling series; `nil` when none was measured.
    public var series: SeriesResult?

    private enum CodingKeys: String, CodingKey {
        case schemaVersion = "schema_version"
        case system, version, durability, place, findings, machine, settings, baseline, workloads, latency, series
    }

    /// Creates a report without figures.
    ///
    /// - Parameters:
    ///   - system: The backend's name.
    ///   - version: The version of the broker.
    ///   - durability: What a confirmed message survives.
    ///   - place: Where the broker is, without credentials.
    ///   - findings: What the operator should know about the broker's settings.
    ///   - machine: The machine that ran this.
    ///   - settings: The settings of the run.
    ///   - baseline: The client library beside ours.
    public init(
        system: String,
        version: String,
        durability: String,
        place: String,
        findings: [String],
        machine: Machine,
        settings: BenchmarkSettings,
        baseline: String?
    ) {
        self.system = system
        self.version = version
        self.durability = durability
        self.place = place
        self.findings = findings
        self.machine = machine
        self.baseline = baseline
        self.settings = [
            "messages": settings.messages, "size": settings.size, "batch": settings.batch,
            "consumers": settings.consumers, "keys": settings.keys, "rate": settings.rate, "pairs": settings.pairs,
            "dedupe": settings.deduplicates ? 1 : 0, "window_ms": Int(settings.window / .milliseconds(1)),
        ]
    }
}

/// The throughput of one workload.
public struct WorkloadResult: Sendable, Codable, Hashable {
    /// What was measured: `publish`, `consume`, `worker`, `end-to-end`.
    public var name: String
    /// The messages of one measurement.
    public var messages: Int
    /// Messages per second of this library.
    public var rate: Spread
    /// Messages per second of the client library alone.
    public var plainRate: Spread?
    /// Ours as a share of the client library's, pair by pair.
    public var ratio: Spread?
    /// Processor time of this process per message, in microseconds; `nil` where it cannot be told.
    public var processorTime: Double?

    private enum CodingKeys: String, CodingKey {
        case name, messages, ratio
        case rate = "per_second"
        case plainRate = "plain_per_second"
        case processorTime = "cpu_us_per_message"
    }
}

/// The time from a publisher to a handler, at a fixed rate.
public struct LatencyResult: Sendable, Codable, Hashable {
    /// Messages per second that were asked for.
    public var rate: Int
    /// Messages per second that were sent.
    public var achieved: Double
    /// From the moment at which a message was to be sent: nothing that kept it waiting is left out.
    public var intended: LatencySummary
    /// From the moment at which a message was sent.
    public var sent: LatencySummary
    /// What the client library alone takes to publish one message and then to consume and acknowledge it.
    public var plain: LatencySummary?

    private enum CodingKeys: String, CodingKey {
        case rate, achieved
        case intended = "from_intended_time"
        case sent = "from_sending"
        case plain = "plain_round_trips"
    }
}

/// One quantity that grows, and what was measured at each value.
public struct SeriesResult: Sendable, Codable, Hashable {
    /// What was measured at one value.
    public struct Point: Sendable, Codable, Hashable {
        /// The value.
        public var x: Int
        /// The figures by name.
        public var values: [String: Double]
    }

    /// The quantity.
    public var kind: SeriesKind
    /// The points, in the order of their values.
    public var points: [Point]
}
