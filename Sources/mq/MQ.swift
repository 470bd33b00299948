import ArgumentParser
import Logging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

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
              mq status --watch

            BACKEND:
              The first of --backend, MQ_BACKEND and 'backend' of the configuration file; else the default, which needs no \
            server: sqlite (one file, ./mq.sqlite unless given) where it is part of the build, or else memory. A short \
            name such as redis means MQ_REDIS_URL, 'redis_url' of the configuration file, or the local default, \
            redis://127.0.0.1:6379. 'mq backends' lists what this build has.

            CONFIGURATION FILE:
              The first of --config, MQ_CONFIG, ./mq.yaml, ./mq.yml and ./mq.json: YAML or JSON with backend, \
            redis_url and the like, and 'pipeline' (docs/service.md). ${NAME} in a value is the environment's. \
            'mq pipeline check' tells whether it can be used.

            ENVIRONMENT:
              \(Settings.keys.values.sorted().joined(separator: ", ")), MQ_CONFIG, MQ_LOG_LEVEL, MQ_LOG_FORMAT, MQ_MIGRATION_JOURNAL, \
            MQ_MIGRATION_LEASE, NO_COLOR, TERM.

            COMPLETION:
              mq --generate-completion-script bash (or zsh, fish) prints a script for the shell (docs/service.md).

            \(ExitStatus.help)
            """,
        version: "0.1.0",
        subcommands: [
            PipelineCommand.self, PublishCommand.self, ConsumeCommand.self, StatusCommand.self, DLQCommand.self,
            DeleteCommand.self,
            BackendsCommand.self, DoctorCommand.self, ConformanceCommand.self, BenchCommand.self,
        ] + migration
    )

    /// Moving queues needs a journal, and that SQLite.
    private static var migration: [any ParsableCommand.Type] {
        #if SQLite
        [MigrateCommand.self]
        #else
        []
        #endif
    }

    static func main() async {
        POSIX.ignoreBrokenPipes()
        // Bad usage, too, is told in the format that was asked for.
        Diagnostics.use(
            .init(
                format: Diagnostics.early(
                    arguments: Array(CommandLine.arguments.dropFirst()),
                    environment: ProcessInfo.processInfo.environment
                )
            )
        )
        Diagnostics.start()
        do {
            var command = try await asyncParseAsRoot(nil)
            if let command = command as? any GlobalCommand { Diagnostics.use(try command.global.diagnostics()) }
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
        case .status(let code, let text):
            if let text { Diagnostics.write(Diagnostics.bytes(text, level: .error, format: Diagnostics.choice.format)) }
            POSIX.finish(code)
        }
    }
}

/// Ends a command with a status and without a word; what is to be said has been said.
func end(_ status: ExitStatus) -> ExitCode { ExitCode(status.rawValue) }
