import ArgumentParser
import MessagingPipeline

/// Runs layers of the pipeline in this process.
struct PipelineRunCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run layers of the statement pipeline.",
        discussion: """
            Reads statements (CSV, JSON, JSON Lines; RSS and Atom from URLs) and carries them through the layers collect → \
            analysis → deduplication → api, each on a queue of its own. Without --layer all of them run in this process; \
            with it, each can run in a process of its own, as often as you like. Records that cannot be used are reported \
            with their position and skipped.

            A configuration file can say all of it, and more: see 'pipeline:' in docs/service.md, and 'mq pipeline check'. \
            A flag comes before the environment, that before the file, that before the default.

            SIGINT (Ctrl-C) and SIGTERM drain: intake stops, and what is running may go on for --drain. A second one ends \
            at once. SIGHUP reads the sources of the configuration file again.

            EXAMPLES:
              mq pipeline run --input statements.csv --until-idle
              mq pipeline run --input https://example.com/feed.xml --every 5m --listen 127.0.0.1:8080
              mq pipeline run --backend redis --layer analysis --worker-prefix a-
              mq pipeline run --backend redis --layer analysis=redis://other:6379 --input statements.csv
              mq pipeline run --config mq.yaml --log-format json

            ENVIRONMENT:
              MQ_CONFIG, MQ_BACKEND, MQ_LOG_LEVEL, MQ_LOG_FORMAT, and what the configuration file names as ${NAME}.

            EXIT CODES:
              0 done, 1 failed, 3 stopped before the inputs were read, 4 an input is missing, 6 broker unreachable, \
            64 bad usage or configuration, 130 and 143 ended by a second signal.
            """
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup(title: "Pipeline options") var options: PipelineOptions

    func run() async throws {
        let settings = try global.settings()
        Diagnostics.use(try global.diagnostics(settings.config?.pipeline))
        let plan = try PipelinePlan(options, backend: global.backend, settings: settings)
        for file in plan.files { try file.check() }
        PipelineObservability.start()
        try await PipelineRun(plan, global, settings).run()
    }
}
