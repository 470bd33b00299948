import ArgumentParser
import Logging
import Synchronization

/// How lines on stderr are written.
enum LogFormat: String, CaseIterable, Sendable, ExpressibleByArgument {
    /// For a person.
    case text
    /// One JSON object a line, for a collector of logs.
    case json
}

/// What goes to stderr and how; a process has one stderr, so this is one for the process.
enum Diagnostics {
    struct Choice: Sendable, Equatable {
        var format: LogFormat = .text
        /// The least level that is logged.
        var level: Logger.Level = .warning
    }

    private static let state = Mutex(Choice())
    private static let writing = Mutex(())

    /// What was chosen last.
    static var choice: Choice { state.withLock { $0 } }

    /// Chooses the format and the level for what is logged from now on.
    static func use(_ choice: Choice) { state.withLock { $0 = choice } }

    /// What can be told before the command line is parsed, so that even bad usage is told in the right format.
    static func early(arguments: [String], environment: [String: String]) -> LogFormat {
        for (index, argument) in arguments.enumerated() {
            if argument == "--" { break }
            if argument == "--log-format", index + 1 < arguments.count {
                return LogFormat(rawValue: arguments[index + 1]) ?? .text
            }
            if argument.hasPrefix("--log-format=") {
                return LogFormat(rawValue: String(argument.dropFirst("--log-format=".count))) ?? .text
            }
        }
        return environment["MQ_LOG_FORMAT"].flatMap { LogFormat(rawValue: $0) } ?? .text
    }

    /// Starts logging; once in a process, before the first logger is made.
    static func start() {
        LoggingSystem.bootstrap { DiagnosticsLogHandler(label: $0, level: choice.level) }
    }

    /// Writes whole lines to stderr; lines of several threads do not mix.
    static func write(_ bytes: [UInt8]) {
        // Nobody is left to be told when stderr cannot be written.
        writing.withLock { _ in try? POSIX.write(bytes, to: POSIX.standardError) }
    }

    /// The lines of a message, as the format has them.
    ///
    /// - Parameters:
    ///   - lines: Lines for a person, which begin with `mq: `.
    ///   - level: What a JSON line says that they are.
    ///   - format: The format.
    /// - Returns: The bytes, with the line feeds.
    static func bytes(_ lines: String, level: Logger.Level, format: LogFormat) -> [UInt8] {
        guard format == .json else { return Array((lines + "\n").utf8) }
        return lines.split(separator: "\n").filter { !$0.allSatisfy(\.isWhitespace) }.flatMap { line in
            let text = line.hasPrefix("mq: ") ? line.dropFirst(4) : line
            return LogRecord(level: level, label: "mq", message: String(text)).line
        }
    }
}
