import Foundation
import Subprocess

/// The built command line, run as a person would.
enum MQBinary {
    struct Result: Sendable {
        let status: TerminationStatus
        let output: String
        let error: String

        var errorLines: [String] { error.split(separator: "\n").map(String.init) }
    }

    struct NotFound: Error {}

    /// Runs `mq` with an environment of its own, on the memory backend unless it says otherwise.
    static func run(
        _ arguments: String...,
        environment: [String: String] = [:],
        input: String = ""
    ) async throws -> Result {
        try await run(all: arguments, environment: environment, input: input)
    }

    /// Runs `mq` with an environment of its own.
    static func run(
        all arguments: [String],
        environment: [String: String] = [:],
        input: String = ""
    ) async throws -> Result {
        var variables: [Environment.Key: String] = ["PATH": try folder(), "MQ_BACKEND": "memory"]
        for (name, value) in environment { variables[Environment.Key(stringLiteral: name)] = value }
        let result = try await Subprocess.run(
            .name("mq"),
            arguments: Arguments(arguments),
            environment: .custom(variables),
            input: .string(input),
            output: .string(limit: 1 << 20),
            error: .string(limit: 1 << 20)
        )
        return Result(
            status: result.terminationStatus,
            output: result.standardOutput,
            error: result.standardError
        )
    }

    /// Runs `mq` and sends a signal when it has said something.
    static func run(_ arguments: String..., sending signal: Signal, after note: String) async throws
        -> TerminationStatus
    {
        let result = try await Subprocess.run(
            .name("mq"),
            arguments: Arguments(arguments),
            environment: .custom(["PATH": try folder(), "MQ_BACKEND": "memory"]),
            input: .none,
            output: .discarded,
            error: .sequence
        ) { execution in
            for try await line in execution.standardError.strings() where line.contains(note) {
                // The consumer is opened right after the note.
                try await Task.sleep(for: .milliseconds(100))
                try execution.send(signal: signal)
            }
        }
        return result.terminationStatus
    }

    /// The folder of `mq`: beside the test bundle, whichever program runs it.
    static func folder() throws -> String {
        let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        for path in [program].compactMap(\.self) + CommandLine.arguments where path.contains("/") {
            var folder = URL(filePath: path).deletingLastPathComponent()
            for _ in 0..<4 {
                let candidate = folder.appending(path: "mq").path()
                if FileManager.default.isExecutableFile(atPath: candidate), !isFolder(candidate) {
                    return folder.path()
                }
                folder.deleteLastPathComponent()
            }
        }
        throw NotFound()
    }

    private static func isFolder(_ path: String) -> Bool {
        var isFolder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
    }
}
