import ArgumentParser
import Messaging

/// Lists dead letters, oldest first.
struct DLQListCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List dead letters, oldest first.",
        discussion: """
            One row per dead letter: its id, for the other dlq commands, the message's id, the group that gave it up, and \
            why. --json has the history of its attempts too.

            EXAMPLES:
              mq dlq list orders
              mq dlq list orders --group billing --reason attempts-exhausted --limit 100
              mq dlq list orders --error timeout --all --json

            EXIT CODES:
              0 done, also when nothing matches, 4 there is no such queue, 6 broker unreachable, 64 bad usage.
            """
    )

    @OptionGroup var global: GlobalOptions
    @OptionGroup var which: DLQFilterOptions

    @Argument(help: "The queue.", completion: .queues)
    var queue: String

    @Option(help: ArgumentHelp("The most to list.", valueName: "number"))
    var limit = 20

    @Flag(help: "List all of them.")
    var all = false

    func validate() throws {
        if limit < 1 { throw ValidationError("--limit must be at least 1") }
        try Arguments.check(queue: queue)
    }

    func run() async throws {
        let letters = try await global.withQueue { backend in try await read(backend.queue) }
        let shown = letters.prefix(all ? .max : limit)
        let hasMore = letters.count > shown.count
        let output = global.output
        if output.isJSON {
            return try output.document([
                ("queue", .string(queue)), ("dead_letters", .array(shown.map(DeadLetterReport.summary))),
                ("has_more", .bool(hasMore)),
            ])
        }
        guard !shown.isEmpty else { return output.note("no dead letters of '\(queue)' match") }
        try output.table(DeadLetterReport.table(shown))
        if hasMore { output.note("there are more; use --limit or --all") }
    }

    private func read(_ backend: any MessageQueue) async throws -> [DeadLetter] {
        var letters: [DeadLetter] = []
        try await backend.eachDeadLetter(of: queue, matching: which.filter) { letter in
            letters.append(letter)
            // One more than is shown tells that there are more.
            return all || letters.count <= limit
        }
        return letters
    }
}

/// Dead letters as a table and as JSON.
enum DeadLetterReport {
    static func table(_ letters: some Sequence<DeadLetter>) -> Table {
        var table = Table(
            ["ID", "MESSAGE", "GROUP", "REASON", "ATTEMPTS", "FAILED AT", "ERROR"],
            numeric: [4]
        )
        for letter in letters {
            table.rows.append([
                letter.id, letter.message.id.rawValue, letter.group ?? "-", letter.reason.rawValue,
                String(letter.attempts), letter.failedAt.map(Format.date) ?? "-",
                letter.error.map { Format.shortened($0, to: 60) } ?? "-",
            ])
        }
        return table
    }

    static func summary(_ letter: DeadLetter) -> JSON { .object(members(letter) + bodySize(letter)) }

    /// Everything, with the body.
    static func full(_ letter: DeadLetter) -> [(String, JSON)] {
        members(letter) + MessageJSON.content(letter.message)
    }

    private static func members(_ letter: DeadLetter) -> [(String, JSON)] {
        [
            ("id", .string(letter.id)), ("message_id", .string(letter.message.id.rawValue)),
            ("queue", .string(letter.queue)), ("group", JSON(letter.group)),
            ("reason", .string(letter.reason.rawValue)), ("attempts", .integer(letter.attempts)),
            ("failed_at", JSON(letter.failedAt.map(Format.date))),
            ("published_at", JSON(letter.publishedAt.map(Format.date))), ("error", JSON(letter.error)),
            ("history", .array(letter.history.map(MessageJSON.failure))),
        ]
    }

    private static func bodySize(_ letter: DeadLetter) -> [(String, JSON)] {
        [("body_bytes", .integer(letter.message.body.count))]
    }
}
