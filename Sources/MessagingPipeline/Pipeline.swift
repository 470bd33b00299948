import Logging
import Messaging
import ServiceLifecycle
import Synchronization

/// How a pipeline runs.
public struct PipelineConfiguration: Sendable {
    /// How many workers each layer has in this process.
    public var workersPerLayer: Int
    /// How many statements each worker handles at the same time.
    public var concurrency: Int
    /// How often and when a failed statement is tried again.
    public var retryPolicy: RetryPolicy
    /// How long a delivery belongs to its worker; the same in every process.
    public var lease: Duration
    /// How long handlers may go on after shutdown has begun.
    public var drainDeadline: Duration
    /// What the names of the workers begin with; different in every process that runs the same layer.
    public var workerPrefix: String
    /// What is different for a layer.
    public var layers: [Layer: LayerConfiguration] = [:]

    /// Creates a configuration.
    ///
    /// - Parameters:
    ///   - workersPerLayer: How many workers each layer has in this process; 2 by default.
    ///   - concurrency: How many statements each worker handles at the same time; 16 by default.
    ///   - retryPolicy: How often and when a failed statement is tried again.
    ///   - lease: How long a delivery belongs to its worker; 30 s by default.
    ///   - drainDeadline: How long handlers may go on after shutdown has begun; 20 s by default.
    ///   - workerPrefix: What the names of the workers begin with; `worker-` gives `worker-1` and so on.
    public init(
        workersPerLayer: Int = 2,
        concurrency: Int = 16,
        retryPolicy: RetryPolicy = .default,
        lease: Duration = .seconds(30),
        drainDeadline: Duration = .seconds(20),
        workerPrefix: String = "worker-"
    ) {
        self.workersPerLayer = max(1, workersPerLayer)
        self.concurrency = max(1, concurrency)
        self.retryPolicy = retryPolicy
        self.lease = lease
        self.drainDeadline = drainDeadline
        self.workerPrefix = workerPrefix
    }

    /// How many workers a layer has in this process.
    func workers(of layer: Layer) -> Int { max(1, layers[layer]?.workers ?? workersPerLayer) }

    /// How many statements each worker of a layer handles at the same time.
    func concurrency(of layer: Layer) -> Int { max(1, layers[layer]?.concurrency ?? concurrency) }

    /// How often and when a failed statement of a layer is tried again.
    func retryPolicy(of layer: Layer) -> RetryPolicy { layers[layer]?.retryPolicy ?? retryPolicy }

    /// How long a delivery of a layer belongs to its worker.
    func lease(of layer: Layer) -> Duration { layers[layer]?.lease ?? lease }
}

/// The statement pipeline: collect → analyse → deduplicate → API, each layer on a queue of its own, on any backend.
///
/// Every layer publishes its result before it acknowledges what it was made from, under an id that follows from it: a
/// crash in between repeats the work and adds nothing. What the layers keep is applied idempotently and in any order, so
/// the end result does not depend on crashes, on the number of workers or on their speed.
public final class Pipeline: Sendable {
    private let queues: [Layer: any MessageQueue]
    private let handlers: LayerHandlers
    private let statements: any StatementStore
    private let configuration: PipelineConfiguration
    private let clock: QueueClock
    private let logger: Logger
    private let meters: [Layer: LayerMeter]
    private let workers = Mutex<[Layer: [Worker]]>([:])

    /// Creates a pipeline.
    ///
    /// - Parameters:
    ///   - queues: The backend of each layer's queue.
    ///   - deduplication: Where fingerprints are kept; shared by all processes of that layer.
    ///   - statements: Where statements are kept; shared by all processes of the last layer.
    ///   - analyzer: What analyses statements.
    ///   - configuration: Workers, retries and deadlines.
    ///   - clock: The time for pauses and measurements.
    ///   - logger: Where workers report.
    public init(
        queues: [Layer: any MessageQueue],
        deduplication: any DeduplicationStore,
        statements: any StatementStore,
        analyzer: any Analyzer = LexiconAnalyzer(),
        configuration: PipelineConfiguration = PipelineConfiguration(),
        clock: QueueClock = .system,
        logger: Logger
    ) {
        self.queues = queues
        self.handlers = LayerHandlers(analyzer: analyzer, deduplication: deduplication, statements: statements)
        self.statements = statements
        self.configuration = configuration
        self.clock = clock
        self.logger = logger
        self.meters = Dictionary(uniqueKeysWithValues: Layer.workers.map { ($0, LayerMeter(clock: clock)) })
    }

    /// Creates the queues of all layers that have a backend here.
    ///
    /// Idempotent.
    ///
    /// - Throws: `QueueError` as `MessageQueue.declare(_:)`.
    public func declare() async throws {
        for layer in Layer.workers {
            guard let queue = queues[layer], let definition = layer.definition(lease: configuration.lease(of: layer))
            else {
                continue
            }
            try await queue.declare(definition)
        }
    }

    /// How many statements each worker of a layer handles at the same time.
    func concurrency(of layer: Layer) -> Int { configuration.concurrency(of: layer) }

    /// What the workers of this process are doing, for health checks.
    public var status: [Layer: [Worker.Status]] {
        workers.withLock { $0.mapValues { $0.map(\.status) } }
    }

    /// Runs layers until shutdown, or until nothing is left to do.
    ///
    /// - Parameters:
    ///   - layers: The layers that run in this process.
    ///   - inputs: What the first layer reads, one after the other.
    ///   - sources: What the first layer reads over the network, each on its own schedule; a change of the list takes
    ///     effect while the pipeline runs. A source that fails is reported and tried again.
    ///   - sourceStates: Where it is kept what is known of sources, so that what has not changed is not read again.
    ///   - fetching: How sources are read, and where that ends.
    ///   - untilIdle: Whether to end when the inputs are read, every source has been read or has failed once, and every
    ///     queue up to the last of the layers is empty.
    ///   - progress: Called with a report now and then.
    /// - Returns: What was done.
    /// - Throws: `CollectError` for an input that cannot be read, `QueueError` when a queue cannot be used at all.
    public func run(
        layers: Set<Layer> = Set(Layer.allCases),
        inputs: [CollectInput] = [],
        sources: SourceList = SourceList(),
        sourceStates: any SourceStateStore = MemorySourceStateStore(),
        fetching: FetchConfiguration = FetchConfiguration(),
        untilIdle: Bool,
        progress: @escaping @Sendable (PipelineReport) -> Void = { _ in }
    ) async throws -> PipelineReport {
        let start = clock.now()
        let signal = ProgressSignal()
        let running = try makeWorkers(layers, signal)
        workers.withLock { $0 = running }
        let board = CollectBoard()
        var collectTime: Duration?
        let collects = layers.contains(.collect)
        // A list that is empty now may be filled later, as long as there are workers that keep the process going.
        let follows = collects && (!sources.sources.isEmpty || (!untilIdle && !running.isEmpty))
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for worker in running.values.joined() {
                group.addTask {
                    try await worker.run()
                    return false
                }
            }
            if collects, !inputs.isEmpty || follows {
                let collector = try makeCollector(board, progress)
                let reading = SourceReading(
                    list: follows ? sources : SourceList(),
                    states: sourceStates,
                    configuration: fetching,
                    mode: untilIdle ? .once : .always(endsWhenRead: running.isEmpty)
                )
                group.addTask {
                    do {
                        try await cancelWhenGracefulShutdown { try await self.collect(inputs, reading, collector) }
                        return true
                    } catch is CancellationError {
                        signal.interrupt()
                        return false
                    }
                }
            } else if untilIdle {
                group.addTask { true }
            }
            for try await isCollected in group where isCollected {
                collectTime = clock.now() - start
                if untilIdle {
                    group.addTask {
                        await cancelWhenGracefulShutdown {
                            await self.waitUntilIdle(layers, running, signal)
                        }
                        for worker in running.values.joined() { worker.stop() }
                        return false
                    }
                }
            }
        }
        let elapsed = clock.now() - start
        var result = try await report(layers, board.report, collectTime ?? elapsed, elapsed)
        result.wasInterrupted = signal.isInterrupted
        return result
    }

    // MARK: - Layers

    private func makeWorkers(_ layers: Set<Layer>, _ signal: ProgressSignal) throws -> [Layer: [Worker]] {
        var made: [Layer: [Worker]] = [:]
        for layer in Layer.workers where layers.contains(layer) {
            guard let source = queues[layer], let name = layer.queue, let group = layer.group, let meter = meters[layer]
            else { throw CollectError("the layer '\(layer.rawValue)' has no backend") }
            let downstream = layer.next.flatMap { queues[$0] }.map {
                Downstream(queue: $0, layer: layer, clock: clock)
            }
            guard let handler = handlers.handler(layer, downstream) else {
                throw CollectError("the layer after '\(layer.rawValue)' has no backend")
            }
            made[layer] = (1...configuration.workers(of: layer)).map { number in
                Worker(
                    queue: source,
                    from: name,
                    group: group,
                    consumer: "\(configuration.workerPrefix)\(number)",
                    configuration: WorkerConfiguration(
                        concurrency: configuration.concurrency(of: layer),
                        retryPolicy: configuration.retryPolicy(of: layer),
                        drainDeadline: configuration.drainDeadline,
                        receiveWait: .seconds(5)
                    ),
                    clock: clock,
                    logger: logger,
                    onProgress: { signal.send() },
                    handler: meter.measured(handler)
                )
            }
        }
        return made
    }

    private func makeCollector(
        _ board: CollectBoard,
        _ progress: @escaping @Sendable (PipelineReport) -> Void
    ) throws -> Collector {
        guard let queue = queues[.analysis] else { throw CollectError("the layer 'analysis' has no backend") }
        return Collector(queue: queue, clock: clock, board: board) { progress(PipelineReport(collect: $0)) }
    }

    /// Reads inputs and sources, side by side.
    private func collect(_ inputs: [CollectInput], _ reading: SourceReading, _ collector: Collector) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await collector.collect(inputs) }
            group.addTask {
                do {
                    try await reading.run(collector, clock: self.clock, logger: self.logger)
                } catch is CancellationError where reading.mode.isEndless {
                    // What has no end of its own is not interrupted by being stopped.
                }
            }
            try await group.waitForAll()
        }
    }

    // MARK: - Idleness

    /// Waits until every queue up to the last running layer is empty.
    ///
    /// A message is always in some queue: a layer publishes before it acknowledges, so queues that are seen empty one
    /// after the other downstream are empty.
    private func waitUntilIdle(_ layers: Set<Layer>, _ running: [Layer: [Worker]], _ signal: ProgressSignal) async {
        let last = Layer.workers.lastIndex { layers.contains($0) } ?? -1
        let watched = Layer.workers.prefix(last + 1)
        while true {
            if Task.isCancelled { return signal.interrupt() }
            func isBusy() -> Bool { running.values.joined().contains { $0.status.inFlight > 0 } }
            // Again afterwards: what was delivered meanwhile was in no figure.
            if !isBusy(), await areEmpty(watched, running), !isBusy() { return }
            // Woken by every settled batch; the deadline is for work that other processes finish.
            await signal.wait(atMost: .seconds(1), clock: clock)
        }
    }

    /// How much later than asked for a retry may come.
    private static let slack: Duration = .seconds(2)

    private func areEmpty(_ layers: some Sequence<Layer>, _ running: [Layer: [Worker]]) async -> Bool {
        for layer in layers {
            guard let queue = queues[layer], let name = layer.queue, let group = layer.group else { return false }
            do {
                let figures = try await queue.statistics(of: name)[group]
                guard let figures, (figures.lag.value ?? figures.ready.value) == 0 else { return false }
                // Where a broker does not tell what consumers hold and what waits for its time, the workers of this
                // process are all that is known.
                let waits = (running[layer] ?? []).contains { worker in
                    worker.status.untilLastRetry.map { $0 + Self.slack > .zero } ?? false
                }
                if figures.lag.value == nil, waits { return false }
            } catch {
                logger.debug("a queue cannot be asked whether it is empty", metadata: [LogKeys.error: "\(error)"])
                return false
            }
        }
        return true
    }

    // MARK: - Report

    private func report(
        _ layers: Set<Layer>,
        _ collected: CollectReport,
        _ collectTime: Duration,
        _ elapsed: Duration
    ) async throws -> PipelineReport {
        var report = PipelineReport(collect: collected)
        report.elapsed = elapsed
        if layers.contains(.collect) {
            report.layers.append(
                .init(layer: .collect, handled: collected.read, failed: 0, elapsed: collectTime, busy: collectTime)
            )
        }
        for layer in Layer.workers where layers.contains(layer) {
            guard let reading = meters[layer]?.reading else { continue }
            report.layers.append(
                .init(
                    layer: layer,
                    handled: reading.handled,
                    failed: reading.failed,
                    elapsed: reading.elapsed,
                    busy: reading.busy
                )
            )
        }
        for layer in Layer.workers {
            guard let queue = queues[layer], let name = layer.queue, let group = layer.group else { continue }
            // A queue that another process has not declared yet has no dead letters.
            guard let figures = try? await queue.statistics(of: name) else { continue }
            if let dead = figures[group]?.dead.value, dead > 0 { report.deadLetters[layer] = dead }
        }
        report.counts = try await statements.counts()
        return report
    }
}
