import ArgumentParser
import Foundation
import Hummingbird
import Logging
import Messaging
import MessagingPipeline
import NIOCore
import ServiceLifecycle
import Synchronization
import UnixSignals

/// Runs layers of the pipeline in this process.
struct PipelineRunCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run layers of the statement pipeline.",
        discussion: """
            Reads statements (CSV, a JSON array or JSON Lines) and carries them through the layers collect → analysis → \
            deduplication → api, each on a queue of its own. Without --layer all of them run in this process; with it, \
            each can run in a process of its own, as often as you like. Records that cannot be used are reported with \
            their position and skipped. Ctrl-C drains.

            EXAMPLES:
              mq pipeline run --input statements.csv --until-idle
              mq pipeline run --backend redis --input statements.csv --until-idle --json
              mq pipeline run --backend redis --layer analysis --worker-prefix a-
              mq pipeline run --backend redis --layer analysis=redis://other:6379 --listen 127.0.0.1:8080
            """
    )

    @OptionGroup var global: GlobalOptions

    @Option(
        name: .customLong("layer"),
        help: ArgumentHelp(
            "A layer to run: \(LayerArgument.allValueStrings.joined(separator: ", ")); all by default.",
            discussion: "NAME=BACKEND puts the queue of a layer on another backend, in every process alike.",
            valueName: "name[=backend]"
        )
    )
    var layers: [LayerArgument] = []

    @Option(
        name: .customLong("input"),
        help: ArgumentHelp("A file of statements, or - for stdin. Can be repeated.", valueName: "file")
    )
    var inputs: [String] = []

    @Flag(help: "End when the inputs are read and every queue up to the last layer is empty.")
    var untilIdle = false

    @Option(help: ArgumentHelp("Serve the statements over HTTP.", valueName: "host:port"))
    var listen: ListenArgument?

    @Option(help: "Workers of each layer in this process.")
    var workers = 2

    @Option(help: "Statements that each worker handles at the same time.")
    var concurrency = 16

    @Option(
        help: ArgumentHelp(
            "What the workers' names begin with; other processes of the same layer use another one.",
            valueName: "text"
        )
    )
    var workerPrefix = "worker-"

    @Option(
        help: ArgumentHelp(
            "How long a statement belongs to its worker before another may take it over.",
            discussion: "Fixed when the queues are created.",
            valueName: "duration"
        ),
        transform: DurationArgument.parse
    )
    var lease: Duration = .seconds(30)

    @Option(help: "How often a statement is tried before it goes to the dead letters.")
    var maxAttempts = 4

    @Option(
        help: ArgumentHelp("How long handlers may go on after Ctrl-C.", valueName: "duration"),
        transform: DurationArgument.parse
    )
    var drain: Duration = .seconds(20)

    func validate() throws {
        guard 1...100 ~= workers else { throw ValidationError("--workers must be from 1 to 100") }
        guard 1...1000 ~= concurrency else { throw ValidationError("--concurrency must be from 1 to 1000") }
        guard 1...1000 ~= maxAttempts else { throw ValidationError("--max-attempts must be from 1 to 1000") }
        guard lease >= .milliseconds(10) else { throw ValidationError("--lease must be at least 10ms") }
        guard NameRules.isValid("\(workerPrefix)1") else {
            throw ValidationError(
                "--worker-prefix must be letters, digits and . _ - : /, beginning with one of the first"
            )
        }
        if inputs.count(where: { $0 == "-" }) > 1 { throw ValidationError("stdin can be given once") }
        if !inputs.isEmpty, !LayerArgument.chosen(layers).contains(.collect) {
            throw ValidationError("--input needs the layer collect")
        }
    }

    func run() async throws {
        let chosen = LayerArgument.chosen(layers)
        let files = inputs.map { InputFile(path: $0) }
        for file in files { try file.check() }
        let backends = try openBackends()
        do {
            try await run(chosen, files.map(\.input), backends)
            await close(backends)
        } catch {
            await close(backends)
            throw error
        }
    }

    private func run(_ chosen: Set<Layer>, _ inputs: [CollectInput], _ backends: [Layer: OpenBackend]) async throws {
        let output = global.output
        let logger = global.logger()
        if inputs.isEmpty, chosen.contains(.collect), chosen.count == 1 {
            throw CLIError(.usage, "the layer collect has nothing to read", do: "give --input")
        }
        if chosen != Set(Layer.allCases), backends.values.contains(where: \.isEphemeral) {
            output.note("the memory backend ends with this process, so no other process sees its queues")
        }
        guard let deduplication = backends[.deduplication]?.stores.deduplication,
            let statements = backends[.api]?.stores.statements
        else { return }
        let pipeline = Pipeline(
            queues: backends.mapValues(\.queue),
            deduplication: deduplication,
            statements: statements,
            configuration: PipelineConfiguration(
                workersPerLayer: workers,
                concurrency: concurrency,
                retryPolicy: RetryPolicy(maxAttempts: maxAttempts, backoff: RetryPolicy.default.backoff),
                lease: lease,
                drainDeadline: drain,
                workerPrefix: workerPrefix
            ),
            logger: logger
        )
        try await pipeline.declare()
        let notes = SkippedRecords()
        let service = PipelineService(pipeline, layers: chosen, inputs: inputs, untilIdle: untilIdle) { report in
            notes.tell(report.collect, output)
            output.progress("collected \(report.collect.collected) of \(report.collect.read) statements …")
        }
        try await serve(service, pipeline, statements, logger, output)
        output.progress(nil)
        guard let report = service.report else {
            throw CLIError(.failed, "the pipeline ended without a report", do: "see the log with --log-level debug")
        }
        notes.tell(report.collect, output)
        try finish(report, backends, output)
    }

    private func serve(
        _ service: PipelineService,
        _ pipeline: Pipeline,
        _ statements: any StatementStore,
        _ logger: Logger,
        _ output: Output
    ) async throws {
        var services: [ServiceGroupConfiguration.ServiceConfiguration] = [
            .init(
                service: service,
                successTerminationBehavior: .gracefullyShutdownGroup,
                failureTerminationBehavior: .gracefullyShutdownGroup
            )
        ]
        if let listen {
            let api = StatementsAPI(store: statements, logger: logger) { pipeline.health() }
            let application = api.application(host: listen.host, port: listen.port) { port in
                output.note("serving statements at http://\(listen.host):\(port)/statements")
            }
            services.append(.init(service: application))
        }
        var configuration = ServiceGroupConfiguration(
            services: services,
            gracefulShutdownSignals: [.sigint, .sigterm],
            logger: logger
        )
        configuration.maximumGracefulShutdownDuration = drain + .seconds(10)
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch let error as IOError {
            throw CLIError(
                .failed,
                "cannot listen at \(listen?.host ?? ""):\(listen?.port ?? 0): \(error)",
                do: "choose another --listen"
            )
        } catch let error as CollectError {
            throw CLIError(.failed, error.description, do: "check --input")
        }
    }

    // MARK: - Backends

    /// Opens each backend once, however many layers use it.
    private func openBackends() throws -> [Layer: OpenBackend] {
        var bySpec: [String: OpenBackend] = [:]
        var byLayer: [Layer: OpenBackend] = [:]
        for layer in Layer.workers {
            let spec = layers.last { $0.layer == layer && $0.backend != nil }?.backend
            let key = spec ?? ""
            let opened = try bySpec[key] ?? global.open(spec)
            bySpec[key] = opened
            byLayer[layer] = opened
        }
        return byLayer
    }

    private func close(_ backends: [Layer: OpenBackend]) async {
        for backend in backends.values { await backend.queue.close() }
    }

    // MARK: - Result

    private func finish(_ report: PipelineReport, _ backends: [Layer: OpenBackend], _ output: Output) throws {
        if report.collect.malformed > report.collect.malformedRecords.count {
            output.note("… and \(report.collect.malformed - report.collect.malformedRecords.count) more records")
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
        if report.wasInterrupted { throw end(.partly) }
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
