import Hummingbird
import Logging
import Messaging
import MessagingPipeline
import NIOCore
import ServiceLifecycle
import Synchronization

/// Opens what a plan names, runs it as a service and says what came of it.
struct PipelineRun: Sendable {
    private let plan: PipelinePlan
    private let global: GlobalOptions
    private let settings: Settings
    private let output: Output
    private let logger: Logger

    init(_ plan: PipelinePlan, _ global: GlobalOptions, _ settings: Settings) {
        self.plan = plan
        self.global = global
        self.settings = settings
        output = global.output
        logger = global.logger()
    }

    func run() async throws {
        let backends = try openBackends()
        let stores = try plan.stores.map { place in
            try Backends.open(
                place.text,
                from: place.source,
                creates: true,
                settings: settings,
                timeout: global.timeout,
                logger: logger
            )
        }
        do {
            try await run(backends, stores?.stores)
            await close(backends, stores)
        } catch {
            await close(backends, stores)
            throw error
        }
    }

    /// Runs on backends; `named` is what the layers keep where that is not beside their queues.
    private func run(_ backends: [Layer: OpenBackend], _ named: PipelineStores?) async throws {
        if plan.running != Set(Layer.allCases), backends.values.contains(where: \.isEphemeral) {
            output.note("the memory backend ends with this process, so no other process sees its queues")
        }
        guard let deduplication = (named ?? backends[.deduplication]?.stores)?.deduplication,
            let stored = (named ?? backends[.api]?.stores)?.statements,
            let states = (named ?? backends[.analysis]?.stores)?.sources
        else { return }
        // What is applied here wakes the live streams of this process.
        let statements = NotifyingStatementStore(stored)
        let pipeline = Pipeline(
            queues: backends.mapValues(\.queue),
            deduplication: deduplication,
            statements: statements,
            configuration: plan.configuration,
            logger: logger
        )
        let sources = SourceList(plan.remotes)
        let notes = SkippedRecords()
        let service = PipelineService(
            pipeline,
            layers: plan.running,
            inputs: plan.files.map(\.input),
            sources: sources,
            sourceStates: states,
            untilIdle: plan.untilIdle
        ) { [output] report in
            notes.tell(report.collect, output)
            output.progress("collected \(report.collect.collected) of \(report.collect.read) statements …")
        }
        do {
            try await serve(service, pipeline, statements, backends, sources)
        } catch is CancellationError {
            // A signal came before there was anything to drain.
            output.note("stopped before it had begun")
            if plan.untilIdle { throw end(.partly) }
            return
        }
        output.progress(nil)
        guard let report = service.report else {
            throw CLIError(.failed, "the pipeline ended without a report", do: "see the log with --log-level debug")
        }
        notes.tell(report.collect, output)
        try finish(report, backends)
    }

    private func serve(
        _ service: PipelineService,
        _ pipeline: Pipeline,
        _ statements: NotifyingStatementStore,
        _ backends: [Layer: OpenBackend],
        _ sources: SourceList
    ) async throws {
        let output = output
        var services: [ServiceGroupConfiguration.ServiceConfiguration] = [
            .init(
                service: service,
                successTerminationBehavior: .gracefullyShutdownGroup,
                failureTerminationBehavior: .gracefullyShutdownGroup
            )
        ]
        if let listen = plan.listen {
            let server = PipelineObservability.server(
                pipeline,
                statements: statements,
                backends: backends,
                at: listen,
                logger: logger
            ) { port in
                output.note("serving statements at http://\(listen.host):\(port)/statements")
            }
            services.append(.init(service: server))
        }
        // Signals are ours: ServiceGroup would drain on each of them, and knows nothing of SIGHUP.
        var configuration = ServiceGroupConfiguration(services: services, logger: logger)
        configuration.maximumGracefulShutdownDuration = plan.drain + .seconds(10)
        let reload = SourceReload(settings, followsFile: plan.followsFile, sources: sources, output: output)
        let control = ServiceControl(
            output: output,
            drain: plan.drain,
            unfinished: { pipeline.status.values.joined().reduce(0) { $0 + $1.inFlight } },
            reload: { reload.reload() }
        )
        do {
            try await control.run(
                { try await pipeline.declare() },
                then: ServiceGroup(configuration: configuration)
            ) {
                guard !plan.untilIdle else { return }
                let layers = Layer.allCases.filter(plan.running.contains).map(\.rawValue)
                output.note("running \(layers.joined(separator: ", ")); SIGTERM or Ctrl-C drains")
            }
        } catch let error as IOError {
            throw CLIError(
                .failed,
                "cannot listen at \(plan.listen?.host ?? ""):\(plan.listen?.port ?? 0): \(error)",
                do: "choose another --listen"
            )
        } catch let error as CollectError {
            throw CLIError(.failed, error.description, do: "check the inputs")
        }
    }

    // MARK: - Backends

    /// Opens each backend once, however many layers use it.
    private func openBackends() throws -> [Layer: OpenBackend] {
        var byPlace: [String: OpenBackend] = [:]
        var byLayer: [Layer: OpenBackend] = [:]
        for layer in plan.layers {
            let key = layer.backend?.text ?? ""
            let opened =
                try byPlace[key]
                ?? Backends.open(
                    layer.backend?.text ?? global.backend,
                    from: layer.backend?.source ?? "--backend",
                    creates: true,
                    settings: settings,
                    timeout: global.timeout,
                    logger: logger
                ).following(settings, timeout: global.timeout, logger: logger)
            byPlace[key] = opened
            byLayer[layer.layer] = opened
        }
        return byLayer
    }

    private func close(_ backends: [Layer: OpenBackend], _ stores: OpenBackend?) async {
        for backend in backends.values { await backend.queue.close() }
        await stores?.queue.close()
    }

    // MARK: - Result

    private func finish(_ report: PipelineReport, _ backends: [Layer: OpenBackend]) throws {
        if report.collect.malformed > report.collect.malformedRecords.count {
            output.note("… and \(report.collect.malformed - report.collect.malformedRecords.count) more records")
        }
        if report.collect.changed > 0 {
            output.note(
                "\(Format.count(report.collect.changed, "statement")) not collected: the id is known with another content; "
                    + "the first one counts, so let every input have ids of its own"
            )
        }
        let summary = PipelineSummary(report, backends: backends)
        if output.isJSON {
            try output.document(summary.members)
        } else {
            for line in summary.lines { try output.line(line) }
        }
        if report.collect.read == 0, report.collect.malformed > 0 {
            throw CLIError(
                .failed,
                "no record of the input could be used",
                do: "check that it has a column or member 'text', as CSV, a JSON array or JSON Lines"
            )
        }
        // A service tries a source again; a run that ends has to say that something is missing.
        let isMissing = plan.untilIdle && report.collect.sources.contains { $0.lastError != nil }
        if report.wasInterrupted || isMissing { throw end(.partly) }
    }
}

/// Tells of records that were skipped as soon as they are known, each once.
private final class SkippedRecords: Sendable {
    private let told = Mutex(0)

    func tell(_ report: CollectReport, _ output: Output) {
        let new = told.withLock { told in
            defer { told = max(told, report.malformedRecords.count) }
            return report.malformedRecords.dropFirst(told)
        }
        guard !new.isEmpty else { return }
        output.progress(nil)
        for record in new { output.note("skipped \(record)") }
    }
}
