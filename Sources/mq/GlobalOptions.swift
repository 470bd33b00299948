import ArgumentParser
import Logging
import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// A command that takes the options of all commands.
protocol GlobalCommand: AsyncParsableCommand {
    var global: GlobalOptions { get }
}

/// The options of all commands.
///
/// A flag comes before the environment, that before the configuration file.
struct GlobalOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The broker: memory, redis, or a URL such as redis://host:6379/0.",
            discussion: "Else MQ_BACKEND, else 'backend' of the configuration file, else memory.",
            valueName: "name|url"
        )
    )
    var backend: String?

    @Option(
        help: ArgumentHelp(
            "A JSON file with the keys backend and redis_url.",
            discussion: "Else MQ_CONFIG, else ./mq.json if there is one.",
            valueName: "file"
        )
    )
    var config: String?

    @Option(
        help: ArgumentHelp("How long one call to the broker may take, such as 500ms or 5s.", valueName: "duration"),
        transform: DurationArgument.parse
    )
    var timeout: Duration?

    @Flag(help: "Print JSON: one object per line for streams, one document otherwise.")
    var json = false

    @Flag(name: [.short, .long], help: "Print no notes on stderr, only data and errors.")
    var quiet = false

    @Flag(name: .customLong("no-color"), help: "Print no colours; NO_COLOR and TERM=dumb do the same.")
    var noColor = false

    @Option(
        help: ArgumentHelp(
            "What is logged to stderr: \(Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")).",
            valueName: "level"
        ),
        transform: { text in
            guard let level = Logger.Level(rawValue: text) else {
                throw ValidationError(
                    "a level is one of \(Logger.Level.allCases.map(\.rawValue).joined(separator: ", "))"
                )
            }
            return level
        }
    )
    var logLevel: Logger.Level?

    func validate() throws {
        if let timeout, timeout <= .zero { throw ValidationError("--timeout must be above zero") }
    }

    var environment: [String: String] { ProcessInfo.processInfo.environment }

    /// Where the command writes.
    var output: Output {
        Output(
            terminal: Terminal.of(POSIX.standardOutput, noColor: noColor, environment: environment),
            notes: Terminal.of(POSIX.standardError, noColor: noColor, environment: environment),
            isJSON: json,
            isQuiet: quiet
        )
    }

    /// The environment and the configuration file.
    func settings() throws -> Settings { try Settings.load(path: config, environment: environment) }

    /// A logger of this command.
    ///
    /// - Parameter level: The level when `--log-level` was not given.
    /// - Returns: A logger that writes to stderr.
    func logger(_ level: Logger.Level = .warning) -> Logger {
        var logger = Logger(label: "mq")
        logger.logLevel = logLevel ?? level
        return logger
    }

    /// Opens the backend that was chosen; no connection is made yet.
    ///
    /// - Parameters:
    ///   - spec: Another one than `--backend`, such as that of one layer.
    ///   - level: The log level when `--log-level` was not given.
    /// - Returns: The backend; close its queue when done.
    /// - Throws: As `Backends.open`, or `CLIError` for a configuration file that cannot be used.
    func open(_ spec: String? = nil, level: Logger.Level = .warning) throws -> OpenBackend {
        try Backends.open(spec ?? backend, settings: try settings(), timeout: timeout, logger: logger(level))
    }

    /// Opens the backend, does something with it, and closes it however that ends.
    func withQueue<Result: Sendable>(
        level: Logger.Level = .warning,
        _ body: (OpenBackend) async throws -> Result
    ) async throws -> Result {
        let opened = try open(level: level)
        do {
            let result = try await body(opened)
            await opened.queue.close()
            return result
        } catch {
            await opened.queue.close()
            throw error
        }
    }
}
