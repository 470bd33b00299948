import ArgumentParser
import Messaging
import MessagingPipeline

/// The options of `mq pipeline run` and `mq pipeline check`; each comes before the configuration file.
struct PipelineOptions: ParsableArguments {
    @Option(
        name: .customLong("layer"),
        help: ArgumentHelp(
            "A layer to run: \(LayerArgument.allValueStrings.joined(separator: ", ")); all by default.",
            discussion:
                "Can be repeated. NAME=BACKEND puts the queue of a layer on another backend, in every process alike.",
            valueName: "name[=backend]"
        ),
        completion: .list(LayerArgument.allValueStrings)
    )
    var layers: [LayerArgument] = []

    @Option(
        name: .customLong("input"),
        help: ArgumentHelp(
            "Statements: a file, an http or https URL, or - for stdin.",
            discussion: "Can be repeated, files and URLs mixed. Replaces 'sources' of the configuration file.",
            valueName: "file|url"
        ),
        completion: .file()
    )
    var inputs: [String] = []

    @Option(
        help: ArgumentHelp(
            "Fetch each URL again after this time, such as 5m; else once.",
            valueName: "duration"
        ),
        transform: DurationArgument.parse
    )
    var every: Duration?

    @Option(
        help: ArgumentHelp(
            "How the inputs are written; told from their first bytes by default.",
            discussion: "A feed (RSS or Atom) must be a URL.",
            valueName: "format"
        )
    )
    var inputFormat: RemoteSource.Format?

    @Option(
        help: ArgumentHelp(
            "Where statements, fingerprints and what is known of sources are kept: memory, sqlite, redis or a URL.",
            discussion: """
                By default on the backend of the layer's queue, and beside RabbitMQ and Kafka in the SQLite file. Name it before \
                a queue moves: what is kept does not move with it.
                """,
            valueName: "name|url"
        )
    )
    var stores: String?

    @Flag(help: "End when the inputs are read and every queue up to the last layer is empty.")
    var untilIdle = false

    @Option(help: ArgumentHelp("Serve the statements over HTTP.", valueName: "host:port"))
    var listen: ListenArgument?

    @Option(help: ArgumentHelp("Workers of each layer in this process; 2 by default.", valueName: "number"))
    var workers: Int?

    @Option(
        help: ArgumentHelp(
            "Statements that each worker handles at the same time; 16 by default.",
            valueName: "number"
        )
    )
    var concurrency: Int?

    @Option(
        help: ArgumentHelp(
            "What the workers' names begin with; worker- by default.",
            discussion: "Each process of the same layer uses another one.",
            valueName: "text"
        )
    )
    var workerPrefix: String?

    @Option(
        help: ArgumentHelp(
            "How long a statement belongs to its worker before another may take it over; 30s by default.",
            discussion: "Fixed when the queues are created.",
            valueName: "duration"
        ),
        transform: DurationArgument.parse
    )
    var lease: Duration?

    @Option(
        help: ArgumentHelp(
            "How often a statement is tried before it goes to the dead letters; 4 by default.",
            valueName: "number"
        )
    )
    var maxAttempts: Int?

    @Option(
        help: ArgumentHelp(
            "How long handlers may go on after SIGINT or SIGTERM; 20s by default.",
            valueName: "duration"
        ),
        transform: DurationArgument.parse
    )
    var drain: Duration?

    func validate() throws {
        try check(workers, "--workers", PipelineLimits.workers)
        try check(concurrency, "--concurrency", PipelineLimits.concurrency)
        try check(maxAttempts, "--max-attempts", PipelineLimits.attempts)
        try check(lease, "--lease", PipelineLimits.lease)
        try check(drain, "--drain", PipelineLimits.drain)
        try check(every, "--every", PipelineLimits.every)
        if let workerPrefix, !NameRules.isValid("\(workerPrefix)1") {
            throw ValidationError(
                "--worker-prefix must be letters, digits and . _ - : /, beginning with one of the first"
            )
        }
        if inputs.count(where: { $0 == "-" }) > 1 { throw ValidationError("stdin can be given once") }
        if !inputs.isEmpty, !LayerArgument.chosen(layers).contains(.collect) {
            throw ValidationError("--input needs the layer collect")
        }
        let urls = inputs.filter { $0.contains("://") }
        if every != nil, urls.isEmpty { throw ValidationError("--every needs an --input that is a URL") }
        if every != nil, untilIdle { throw ValidationError("--every goes on for ever; leave it or --until-idle out") }
        if inputFormat != nil, inputs.isEmpty { throw ValidationError("--input-format needs --input") }
        if inputFormat == .feed, urls.count < inputs.count {
            throw ValidationError("a feed must be a URL; a file is auto, json, jsonl or csv")
        }
    }

    private func check<Value>(_ value: Value?, _ name: String, _ range: ClosedRange<Value>) throws {
        guard let value, !(range ~= value) else { return }
        func text(_ bound: Value) -> String { (bound as? Duration).map(Format.age) ?? "\(bound)" }
        throw ValidationError("\(name) must be from \(text(range.lowerBound)) to \(text(range.upperBound))")
    }
}

extension RemoteSource.Format: ExpressibleByArgument {}
