/// How a migration is carried out.
public struct MigrationOptions: Sendable {
    /// How what is ready leaves the old side.
    public var mode: MigrationMode
    /// The names of the losses that are accepted.
    public var acceptedLosses: Set<String>
    /// A plan that was looked at before; the source must not have moved away from it.
    public var plan: MigrationPlan?
    /// By which share of the plan's figures a figure may differ.
    public var tolerance: Double
    /// The most messages per second that are carried over; as fast as it goes unless given.
    public var rate: Int?
    /// How long a process may go without looking at the journal.
    public var lease: Duration
    /// How long nothing may get better before the migration stops and can be taken up again.
    public var patience: Duration
    /// How well the new side must do before more producers go over to it.
    public var limits: MigrationLimits
    /// Whether messages of its own go through a queue beside the real one on the new side first.
    public var sendsCanary: Bool

    /// Creates options.
    ///
    /// - Parameters:
    ///   - mode: How what is ready leaves the old side; its consumers handle it by default.
    ///   - acceptedLosses: The names of the losses that are accepted; none by default.
    ///   - plan: A plan that was looked at before.
    ///   - tolerance: By which share of the plan's figures a figure may differ; 10 % by default.
    ///   - rate: The most messages per second that are carried over.
    ///   - lease: How long a process may go without looking at the journal; 10 s by default.
    ///   - patience: How long nothing may get better; 10 minutes by default.
    ///   - limits: How well the new side must do before more producers go over to it.
    ///   - sendsCanary: Whether messages of its own go through a queue beside the real one on the new side first; it is
    ///     named as the queue with `.canary-` and some letters, and removed. By default they do.
    public init(
        mode: MigrationMode = .drain,
        acceptedLosses: Set<String> = [],
        plan: MigrationPlan? = nil,
        tolerance: Double = 0.1,
        rate: Int? = nil,
        lease: Duration = .seconds(10),
        patience: Duration = .seconds(600),
        limits: MigrationLimits = MigrationLimits(),
        sendsCanary: Bool = true
    ) {
        self.mode = mode
        self.acceptedLosses = acceptedLosses
        self.plan = plan
        self.tolerance = tolerance
        self.rate = rate
        self.lease = lease
        self.patience = patience
        self.limits = limits
        self.sendsCanary = sendsCanary
    }
}

/// What a migration tells while it is carried out.
public enum MigrationProgress: Sendable, Hashable {
    /// It has taken a step.
    case step(Migration)
    /// So many messages have gone over since it was begun or taken up.
    case moved(Int)
    /// It waits, and for what.
    case waiting(Migration, String)
}
