/// A step of a case came too late for what it had to show, because the machine was busy.
///
/// Nothing is known about the backend then: the case is measured again with a longer unit of time.
struct TooSlow: Error, CustomStringConvertible {
    /// How long it was allowed to take.
    let limit: Duration
    /// How long it took.
    let took: Duration

    var description: String { "a step that must come within \(limit) came after \(took)" }
}
