import ArgumentParser

/// Everything about the contract suite.
struct ConformanceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "conformance",
        abstract: "Check that a backend keeps the contract, and compare backends.",
        discussion: """
            Without a further word it runs the suite: 'mq conformance --backend redis' is \
            'mq conformance run --backend redis'. docs/conformance.md explains cases, tiers and outcomes.

            EXAMPLES:
              mq conformance --backend redis
              mq conformance run --list
              mq conformance matrix memory.json redis.json > matrix.md
            """,
        subcommands: [ConformanceRunCommand.self, ConformanceMatrixCommand.self],
        defaultSubcommand: ConformanceRunCommand.self
    )
}
