import MessagingPipeline
import ServiceLifecycle
import Synchronization

/// Runs the pipeline as a service and keeps its report.
final class PipelineService: Service {
    private let pipeline: Pipeline
    private let layers: Set<Layer>
    private let inputs: [CollectInput]
    private let sources: SourceList
    private let sourceStates: any SourceStateStore
    private let untilIdle: Bool
    private let progress: @Sendable (PipelineReport) -> Void
    private let result = Mutex<PipelineReport?>(nil)

    init(
        _ pipeline: Pipeline,
        layers: Set<Layer>,
        inputs: [CollectInput],
        sources: SourceList,
        sourceStates: any SourceStateStore,
        untilIdle: Bool,
        progress: @escaping @Sendable (PipelineReport) -> Void
    ) {
        self.pipeline = pipeline
        self.layers = layers
        self.inputs = inputs
        self.sources = sources
        self.sourceStates = sourceStates
        self.untilIdle = untilIdle
        self.progress = progress
    }

    /// What the run has come to, once it has ended.
    var report: PipelineReport? { result.withLock { $0 } }

    func run() async throws {
        let report = try await pipeline.run(
            layers: layers,
            inputs: inputs,
            sources: sources,
            sourceStates: sourceStates,
            untilIdle: untilIdle,
            progress: progress
        )
        result.withLock { $0 = report }
    }
}
