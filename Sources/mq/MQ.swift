import ArgumentParser
import Logging

/// The command line.
@main
struct MQ: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mq",
        abstract: "Message queues behind one contract: publish, consume, inspect, repair.",
        discussion: """
            EXAMPLES:
              mq publish orders '{"id":1}' --create --backend redis
              mq consume orders --group billing --create --count 10
              mq status --backend redis://127.0.0.1:6379
              mq pipeline run --backend memory --input statements.csv --until-idle

            The backend is the first of --backend, MQ_BACKEND, 'backend' of the configuration file, memory. The name \
            redis means MQ_REDIS_URL, 'redis_url' of the configuration file, or redis://127.0.0.1:6379. The \
            configuration file is the first of --config, MQ_CONFIG and ./mq.json, a JSON object with those keys.

            \(ExitStatus.help)
            """,
        version: "0.1.0",
        subcommands: [
            PipelineCommand.self, PublishCommand.self, ConsumeCommand.self, StatusCommand.self, DLQCommand.self,
            BackendsCommand.self, DoctorCommand.self,
        ]
    )

    static func main() async {
        POSIX.ignoreBrokenPipes()
        do {
            var command = try parseAsRoot()
            let level = (command as? any GlobalCommand)?.global.logLevel ?? .warning
            LoggingSystem.bootstrap { label in
                var handler = StreamLogHandler.standardError(label: label)
                handler.logLevel = level
                return handler
            }
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            finish(CLIErrors.ending(error))
        }
    }

    private static func finish(_ ending: CLIErrors.Ending) -> Never {
        switch ending {
        case .information(let text):
            try? POSIX.write(Array((text + "\n").utf8), to: POSIX.standardOutput)
            POSIX.finish(ExitStatus.done.rawValue)
        case .status(let code, let line):
            if let line { try? POSIX.write(Array((line + "\n").utf8), to: POSIX.standardError) }
            POSIX.finish(code)
        }
    }
}

/// Ends a command with a status and without a word; what is to be said has been said.
func end(_ status: ExitStatus) -> ExitCode { ExitCode(status.rawValue) }
