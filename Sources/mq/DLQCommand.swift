import ArgumentParser
import Messaging

/// The dead letters of a queue.
struct DLQCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dlq",
        abstract: "List, show, redrive and discard dead letters.",
        discussion: """
            A dead letter is a message that one group of a queue has given up on. Redriving sends it to that group again.

            EXAMPLES:
              mq dlq list orders
              mq dlq redrive orders --group billing --error timeout --rate 50
              mq dlq discard orders --all --dry-run

            'mq help dlq list' and so on say more about each.
            """,
        subcommands: [DLQListCommand.self, DLQShowCommand.self, DLQRedriveCommand.self, DLQDiscardCommand.self]
    )
}

/// Which dead letters are meant.
struct DLQFilterOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: ArgumentHelp("Only those of this group.", valueName: "group"))
    var group: String?

    @Option(
        help: ArgumentHelp(
            "Only those with this reason: attempts-exhausted, rejected, undecodable or one of your own.",
            valueName: "reason"
        )
    )
    var reason: String?

    @Option(help: ArgumentHelp("Only those whose last error contains this text.", valueName: "text"))
    var error: String?

    @Option(help: ArgumentHelp("Only those of this message.", valueName: "message-id"))
    var id: String?

    var filter: DeadLetterFilter {
        DeadLetterFilter(
            group: group,
            reason: reason.map { DeadLetterReason(rawValue: $0) },
            errorContains: error,
            messageID: id.map { MessageID($0) }
        )
    }
}

extension MessageQueue {
    /// Reads dead letters page by page until the visitor has seen enough.
    ///
    /// - Parameters:
    ///   - queue: The queue.
    ///   - filter: Which ones.
    ///   - visit: Returns whether to go on.
    /// - Throws: `QueueError` as `deadLetters`, what `visit` throws, or `CancellationError`.
    func eachDeadLetter(
        of queue: String,
        matching filter: DeadLetterFilter,
        _ visit: (DeadLetter) throws -> Bool
    ) async throws {
        var cursor: String?
        repeat {
            try Task.checkCancellation()
            let page = try await deadLetters(of: queue, matching: filter, after: cursor, limit: 200)
            for letter in page.elements where try !visit(letter) { return }
            cursor = page.next
        } while cursor != nil
    }
}
