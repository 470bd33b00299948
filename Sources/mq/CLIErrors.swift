import ArgumentParser
import Messaging

/// An error of the command line: how to end, what happened and what to do.
struct CLIError: Error, Equatable, CustomStringConvertible {
    let status: ExitStatus
    let message: String
    let advice: String?

    init(_ status: ExitStatus, _ message: String, do advice: String? = nil) {
        self.status = status
        self.message = message
        self.advice = advice
    }

    var description: String { advice.map { "\(message); \($0)" } ?? message }
}

/// Turns every error into a line on stderr and an exit code.
enum CLIErrors {
    /// What is left to do for an error.
    enum Ending: Equatable {
        /// Print the text on stdout and end well: help and versions.
        case information(String)
        /// Print the text on stderr, if there is one: one line, or one for each problem of a configuration file.
        case status(Int32, String?)
    }

    /// Decides how an error ends the process.
    static func ending(_ error: any Error) -> Ending {
        switch error {
        case is ClosedOutput:
            // Who reads our stdout has seen enough.
            return .status(ExitStatus.done.rawValue, nil)
        case let error as CLIError: return status(error.status, error.description)
        case let error as ConfigError:
            return .status(ExitStatus.usage.rawValue, error.lines.map(line).joined(separator: "\n"))
        case let error as QueueError: return status(status(of: error), text(error))
        case is CancellationError: return status(.failed, "stopped by a signal; start the command again to go on")
        case let code as ExitCode: return .status(code.rawValue, nil)
        default:
            let code = MQ.exitCode(for: error)
            if code.isSuccess { return .information(MQ.fullMessage(for: error)) }
            guard code == .validationFailure else { return status(.failed, "\(error)") }
            return status(.usage, usage(MQ.message(for: error), full: MQ.fullMessage(for: error)))
        }
    }

    /// The exit code for an error of a queue.
    static func status(of error: QueueError) -> ExitStatus {
        switch error.code {
        case .unavailable: .unreachable
        case .notFound: .notFound
        case .invalidName, .invalidArgument: .usage
        default: .failed
        }
    }

    /// The line for an error of a queue, without the prefix.
    static func text(_ error: QueueError) -> String {
        var message = error.queue.map { "queue '\($0)': \(error.message)" } ?? error.message
        // The library's advice is for programs; the command line has its own ways.
        if error.code == .notFound, let cut = message.firstRange(of: "; ") {
            message = String(message[..<cut.lowerBound])
        }
        if error.code == .cancelled { return "\(message); start the command again to go on" }
        guard !message.contains("; "), let advice = advice(for: error.code) else { return message }
        return "\(message); \(advice)"
    }

    private static func advice(for code: QueueError.Code) -> String? {
        switch code {
        case .unavailable: "check that the broker runs there, and --backend or the environment; 'mq doctor' says more"
        case .authentication: "check the user name and password"
        case .permissionDenied: "give the broker's user this right"
        case .notFound: "'mq status' lists what there is, and --create makes a queue or group"
        case .invalidName, .invalidArgument: "see --help"
        case .topologyConflict: "use another name, or the settings it has"
        case .topologyLost: "create it again with --create"
        case .positionTrimmed: "begin later, or at the earliest message that is left"
        case .leaseLost: "the message is delivered again"
        case .tooLarge: "store the body elsewhere and publish its address"
        case .queueFull: "try again when consumers have caught up"
        case .idConflict: "use another --id"
        case .indeterminate: "publish it again with the same --id"
        case .unsupported: "'mq backends' shows what each backend can do"
        case .brokerError: "'mq doctor' may say more"
        default: nil
        }
    }

    /// Shortens what the argument parser says to one line that ends with where to look.
    private static func usage(_ message: String, full: String) -> String {
        let hint = full.split(separator: "\n").last { $0.contains("See '") }
            .flatMap { line in line.split(separator: "'").dropFirst().first }
        let short = message.split(separator: "\n").first.map(String.init) ?? message
        return "\(short.hasSuffix(".") ? String(short.dropLast()) : short); see '\(hint ?? "mq --help")'"
    }

    private static func status(_ status: ExitStatus, _ text: String) -> Ending {
        .status(status.rawValue, line(text))
    }

    /// The line as it is printed: one line, without credentials and without control characters.
    static func line(_ text: String) -> String { "mq: " + Redacted.line(Redacted.text(text)) }
}
