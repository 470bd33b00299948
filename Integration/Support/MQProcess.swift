import Foundation

/// The `mq` program as a child: it can be killed at any moment, by its id.
package final class MQProcess: Sendable {
    /// What a finished child said.
    package struct Outcome: Sendable {
        package let status: Int32
        package let output: String
        package let errors: String
    }

    private let process: ChildProcess
    private let folder: URL

    /// The program that was built beside the tests.
    package static let executable = built("mq")

    /// A program that was built beside the tests.
    package static func built(_ name: String) -> URL {
        let own =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
            ?? CommandLine.arguments[0]
        return URL(filePath: own).deletingLastPathComponent().appending(path: name)
    }

    /// Starts the program.
    ///
    /// - Parameters:
    ///   - arguments: Its arguments.
    ///   - program: Another program than `mq`.
    ///   - environment: Variables beside those of this process.
    ///   - input: What it reads from stdin.
    /// - Throws: `ChildProcess.StartFailure`.
    package init(
        _ arguments: [String],
        program: URL = MQProcess.executable,
        environment: [String: String] = [:],
        input: String? = nil
    ) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "mq-child-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data((input ?? "").utf8).write(to: folder.appending(path: "input"))
        // Files take any amount of output without anybody reading along.
        process = try ChildProcess(
            program.path,
            arguments,
            environment: ProcessInfo.processInfo.environment
                // The default backend is a file in the working directory, which outlives the test.
                .merging(["MQ_BACKEND": "memory"]) { $1 }.merging(environment) { $1 },
            input: folder.appending(path: "input").path,
            output: folder.appending(path: "output").path,
            errors: folder.appending(path: "errors").path
        )
    }

    package var processID: Int32 { process.processID }
    package var isRunning: Bool { process.isRunning }

    /// What it has said so far.
    package var output: String { text("output") }
    package var errors: String { text("errors") }

    private func text(_ name: String) -> String {
        (try? String(contentsOf: folder.appending(path: name), encoding: .utf8)) ?? ""
    }

    package func signal(_ number: Int32) { process.signal(number) }

    /// Waits for the end, for at most some seconds; then kills it.
    @discardableResult
    package func wait(atMost seconds: Double = 60) async -> Outcome {
        let deadline = Date(timeIntervalSinceNow: seconds)
        while process.isRunning, Date() < deadline { try? await Task.sleep(for: .milliseconds(5)) }
        if process.isRunning { process.crash() }
        return Outcome(status: process.status ?? -1, output: output, errors: errors)
    }

    /// Kills it as a crash would, and waits until it is gone.
    package func crash() { process.crash() }

    /// Runs the program to its end.
    package static func run(
        _ arguments: [String],
        environment: [String: String] = [:],
        input: String? = nil,
        atMost seconds: Double = 60
    ) async throws -> Outcome {
        try await MQProcess(arguments, environment: environment, input: input).wait(atMost: seconds)
    }

    deinit {
        process.crash()
        try? FileManager.default.removeItem(at: folder)
    }
}
