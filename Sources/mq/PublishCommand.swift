import ArgumentParser
import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// Publishes messages and reports what became of each.
struct PublishCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "publish",
        abstract: "Publish messages to a queue.",
        discussion: """
            Each BODY is one message; '-' (or --stdin) reads stdin, one message per line; --file publishes a file's \
            content as one message. stdout gets one line per message: what became of it, and its id.

            EXAMPLES:
              mq publish orders '{"id":1}' --key customer-7 --header source=shop
              mq publish reminders 'call back' --delay 15m
              tail -f events.log | mq publish events - --create --backend redis

            EXIT CODES:
              0 all confirmed, 1 none, 3 some, 4 there is no such queue, 6 broker unreachable, 64 bad usage. A message \
            that is 'indeterminate' may or may not have arrived; publish it again with the same --id.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The queue.", completion: .queues)
    var queue: String

    @Argument(help: ArgumentHelp("The bodies, one message each; '-' reads lines from stdin.", valueName: "body"))
    var bodies: [String] = []

    @Option(
        help: ArgumentHelp("Publish the content of a file as one message.", valueName: "file"),
        completion: .file()
    )
    var file: String?

    @Flag(help: "Publish each line of stdin as one message.")
    var stdin = false

    @Option(help: ArgumentHelp("The message's id; by default one is made.", valueName: "id"))
    var id: String?

    @Option(help: ArgumentHelp("The ordering key.", valueName: "key"))
    var key: String?

    @Option(
        name: .customLong("header"),
        help: ArgumentHelp("A header; can be given several times.", valueName: "name=value"),
        transform: PublishCommand.header
    )
    var headers: [MessageHeaders.Header] = []

    @Option(help: ArgumentHelp("The media type of the body, such as application/json.", valueName: "type"))
    var contentType: String?

    @Option(
        help: ArgumentHelp("Make it available after this time, such as 5s.", valueName: "duration"),
        transform: DurationArgument.parse
    )
    var delay: Duration?

    @Option(
        help: ArgumentHelp("Make it available at this time, such as 2030-01-31T09:00:00Z.", valueName: "time"),
        transform: PublishCommand.date
    )
    var at: Date?

    @Flag(help: "Create the queue if there is none of this name.")
    var create = false

    @Option(
        name: .customLong("group"),
        help: ArgumentHelp(
            "With --create: a group the queue must have; can be given several times.",
            valueName: "group"
        )
    )
    var groups: [String] = []

    /// The longest line of stdin; keeps the memory bounded, whatever is piped in.
    private static let maxLine = 64 << 20

    private var readsLines: Bool { stdin || bodies == ["-"] }

    func validate() throws {
        let sources = (file == nil ? 0 : 1) + (readsLines ? 1 : 0) + (bodies.isEmpty || bodies == ["-"] ? 0 : 1)
        if sources == 0 { throw ValidationError("nothing to publish: give a BODY, --file or '-' for lines of stdin") }
        if sources > 1 { throw ValidationError("give either BODY, --file or stdin, not several of them") }
        if id != nil, readsLines || bodies.count > 1 { throw ValidationError("--id is for a single message") }
        if delay != nil, at != nil { throw ValidationError("give either --delay or --at") }
        if !groups.isEmpty, !create { throw ValidationError("--group needs --create") }
        try Arguments.check(queue: queue)
    }

    func run() async throws {
        let bodies = try readBodies()
        try await Interrupt.cancelling {
            try await global.withQueue(creates: create) { backend in
                if backend.isEphemeral { global.output.note(OpenBackend.ephemeralNote) }
                if create, let made = try await Topology.ensure(queue, groups: groups, on: backend.queue) {
                    global.output.note("created \(made)")
                }
                var report = PublishReport(queue: queue, output: global.output)
                do {
                    if readsLines {
                        try await publishLines(to: backend.queue, &report)
                    } else {
                        try await publish(bodies, to: backend.queue, &report)
                    }
                } catch {
                    guard report.confirmed > 0, !(error is ClosedOutput) else { throw error }
                    report.finish()
                    if case .status(_, let line?) = CLIErrors.ending(error) { global.output.errorLine(line) }
                    throw end(.partly)
                }
                report.finish()
                if report.failed > 0 { throw end(report.confirmed > 0 ? .partly : .failed) }
            }
        }
    }

    private func readBodies() throws -> [[UInt8]] {
        guard let file else { return readsLines ? [] : bodies.map { Array($0.utf8) } }
        do {
            return [Array(try Data(contentsOf: URL(filePath: file)))]
        } catch {
            let reason = FileManager.default.fileExists(atPath: file) ? "cannot be read" : "does not exist"
            throw CLIError(.failed, "the file '\(file)' \(reason)", do: "check --file")
        }
    }

    private func publishLines(to queue: any MessageQueue, _ report: inout PublishReport) async throws {
        let input = try StandardInput()
        var splitter = LineSplitter(maxLength: Self.maxLine)
        while true {
            let bytes = try await input.read()
            if bytes.isEmpty { break }
            let lines = try splitter.add(bytes)
            for start in stride(from: 0, to: lines.count, by: 500) {
                try await publish(Array(lines[start..<min(start + 500, lines.count)]), to: queue, &report)
            }
        }
        if let last = try splitter.finish() { try await publish([last], to: queue, &report) }
    }

    private func publish(
        _ bodies: [[UInt8]],
        to queue: any MessageQueue,
        _ report: inout PublishReport
    ) async throws {
        let messages = bodies.map { body in
            Message(
                body: body,
                id: id.map { MessageID($0) } ?? .make(),
                key: key,
                headers: MessageHeaders(headers),
                contentType: contentType,
                due: delay.map { .after($0) } ?? at.map { .at($0) }
            )
        }
        let outcomes = try await queue.publish(messages, to: self.queue)
        for (message, outcome) in zip(messages, outcomes) { try report.add(message.id, outcome) }
    }

    @Sendable static func header(_ text: String) throws -> MessageHeaders.Header {
        guard let sign = text.firstIndex(of: "="), sign != text.startIndex else {
            throw ValidationError("a header is name=value")
        }
        return MessageHeaders.Header(
            name: String(text[..<sign]),
            value: Array(text[text.index(after: sign)...].utf8)
        )
    }

    @Sendable static func date(_ text: String) throws -> Date {
        guard let date = Format.readDate(text) else {
            throw ValidationError("a time is ISO 8601, such as 2030-01-31T09:00:00Z")
        }
        return date
    }
}

/// Counts and prints what became of published messages.
struct PublishReport {
    let queue: String
    let output: Output
    private(set) var accepted = 0
    private(set) var duplicates = 0
    private(set) var failed = 0

    init(queue: String, output: Output) {
        self.queue = queue
        self.output = output
    }

    var confirmed: Int { accepted + duplicates }

    mutating func add(_ id: MessageID, _ outcome: PublishOutcome) throws {
        let word: String
        switch outcome {
        case .accepted: (word, accepted) = ("accepted", accepted + 1)
        case .duplicate: (word, duplicates) = ("duplicate", duplicates + 1)
        case .refused: (word, failed) = ("refused", failed + 1)
        case .indeterminate: (word, failed) = ("indeterminate", failed + 1)
        }
        let reason = outcome.error.map { CLIErrors.text($0) }
        if output.isJSON {
            try output.line([
                "outcome": .string(word), "id": .string(id.rawValue), "queue": .string(queue),
                "error": JSON(reason), "code": JSON(outcome.error?.code.description),
            ])
        } else if !output.isQuiet {
            try output.line("\(word)\t\(Redacted.line(id.rawValue))")
        }
        if let reason { output.error("\(word) '\(id)': \(reason)") }
    }

    func finish() {
        guard confirmed + failed > 1 else { return }
        let parts = [(accepted, "accepted"), (duplicates, "duplicate"), (failed, "failed")]
            .filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
        output.note("published to '\(queue)': \(parts.joined(separator: ", "))")
    }
}
