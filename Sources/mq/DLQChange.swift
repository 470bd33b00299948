import ArgumentParser
import Messaging

/// Which dead letters a command changes, and how carefully.
struct DLQSelection: ParsableArguments {
    @OptionGroup var which: DLQFilterOptions

    @Argument(help: "The queue.", completion: .queues)
    var queue: String

    @Argument(help: ArgumentHelp("Ids of dead letters.", valueName: "id"))
    var ids: [String] = []

    @Flag(help: "All dead letters of the queue.")
    var all = false

    @Flag(help: "Show what would be done and change nothing.")
    var dryRun = false

    @Flag(help: "Do not ask.")
    var yes = false

    var isBulk: Bool { ids.isEmpty }

    func validate() throws {
        let hasFilter = which.filter != .all
        if ids.isEmpty, !all, !hasFilter { throw ValidationError("give ids of dead letters, a filter or --all") }
        if !ids.isEmpty, all || hasFilter { throw ValidationError("give either ids, or a filter or --all") }
        try Arguments.check(queue: queue)
    }
}

/// Changes dead letters in pages: finds, shows, asks, acts, reports.
struct DLQChange: Sendable {
    struct Words: Sendable {
        let verb: String
        let past: String
    }

    let words: Words
    let selection: DLQSelection
    let output: Output
    /// The most per second.
    let rate: Int?
    /// Changes dead letters and returns the ids of those that were changed.
    let change: @Sendable (any MessageQueue, [String], String) async throws -> [String]

    private static let sampleSize = 5

    private struct Found: Sendable {
        var ids: [String] = []
        var sample: [DeadLetter] = []
    }

    func run(_ global: GlobalOptions) async throws {
        try await Interrupt.cancelling {
            try await global.withQueue { try await run(on: $0.queue) }
        }
    }

    func run(on backend: any MessageQueue) async throws {
        let found = try await find(backend)
        guard !found.ids.isEmpty else { throw nothing("no dead letter of '\(selection.queue)' matches") }
        if selection.dryRun { return try preview(found) }
        if selection.isBulk, !selection.yes { try await confirm(found) }
        try await act(found.ids, backend)
    }

    private func nothing(_ message: String) -> CLIError {
        CLIError(.notFound, message, do: "'mq dlq list \(selection.queue)' lists them")
    }

    private func find(_ backend: any MessageQueue) async throws -> Found {
        var found = Found()
        let wanted = Set(selection.ids)
        // Ids are looked up only when something is to be shown; the change itself passes over those that are gone.
        if !selection.isBulk, !selection.dryRun { return Found(ids: selection.ids) }
        try await backend.eachDeadLetter(of: selection.queue, matching: selection.which.filter) { letter in
            guard wanted.isEmpty || wanted.contains(letter.id) else { return true }
            found.ids.append(letter.id)
            if found.sample.count < Self.sampleSize { found.sample.append(letter) }
            return wanted.isEmpty || found.ids.count < wanted.count
        }
        return found
    }

    private func preview(_ found: Found) throws {
        if output.isJSON { return try report(matched: found.ids.count, done: 0) }
        try output.table(DeadLetterReport.table(found.sample))
        output.note("would \(words.verb) \(Format.count(found.ids.count, "dead letter")); nothing was changed")
    }

    /// Shows the count and a sample, and asks a person for the queue's name.
    private func confirm(_ found: Found) async throws {
        let count = Format.count(found.ids.count, "dead letter")
        output.error(
            "\(count) of '\(selection.queue)' to \(words.verb)\(found.ids.count > Self.sampleSize ? ", among them" : "")"
        )
        for line in DeadLetterReport.table(found.sample).lines(output.notes) { output.prompt(line + "\n") }
        let refusal = CLIError(
            .needsConfirmation,
            "nothing was \(words.past)",
            do: "give --yes, or type the queue's name on a terminal"
        )
        try await output.confirm(
            by: selection.queue,
            "Type the queue's name to \(words.verb) \(found.ids.count == 1 ? "it" : "them"): ",
            refusal: refusal
        )
    }

    private func act(_ ids: [String], _ backend: any MessageQueue) async throws {
        var done = 0
        var failure: (any Error)?
        let start = ContinuousClock.now
        let size = min(rate ?? 100, 100)
        do {
            for first in stride(from: 0, to: ids.count, by: size) {
                try Task.checkCancellation()
                done += try await change(backend, Array(ids[first..<min(first + size, ids.count)]), selection.queue)
                    .count
                output.progress("\(words.past) \(done) of \(ids.count)")
                if let rate, first + size < ids.count {
                    try await Task.sleep(until: start + .seconds(1) * (first + size) / rate, clock: .continuous)
                }
            }
        } catch {
            failure = error
        }
        output.progress(nil)
        if let failure, done == 0 { throw failure }
        try report(matched: ids.count, done: done)
        if let failure, case .status(_, let line?) = CLIErrors.ending(failure) { output.errorLine(line) }
        if done == ids.count { return }
        if done == 0 { throw nothing("queue '\(selection.queue)' has no such dead letter") }
        output.error(
            "\(ids.count - done) of \(ids.count) were not \(words.past); 'mq dlq list \(selection.queue)' shows what is left"
        )
        throw end(.partly)
    }

    private func report(matched: Int, done: Int) throws {
        guard output.isJSON else {
            return output.note(
                "\(words.past) \(done) of \(Format.count(matched, "dead letter")) of '\(selection.queue)'"
            )
        }
        try output.document([
            ("action", .string(words.verb)), ("queue", .string(selection.queue)), ("matched", .integer(matched)),
            ("done", .integer(done)), ("dry_run", .bool(selection.dryRun)),
        ])
    }
}
