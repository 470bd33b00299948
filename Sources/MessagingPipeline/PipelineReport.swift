import Messaging

/// What a run of the pipeline has come to.
public struct PipelineReport: Sendable, Hashable {
    /// One layer of this process.
    public struct LayerReport: Sendable, Hashable {
        /// The layer.
        public var layer: Layer
        /// Messages that were handled, or records that were read.
        public var handled: Int
        /// Attempts that failed.
        public var failed: Int
        /// The time from the first message to the last.
        public var elapsed: Duration
        /// The time of all handlers together.
        public var busy: Duration
    }

    /// What was collected in this run.
    public var collect: CollectReport
    /// The layers that ran, in order.
    public var layers: [LayerReport] = []
    /// What the last layer keeps, from this and all earlier runs.
    public var counts = StatementCounts(unique: 0, duplicates: 0)
    /// Dead letters by layer, from this and all earlier runs; a layer without any is missing.
    public var deadLetters: [Layer: Int] = [:]
    /// Whether shutdown began before the inputs were read and the queues empty.
    public var wasInterrupted = false
    /// How long the run took.
    public var elapsed: Duration = .zero

    /// Creates a report.
    ///
    /// - Parameter collect: What was collected.
    public init(collect: CollectReport) { self.collect = collect }

    /// Dead letters of all layers.
    public var dead: Int { deadLetters.values.reduce(0, +) }

    /// Statements that were analysed in this run.
    public var analysed: Int { layers.first { $0.layer == .analysis }?.handled ?? 0 }
}
