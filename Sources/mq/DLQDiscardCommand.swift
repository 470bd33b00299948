import ArgumentParser
import Messaging

/// Removes dead letters for good.
struct DLQDiscardCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "discard",
        abstract: "Remove dead letters for good.",
        discussion: """
            Give ids of 'mq dlq list', or a filter, or --all. A filter and --all show the count and a sample first and \
            ask for the queue's name; without a terminal they need --yes.

            EXAMPLES:
              mq dlq discard orders 1718000000000-0
              mq dlq discard orders --reason undecodable --dry-run
              mq dlq discard orders --all --yes

            EXIT CODES:
              0 all removed, 3 some, 4 nothing matches, 5 needs --yes, 6 broker unreachable, 64 bad usage.
            """
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var selection: DLQSelection

    func run() async throws {
        try await DLQChange(
            words: .init(verb: "discard", past: "discarded"),
            selection: selection,
            output: global.output,
            rate: nil
        ) { queue, ids, name in
            try await queue.discardDeadLetters(ids, of: name)
        }.run(global)
    }
}
