import ArgumentParser

/// The layered pipeline.
struct PipelineCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pipeline",
        abstract: "Carry statements through the layers collect, analysis, deduplication and api.",
        subcommands: [PipelineRunCommand.self]
    )
}
