import Messaging

/// How fast queues and groups move, from two looks at their figures.
struct StatusRates: Sendable, Equatable {
    /// What one look has found.
    struct Sample: Sendable {
        let queues: [QueueStatistics]
        let at: Duration
    }

    /// Per second; `nil` is not known.
    struct Rate: Sendable, Equatable {
        /// Messages that became available.
        var published: Double?
        /// Messages that left the group: acknowledged, rejected or discarded.
        var settled: Double?
        /// By how much the group fell behind, below zero when it caught up.
        var lag: Double?
    }

    private var rates: [String: [String: Rate]] = [:]

    /// No rates, for the first look.
    init() {}

    /// Compares two looks.
    ///
    /// - Parameters:
    ///   - old: The earlier one.
    ///   - new: The later one.
    init(from old: Sample, to new: Sample) {
        let seconds = (new.at - old.at).inSeconds
        guard seconds > 0 else { return }
        for queue in new.queues {
            guard let before = old.queues.first(where: { $0.queue == queue.queue }) else { continue }
            let arrived = Self.growth(before.arrived, queue.arrived)
            // A counter that shrank belongs to a queue that was made anew.
            if let arrived, arrived < 0 { continue }
            let scheduled = Self.growth(before.scheduled, queue.scheduled)
            for group in queue.groups {
                guard let earlier = before[group.group] else { continue }
                let lag = Self.growth(earlier.lag, group.lag)
                var rate = Rate(published: arrived.map { Double($0) / seconds }, lag: lag.map { Double($0) / seconds })
                if let arrived, let lag, let scheduled {
                    // What arrived and does not wait any more was settled; what is scheduled has not arrived yet.
                    rate.settled = Double(max(0, arrived - (lag - scheduled))) / seconds
                }
                rates[queue.queue, default: [:]][group.group] = rate
            }
        }
    }

    /// The rates of a group.
    func rate(of group: String, in queue: String) -> Rate { rates[queue]?[group] ?? Rate() }

    private static func growth(_ old: Figure, _ new: Figure) -> Int? {
        guard let old = old.value, let new = new.value else { return nil }
        return new - old
    }
}
