/// Why a migration cannot be done: what happened, to what, and what to do.
public struct MigrationError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What kind of error it is.
    public enum Kind: Sendable, Hashable {
        /// There is no such queue or migration.
        case notFound
        /// The plan has findings that forbid it.
        case blocked
        /// Something is lost that was not accepted by name.
        case lossy
        /// The source has moved away from the plan.
        case moved
        /// A side is another one than the migration began with.
        case otherSide
        /// Somebody else is at it.
        case busy
        /// A gate is shut, or the event is not possible in this state.
        case refused
        /// The journal cannot be used.
        case journal
    }

    /// What kind of error it is.
    public let kind: Kind
    /// What happened, to what, and what to do; without credentials.
    public let description: String

    /// Creates an error.
    ///
    /// - Parameters:
    ///   - kind: What kind of error it is.
    ///   - description: What happened, to what, and what to do.
    public init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}
