import Hummingbird
import Logging
import Messaging
import MessagingPipeline
import Metrics

/// The one place where metrics and the HTTP API of a pipeline that runs as a service are put together.
enum PipelineObservability {
    /// What every instrument of this process reports to, from the first use on.
    private static let metrics: PrometheusMetrics = {
        let metrics = PrometheusMetrics()
        MetricsSystem.bootstrap(metrics)
        return metrics
    }()

    /// Chooses where metrics go; before the first queue is opened.
    static func start() { _ = metrics }

    /// The HTTP server for statements, health and whatever else a service shows.
    static func server(
        _ pipeline: Pipeline,
        statements: NotifyingStatementStore,
        backends: [Layer: OpenBackend],
        at listen: ListenArgument,
        logger: Logger,
        onListening: @escaping @Sendable (Int) -> Void
    ) -> some ApplicationProtocol {
        let queues = backends.mapValues(\.queue)
        return StatementsAPI(
            store: statements,
            logger: logger,
            metrics: metrics,
            queueFigures: { await figures(queues) },
            health: { pipeline.health() }
        ).application(host: listen.host, port: listen.port, onListening: onListening)
    }

    /// The figures of the layers' queues; one that cannot be asked is left out.
    private static func figures(_ queues: [Layer: any MessageQueue]) async -> [QueueStatistics] {
        var all: [QueueStatistics] = []
        for layer in Layer.workers {
            guard let queue = queues[layer], let name = layer.queue else { continue }
            if let figures = try? await queue.statistics(of: name) { all.append(figures) }
        }
        return all
    }
}
