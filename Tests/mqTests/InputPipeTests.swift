#if SQLite
import Foundation
import Logging
import Messaging
import MessagingSQLite
import Subprocess
import Synchronization
import TestSupport
import Testing

/// A program that writes a line now and then into the pipe that `mq` reads.
@Suite("An input that is a pipe", .timeLimit(.minutes(2)))
struct InputPipeTests {
    private final class Running: Sendable {
        let id = Mutex<ProcessIdentifier?>(nil)
    }

    @Test("is published as it comes, though the pipe stays open")
    func staysOpen() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "mq-pipe-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (pipe, file) = (folder.appending(path: "in").path, folder.appending(path: "queue.sqlite").path)
        try #require(mkfifo(pipe, 0o600) == 0)
        // For reading as well, so that opening it does not wait for the other end.
        let writer = open(pipe, O_RDWR)
        try #require(writer >= 0)
        defer { close(writer) }
        let process = Running()
        async let status = run(["--backend", "sqlite:\(file)", "--layer", "collect", "--input", pipe], process)
        let queue = SQLiteQueue(SQLiteConfiguration(path: file), logger: Logger(label: "test"))
        for number in 1...3 {
            let line = "{\"id\": \"\(number)\", \"text\": \"statement \(number)\"}\n"
            #expect(write(writer, line, line.utf8.count) == line.utf8.count)
            let isThere = try await eventually {
                guard FileManager.default.fileExists(atPath: file) else { return false }
                let figures = try? await queue.statistics(of: "queue:analysis")
                return figures?["analysis-workers"]?.ready.value == number
            }
            #expect(isThere, "statement \(number) was not published")
        }
        await queue.close()
        let id = process.id.withLock { $0 }
        let running = try #require(id)
        #expect(kill(running.value, SIGTERM) == 0)
        // Collecting was not done with: the pipe had not ended.
        #expect(try await status == .exited(3))
    }

    private func run(
        _ arguments: [String],
        _ process: Running
    ) async throws -> TerminationStatus {
        try await Subprocess.run(
            .name("mq"),
            arguments: Arguments(["pipeline", "run"] + arguments),
            environment: .custom(["PATH": try MQBinary.folder()]),
            input: .none,
            output: .discarded,
            error: .discarded
        ) { execution in
            process.id.withLock { $0 = execution.processIdentifier }
        }.terminationStatus
    }
}
#endif
