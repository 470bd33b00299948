/// How well the new side must do before more producers go over to it.
public struct MigrationLimits: Sendable, Hashable {
    /// The largest share of publications to the new side that may fail, 0 to 1.
    public var maxErrors: Double
    /// The most messages that a group may have ready on the new side; as many as come unless given.
    public var maxLag: Int?

    /// Creates limits.
    ///
    /// - Parameters:
    ///   - maxErrors: The largest share of publications to the new side that may fail, 0 to 1; 1 % by default.
    ///   - maxLag: The most messages that a group may have ready on the new side.
    public init(maxErrors: Double = 0.01, maxLag: Int? = nil) {
        self.maxErrors = maxErrors
        self.maxLag = maxLag
    }
}

/// What became of publications.
public struct PublicationCount: Sendable, Hashable {
    /// How many were tried.
    public var attempted: Int
    /// How many failed or have an unknown outcome.
    public var failed: Int

    /// Creates a count.
    ///
    /// - Parameters:
    ///   - attempted: How many were tried.
    ///   - failed: How many failed or have an unknown outcome.
    public init(attempted: Int = 0, failed: Int = 0) {
        self.attempted = attempted
        self.failed = failed
    }

    static func + (one: PublicationCount, other: PublicationCount) -> PublicationCount {
        PublicationCount(attempted: one.attempted + other.attempted, failed: one.failed + other.failed)
    }
}
