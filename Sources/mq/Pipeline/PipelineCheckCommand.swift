import ArgumentParser
import Messaging
import MessagingPipeline

/// Checks a configuration and shows what would run.
struct PipelineCheckCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a pipeline's configuration and show what would run.",
        discussion: """
            Takes the same options, environment and configuration file as 'mq pipeline run', and shows what they come to, \
            without credentials. Nothing is connected, fetched, created or listened on; input files are looked at, to \
            see that they can be read. Everything that is wrong with the file is told, with line and column.

            EXAMPLES:
              mq pipeline check
              mq pipeline check --config /etc/mq/mq.yaml
              mq pipeline check --config mq.yaml --layer analysis --json

            ENVIRONMENT:
              MQ_CONFIG, MQ_BACKEND, MQ_LOG_LEVEL, MQ_LOG_FORMAT, and what the configuration file names as ${NAME}.

            EXIT CODES:
              0 it can be used, 1 or 4 an input cannot be read, 64 it cannot be used.
            """
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup(title: "Pipeline options") var options: PipelineOptions

    func run() async throws {
        let settings = try global.settings()
        let diagnostics = try global.diagnostics(settings.config?.pipeline)
        let plan = try PipelinePlan(options, backend: global.backend, settings: settings)
        let report = try PipelinePlanReport(plan, backend: global.backend, settings: settings, diagnostics)
        for file in plan.files { try file.check() }
        let output = global.output
        if output.isJSON { return try output.document(report.members) }
        try output.table(report.layers)
        if !report.sources.rows.isEmpty {
            try output.line("")
            try output.table(report.sources)
        }
        try output.line("")
        for line in report.lines { try output.line(line) }
    }
}
