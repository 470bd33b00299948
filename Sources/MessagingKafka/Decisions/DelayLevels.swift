#if Kafka
/// The levels of a delay topic, one partition each.
///
/// Every record stays in its level until its time or at most for the level's length, so that the oldest record of a
/// level is always the first that has to go; what is then not due goes to the level of the rest.
enum DelayLevels {
    /// The shortest stay in each level, in milliseconds.
    static let lengths: [Int64] = [0, 1000, 10_000, 60_000, 600_000, 3_600_000, 21_600_000, 86_400_000]

    /// The level for what is left of a delay, in milliseconds.
    static func level(for remaining: Int64) -> Int { (lengths.lastIndex { $0 <= remaining }) ?? 0 }

    /// The longest delay: some 30 years, so that no sum overflows.
    static let longest: Int64 = 1_000_000_000_000
}

/// Two thresholds, so that something near one of them does not switch with every message.
struct Hysteresis: Sendable {
    let high: Int
    let low: Int
    private(set) var isOn = false

    init(high: Int, low: Int) {
        self.high = high
        self.low = low
    }

    /// - Returns: Whether it is on now: from `high` on, until `low`.
    mutating func update(_ value: Int) -> Bool {
        if value >= high { isOn = true } else if value <= low { isOn = false }
        return isOn
    }
}

/// Which partition a message goes to.
enum Lanes {
    /// The partition of a key: the same in every program that follows `docs/kafka.md`.
    ///
    /// FNV-1a with 64 bits (Fowler, Noll, Vo), whose halves are folded, modulo the number of partitions.
    static func partition(of key: some Sequence<UInt8>, among count: Int) -> Int32 {
        guard count > 1 else { return 0 }
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in key { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return Int32(truncatingIfNeeded: (hash ^ hash >> 32) & 0xFFFF_FFFF) & .max % Int32(clamping: count)
    }
}

/// What a report says to the publisher.
enum PublishVerdict: Equatable {
    case accepted
    /// It is certainly not there; the same may be tried again.
    case again
    /// It is certainly not there, and trying again does not help.
    case refused
    /// Nobody knows.
    case indeterminate

    /// Errors that are the message's own.
    private static let lasting: Set<String> = [
        "MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_MSG", "INVALID_RECORD", "INVALID_TIMESTAMP",
        "TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC",
        "_UNKNOWN_PARTITION", "POLICY_VIOLATION",
    ]

    init(_ report: KafkaReport) {
        switch (report.failure, report.persistence) {
        case (nil, _), (_, .persisted): self = .accepted
        case (let failure?, .not): self = Self.lasting.contains(failure.name) ? .refused : .again
        case (_, .possibly): self = .indeterminate
        }
    }
}
#endif
