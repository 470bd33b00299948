/// A number with how far it can be trusted.
public struct Figure: Sendable, Hashable {
    /// How far a number can be trusted.
    public enum Grade: Sendable, Hashable {
        /// It was exactly this at the moment of the answer.
        case exact
        /// It is near this.
        case estimate
        /// The backend cannot tell; the reason says why.
        case unavailable(String)
    }

    /// The number; `nil` when it is unavailable.
    public let value: Int?
    /// How far it can be trusted.
    public let grade: Grade

    private init(value: Int?, grade: Grade) {
        self.value = value
        self.grade = grade
    }

    /// An exact number.
    ///
    /// - Parameter value: The number.
    /// - Returns: The figure.
    public static func exact(_ value: Int) -> Figure { Figure(value: value, grade: .exact) }

    /// A number that is near the truth.
    ///
    /// - Parameter value: The number.
    /// - Returns: The figure.
    public static func estimate(_ value: Int) -> Figure { Figure(value: value, grade: .estimate) }

    /// No number.
    ///
    /// - Parameter reason: Why the backend cannot tell.
    /// - Returns: The figure.
    public static func unavailable(_ reason: String) -> Figure { Figure(value: nil, grade: .unavailable(reason)) }
}

/// The figures of one group of a queue.
public struct GroupStatistics: Sendable, Hashable {
    /// The group.
    public var group: String
    /// Messages that the next `receive` could get.
    public var ready: Figure
    /// Messages delivered and not settled.
    public var inFlight: Figure
    /// Messages waiting for their time: retries of this group and scheduled messages of the queue.
    public var delayed: Figure
    /// Dead letters of this group.
    public var dead: Figure
    /// Consumers that are registered.
    public var consumers: Figure
    /// How long ago the oldest message that is ready or in flight was published; `nil` when there is none or the
    /// backend cannot tell.
    public var oldestAge: Duration?

    /// Creates figures; for backends.
    ///
    /// - Parameters:
    ///   - group: The group.
    ///   - ready: Messages that the next `receive` could get.
    ///   - inFlight: Messages delivered and not settled.
    ///   - delayed: Messages waiting for their time; exactly none unless given, as where there are no delays.
    ///   - dead: Dead letters of this group; exactly none unless given, as where there are no dead letters.
    ///   - consumers: Consumers that are registered; not counted unless given.
    ///   - oldestAge: The age of the oldest unfinished message; `nil` unless given.
    public init(
        group: String,
        ready: Figure,
        inFlight: Figure,
        delayed: Figure = .exact(0),
        dead: Figure = .exact(0),
        consumers: Figure = .unavailable("this backend does not count them"),
        oldestAge: Duration? = nil
    ) {
        self.group = group
        self.ready = ready
        self.inFlight = inFlight
        self.delayed = delayed
        self.dead = dead
        self.consumers = consumers
        self.oldestAge = oldestAge
    }

    /// How far the group is behind: ready, in flight and delayed together.
    public var lag: Figure {
        var sum = 0
        var isExact = true
        for figure in [ready, inFlight, delayed] {
            guard let value = figure.value else { return figure }
            sum += value
            if figure.grade != .exact { isExact = false }
        }
        return isExact ? .exact(sum) : .estimate(sum)
    }
}

/// The figures of a queue.
public struct QueueStatistics: Sendable, Hashable {
    /// The queue.
    public var queue: String
    /// One entry per group, sorted by name.
    public var groups: [GroupStatistics]
    /// Published messages whose time has not come; each group's `delayed` contains them.
    public var scheduled: Figure
    /// Messages that the queue still stores for its groups or for replay.
    public var stored: Figure
    /// Messages that have become available so far, those that are finished included: a counter that only grows, for
    /// rates.
    public var arrived: Figure

    /// Creates figures; for backends.
    ///
    /// - Parameters:
    ///   - queue: The queue.
    ///   - groups: One entry per group.
    ///   - scheduled: Published messages whose time has not come.
    ///   - stored: Messages that the queue still stores.
    ///   - arrived: Messages that have become available so far.
    public init(
        queue: String,
        groups: [GroupStatistics],
        scheduled: Figure,
        stored: Figure,
        arrived: Figure = .unavailable("this backend does not count what has arrived")
    ) {
        self.queue = queue
        self.groups = groups
        self.scheduled = scheduled
        self.stored = stored
        self.arrived = arrived
    }

    /// The figures of one group.
    ///
    /// - Parameter group: The group's name.
    public subscript(group: String) -> GroupStatistics? { groups.first { $0.group == group } }
}
