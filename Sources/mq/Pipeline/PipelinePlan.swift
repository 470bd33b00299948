import Messaging
import MessagingPipeline

/// What a process of the pipeline does: the flags, the environment, the configuration file and the defaults together.
struct PipelinePlan: Sendable {
    struct LayerPlan: Sendable, Equatable {
        let layer: Layer
        /// The backend of the layer's queue; `nil` means the one of all commands.
        let backend: Settings.Value?
        let workers: Int
        let concurrency: Int
        let retryPolicy: RetryPolicy
        let lease: Duration
    }

    /// The layers that run in this process.
    let running: Set<Layer>
    /// Every layer that has a queue, also those that run elsewhere.
    let layers: [LayerPlan]
    /// Files and stdin, which are read once.
    let files: [InputFile]
    /// URLs, which are fetched once or again and again.
    let remotes: [RemoteSource]
    /// Whether the sources come from the configuration file, and follow it when it is read again.
    let followsFile: Bool
    let untilIdle: Bool
    let listen: ListenArgument?
    let drain: Duration
    let workerPrefix: String
    /// Where the layers keep what is no message; `nil` means beside their queues.
    let stores: Settings.Value?

    /// Decides what runs.
    ///
    /// - Parameters:
    ///   - options: The flags.
    ///   - backend: `--backend`.
    ///   - settings: The environment and the configuration file.
    /// - Throws: `CLIError` when there is nothing to do or an input cannot be used.
    init(_ options: PipelineOptions, backend: String?, settings: Settings) throws {
        let file = settings.config?.pipeline ?? PipelineFile()
        let named = options.layers.filter { $0.backend == nil }
        let fromFile = file.layers.map { Set($0.filter(\.value.isRun).keys) } ?? Set(Layer.allCases)
        running = named.isEmpty ? fromFile : LayerArgument.chosen(options.layers)
        layers = Layer.workers.map { Self.layer($0, options, backend, settings, file) }
        followsFile = options.inputs.isEmpty
        let formats = options.inputFormat ?? .automatic
        let sources: [PipelineFile.Source] =
            followsFile
            ? file.sources
            : try options.inputs.map { try Self.source($0, formats, options.every) }
        guard options.inputs.isEmpty || running.contains(.collect) else {
            throw CLIError(
                .usage,
                "--input is read by the layer collect, which does not run here",
                do: "add 'collect' to 'layers' in the configuration file, give '--layer collect', or leave --input out"
            )
        }
        let used = running.contains(.collect) ? sources : []
        files = used.compactMap {
            guard case .file(let path) = $0.place else { return nil }
            return InputFile(path: path, name: $0.name, format: $0.format.fileFormat)
        }
        remotes = used.compactMap { if case .remote(let source) = $0.place { source } else { nil } }
        untilIdle = options.untilIdle
        listen = options.listen ?? file.listen
        drain = options.drain ?? file.drain ?? .seconds(20)
        workerPrefix = options.workerPrefix ?? file.workerPrefix ?? "worker-"
        stores =
            options.stores.map { Settings.Value(text: $0, source: "--stores") }
            ?? file.stores.map { Settings.Value(text: $0, source: settings.config?.name ?? "the file") }
        if let stores, !PipelineStores.canBe(at: stores.text) {
            throw CLIError(
                .usage,
                "\(stores.source) does not name a backend that keeps statements",
                do: "give memory, sqlite, redis, or a URL of one of them"
            )
        }
        if used.isEmpty, running == [.collect] {
            throw CLIError(
                .usage,
                "the layer collect has nothing to read",
                do: "give --input, or 'sources' in the configuration file"
            )
        }
    }

    /// How the pipeline of the library runs.
    var configuration: PipelineConfiguration {
        var configuration = PipelineConfiguration(drainDeadline: drain, workerPrefix: workerPrefix)
        for layer in layers {
            configuration.layers[layer.layer] = .init(
                workers: layer.workers,
                concurrency: layer.concurrency,
                retryPolicy: layer.retryPolicy,
                lease: layer.lease
            )
        }
        return configuration
    }

    private static func source(
        _ input: String,
        _ format: RemoteSource.Format,
        _ every: Duration?
    ) throws -> PipelineFile.Source {
        guard input.contains("://") else { return .init(place: .file(input), format: format) }
        do throws(SourceError) {
            return .init(place: .remote(try RemoteSource(url: input, format: format, every: every)), format: format)
        } catch {
            throw CLIError(.usage, "the input '\(input)' cannot be used: \(error.description)", do: "check --input")
        }
    }

    /// A flag comes before the environment, that before what the file says of the layer and then of all.
    private static func layer(
        _ layer: Layer,
        _ options: PipelineOptions,
        _ backend: String?,
        _ settings: Settings,
        _ file: PipelineFile
    ) -> LayerPlan {
        let own = file.layers?[layer] ?? PipelineFile.LayerFile()
        let shared = file.shared
        var policy = RetryPolicy.default
        policy.maxAttempts = options.maxAttempts ?? own.attempts ?? shared.attempts ?? policy.maxAttempts
        policy.backoff = own.backoff ?? shared.backoff ?? policy.backoff
        var place = options.layers.last { $0.layer == layer && $0.backend != nil }?.backend
            .map { Settings.Value(text: $0, source: "--layer \(layer.rawValue)") }
        let isChosenElsewhere = backend != nil || !(settings.environment["MQ_BACKEND"] ?? "").isEmpty
        if place == nil, !isChosenElsewhere {
            place = own.backend.map {
                Settings.Value(text: $0, source: "\(settings.config?.name ?? "the file"), layer \(layer.rawValue)")
            }
        }
        return LayerPlan(
            layer: layer,
            backend: place,
            workers: options.workers ?? own.workers ?? shared.workers ?? 2,
            concurrency: options.concurrency ?? own.concurrency ?? shared.concurrency ?? 16,
            retryPolicy: policy,
            lease: options.lease ?? own.lease ?? shared.lease ?? .seconds(30)
        )
    }
}

extension RemoteSource.Format {
    /// The format for a file; `nil` tells it from the first byte.
    var fileFormat: StatementParser.Format? {
        switch self {
        case .automatic, .feed: nil
        case .json: .jsonArray
        case .jsonLines: .jsonLines
        case .csv: .csv
        }
    }
}
