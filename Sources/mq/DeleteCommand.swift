import ArgumentParser
import Messaging

/// Deletes a queue for good.
struct DeleteCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete",
        abstract: "Delete a queue with everything in it.",
        discussion: """
            Messages, groups, schedules and dead letters go with it; consumers and publishers hear that there is no such \
            queue. The figures are shown first, and the queue's name is asked for; without a terminal it needs --yes.

            EXAMPLES:
              mq delete orders
              mq delete orders --dry-run
              mq delete orders --yes --backend redis

            EXIT CODES:
              0 deleted, 4 there is no such queue, 5 needs --yes, 6 broker unreachable, 64 bad usage.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The queue.", completion: .queues)
    var queue: String

    @Flag(help: "Show what would be deleted and change nothing.")
    var dryRun = false

    @Flag(help: "Do not ask.")
    var yes = false

    func validate() throws { try Arguments.check(queue: queue) }

    func run() async throws {
        try await Interrupt.cancelling {
            try await global.withQueue { try await run(on: $0.queue) }
        }
    }

    func run(on backend: any MessageQueue) async throws {
        let output = global.output
        // Throws `notFound` for a queue that is not there.
        let figures = try await backend.statistics(of: queue)
        try await backend.capabilities().require(.deletion, queue: queue)
        if dryRun {
            if output.isJSON { return try report(figures, isDone: false) }
            try output.table(StatusReport.table([figures]))
            return output.note("would delete '\(queue)'; nothing was changed")
        }
        if !yes { try await confirm(figures) }
        guard try await backend.deleteQueue(queue) else {
            throw CLIError(
                .notFound,
                "'\(queue)' was deleted by somebody else meanwhile",
                do: "'mq status' lists what there is"
            )
        }
        if output.isJSON { return try report(figures, isDone: true) }
        output.note("deleted '\(queue)'")
    }

    private func confirm(_ figures: QueueStatistics) async throws {
        let output = global.output
        output.error("'\(queue)' and all it has are to be deleted:")
        for line in StatusReport.table([figures]).lines(output.notes) { output.prompt(line + "\n") }
        try await output.confirm(
            by: queue,
            "Type the queue's name to delete it: ",
            refusal: CLIError(
                .needsConfirmation,
                "nothing was deleted",
                do: "give --yes, or type the queue's name on a terminal"
            )
        )
    }

    private func report(_ figures: QueueStatistics, isDone: Bool) throws {
        try global.output.document([
            ("action", .string("delete")), ("queue", .string(queue)), ("had", StatusReport.json(figures)),
            ("done", .bool(isDone)), ("dry_run", .bool(dryRun)),
        ])
    }
}
