/// How far a run is.
public struct BenchmarkProgress: Sendable, Hashable {
    /// What is being measured.
    public var step: String
    /// How many parts of it are done.
    public var done: Int
    /// How many parts it has.
    public var total: Int
}
