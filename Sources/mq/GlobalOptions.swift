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
            "The backend: \(Backends.list.filter(\.isBuilt).map(\.name).joined(separator: ", ")), or a URL.",
            discussion: "Else MQ_BACKEND, else 'backend' of the configuration file, else the default.",
            valueName: "name|url"
        ),
        completion: .list(Backends.list.filter(\.isBuilt).map(\.name))
    )
    var backend: String?

    @Option(
        help: ArgumentHelp(
            "A configuration file, YAML or JSON.",
            discussion: "Else MQ_CONFIG, else the first of ./mq.yaml, ./mq.yml and ./mq.json that is there.",
            valueName: "file"
        ),
        completion: .file(extensions: ["yaml", "yml", "json"])
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
            discussion: "Else MQ_LOG_LEVEL, else warning.",
            valueName: "level"
        ),
        completion: .list(Logger.Level.allCases.map(\.rawValue)),
        transform: GlobalOptions.level
    )
    var logLevel: Logger.Level?

    @Option(
        help: ArgumentHelp(
            "How lines on stderr are written: text, or json for one object per line.",
            discussion: "Else MQ_LOG_FORMAT, else text.",
            valueName: "format"
        )
    )
    var logFormat: LogFormat?

    @Sendable private static func level(_ text: String) throws -> Logger.Level {
        guard let level = Logger.Level(rawValue: text) else {
            throw ValidationError("a level is one of \(Logger.Level.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return level
    }

    func validate() throws {
        if let timeout, timeout <= .zero { throw ValidationError("--timeout must be above zero") }
    }

    static var processEnvironment: [String: String] { ProcessInfo.processInfo.environment }

    var environment: [String: String] { Self.processEnvironment }

    /// Where the command writes.
    var output: Output {
        Output(
            terminal: Terminal.of(POSIX.standardOutput, noColor: noColor, environment: environment),
            notes: Diagnostics.choice.format == .json
                ? .none : Terminal.of(POSIX.standardError, noColor: noColor, environment: environment),
            isJSON: json,
            isQuiet: quiet,
            diagnostics: Diagnostics.choice.format
        )
    }

    /// The environment and the configuration file.
    func settings() throws -> Settings { try Settings.load(path: config, environment: environment) }

    /// How stderr is written: the flags first, then the environment, then the configuration file.
    func diagnostics(_ file: PipelineFile? = nil) throws -> Diagnostics.Choice {
        func variable<Value>(_ name: String, _ parse: (String) -> Value?, _ allowed: [String]) throws -> Value? {
            guard let text = environment[name], !text.isEmpty else { return nil }
            guard let value = parse(text) else {
                throw CLIError(.usage, "\(name) must be one of \(allowed.joined(separator: ", "))", do: "correct it")
            }
            return value
        }
        let levels = Logger.Level.allCases.map(\.rawValue)
        let level = try logLevel ?? variable("MQ_LOG_LEVEL", { Logger.Level(rawValue: $0) }, levels)
        let formats = LogFormat.allCases.map(\.rawValue)
        let format = try logFormat ?? variable("MQ_LOG_FORMAT", { LogFormat(rawValue: $0) }, formats)
        return Diagnostics.Choice(
            format: format ?? file?.logFormat ?? .text,
            level: level ?? file?.logLevel ?? .warning
        )
    }

    /// A logger of this command.
    ///
    /// - Parameter level: The level when none was chosen.
    /// - Returns: A logger that writes to stderr.
    func logger(_ level: Logger.Level? = nil) -> Logger {
        var logger = Logger(label: "mq")
        let isChosen = logLevel != nil || !(environment["MQ_LOG_LEVEL"] ?? "").isEmpty
        logger.logLevel = isChosen ? Diagnostics.choice.level : level ?? Diagnostics.choice.level
        return logger
    }

    /// Opens the backend that was chosen, whose queues may move while it is used; no connection is made yet.
    ///
    /// - Parameters:
    ///   - creates: Whether a file that is not there is created.
    ///   - level: The log level when none was chosen.
    /// - Returns: The backend; close its queue when done.
    /// - Throws: As `Backends.open`, or `CLIError` for a configuration file that cannot be used.
    func open(creates: Bool = false, level: Logger.Level? = nil) throws -> OpenBackend {
        let (settings, logger) = (try settings(), logger(level))
        return try Backends.open(backend, creates: creates, settings: settings, timeout: timeout, logger: logger)
            .following(settings, timeout: timeout, logger: logger)
    }

    /// Opens the backend, does something with it, and closes it however that ends.
    func withQueue<Result: Sendable>(
        creates: Bool = false,
        level: Logger.Level? = nil,
        _ body: (OpenBackend) async throws -> Result
    ) async throws -> Result {
        let opened = try open(creates: creates, level: level)
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
