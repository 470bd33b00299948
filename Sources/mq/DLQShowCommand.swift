import ArgumentParser
import Messaging

/// Shows everything about one dead letter.
struct DLQShowCommand: GlobalCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Show one dead letter with its history and body.",
        discussion: """
            ID is the dead letter's own id, or the message's id, which shows one dead letter per group.

            EXAMPLES:
              mq dlq show orders 1718000000000-0
              mq dlq show orders 0190a1b2-0000-7000-8000-000000000001 --json

            EXIT CODES:
              0 done, 4 there is no such queue or dead letter, 6 broker unreachable, 64 bad usage.
            """
    )

    @OptionGroup var global: GlobalOptions

    @Argument(help: "The queue.", completion: .queues)
    var queue: String

    @Argument(help: "The id of the dead letter or of the message.")
    var id: String

    func validate() throws { try Arguments.check(queue: queue) }

    func run() async throws {
        let letters = try await global.withQueue { backend in
            var found: [DeadLetter] = []
            try await backend.queue.eachDeadLetter(of: queue, matching: .all) { letter in
                if letter.id == id || letter.message.id.rawValue == id { found.append(letter) }
                return letter.id != id
            }
            return found
        }
        guard !letters.isEmpty else {
            throw CLIError(
                .notFound,
                "queue '\(queue)' has no dead letter '\(id)'",
                do: "'mq dlq list \(queue)' lists them"
            )
        }
        let output = global.output
        for (index, letter) in letters.enumerated() {
            if output.isJSON {
                try output.document(DeadLetterReport.full(letter))
            } else {
                if index > 0 { try output.line("") }
                for line in Self.lines(letter) { try output.line(line) }
            }
        }
    }

    static func lines(_ letter: DeadLetter) -> [String] {
        var fields = [
            ("id", letter.id), ("message id", letter.message.id.rawValue), ("queue", letter.queue),
            ("group", letter.group ?? "-"), ("reason", letter.reason.rawValue), ("attempts", String(letter.attempts)),
            ("failed at", letter.failedAt.map(Format.date) ?? "-"),
            ("published at", letter.publishedAt.map(Format.date) ?? "-"), ("error", letter.error ?? "-"),
            ("key", letter.message.key ?? "-"), ("content type", letter.message.contentType ?? "-"),
        ]
        for header in letter.message.headers {
            fields.append(("header", "\(header.name)=\(header.text ?? Format.base64(header.value) + " (base64)")"))
        }
        for failure in letter.history {
            let time = Format.date(UnixTime.date(failure.at))
            fields.append(("history", "attempt \(failure.attempt) at \(time) by \(failure.consumer): \(failure.error)"))
        }
        let body = letter.message.text
        fields.append((body == nil ? "body base64" : "body", body ?? Format.base64(letter.message.body)))
        return fields.map { name, value in
            name + String(repeating: " ", count: 14 - name.count) + Redacted.line(value)
        }
    }
}
