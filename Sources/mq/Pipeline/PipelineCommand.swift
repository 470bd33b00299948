import ArgumentParser

/// The layered pipeline.
struct PipelineCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pipeline",
        abstract: "Carry statements through the layers collect, analysis, deduplication and api.",
        discussion: """
            EXAMPLES:
              mq pipeline run --input statements.csv --until-idle
              mq pipeline check --config mq.yaml
            """,
        subcommands: [PipelineRunCommand.self, PipelineCheckCommand.self]
    )
}
