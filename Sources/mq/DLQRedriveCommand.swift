import ArgumentParser
import Messaging

/// Sends dead letters to their groups again.
struct DLQRedriveCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "redrive",
        abstract: "Send dead letters to their groups again.",
        discussion: """
            Give ids of 'mq dlq list', or a filter, or --all. A filter and --all show the count and a sample first and \
            ask for the queue's name; without a terminal they need --yes. What dies again meanwhile is not sent twice.

            EXAMPLES:
              mq dlq redrive orders 1718000000000-0 1718000000001-0
              mq dlq redrive orders --group billing --error timeout --dry-run
              mq dlq redrive orders --all --rate 50 --yes

            EXIT CODES:
              0 all sent, 3 some, 4 nothing matches, 5 needs --yes, 6 broker unreachable, 64 bad usage.
            """
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var selection: DLQSelection

    @Option(help: ArgumentHelp("The most per second.", valueName: "number"))
    var rate: Int?

    func validate() throws {
        if let rate, rate < 1 { throw ValidationError("--rate must be at least 1") }
    }

    func run() async throws {
        try await DLQChange(
            words: .init(verb: "redrive", past: "redriven"),
            selection: selection,
            output: global.output,
            rate: rate
        ) { queue, ids, name in
            try await queue.redrive(ids, of: name)
        }.run(global)
    }
}
