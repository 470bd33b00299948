import Foundation
import Synchronization

/// A rabbitmq-server of a test's own: a node on free loopback ports with its data in a temporary folder, stopped by its id.
///
/// It takes some seconds to start, so tests share one where they can.
package final class PrivateRabbitMQ: Sendable {
    /// The node could not be started.
    package struct StartFailure: Error, CustomStringConvertible {
        package let description: String
    }

    /// The ports of the node.
    private struct Ports {
        var amqp = 0
        var management = 0
        var distribution = 0
        var names = 0
    }

    private struct State {
        /// The script that starts the node.
        var process: ChildProcess?
        /// The node itself.
        var node: pid_t = 0
    }

    package let port: Int
    package let managementPort: Int
    package let folder: URL
    private let ports: Ports
    private let settings: [String]
    private let state = Mutex(State())

    /// Starts a node and waits until it is ready.
    ///
    /// - Parameter settings: Further lines of its configuration.
    /// - Throws: `StartFailure`.
    package init(_ settings: [String] = []) throws {
        var ports = Ports()
        ports.amqp = try PrivateRedis.freePort()
        ports.management = try PrivateRedis.freePort()
        ports.distribution = try PrivateRedis.freePort()
        ports.names = try PrivateRedis.freePort()
        self.ports = ports
        port = ports.amqp
        managementPort = ports.management
        self.settings = settings
        folder = FileManager.default.temporaryDirectory.appending(path: "mq-rabbitmq-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try start()
    }

    package var url: String { "amqp://127.0.0.1:\(port)?management=\(management)" }
    package var management: String { "http://127.0.0.1:\(managementPort)" }
    package var processID: Int32 { state.withLock { $0.node } }

    package static let isInstalled = executable != nil

    // Debian's wrapper in /usr/sbin changes the user; the script behind it does not.
    private static let executable = ["/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin"]
        .map { $0 + "/rabbitmq-server" }.first { FileManager.default.isExecutableFile(atPath: $0) }

    private var environment: [String: String] {
        ProcessInfo.processInfo.environment.merging([
            "HOME": folder.path,
            "RABBITMQ_MNESIA_BASE": folder.path + "/data",
            "RABBITMQ_LOG_BASE": folder.path + "/log",
            "RABBITMQ_ENABLED_PLUGINS_FILE": folder.path + "/plugins",
            "RABBITMQ_CONFIG_FILE": folder.path + "/rabbitmq.conf",
            "RABBITMQ_PID_FILE": folder.path + "/pid",
            "RABBITMQ_NODENAME": "mq-\(port)@localhost",
            "RABBITMQ_NODE_PORT": String(port),
            "RABBITMQ_DIST_PORT": String(ports.distribution),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": String(ports.names),
            // Figures that are fresh enough for tests: by default they are five seconds old.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "-kernel inet_dist_use_interface {127,0,0,1} -rabbit quorum_tick_interval 200",
        ]) { $1 }
    }

    /// Starts the node again on the same ports and data.
    package func start() throws {
        guard let executable = Self.executable else {
            throw StartFailure(description: "rabbitmq-server is not installed")
        }
        let lines =
            [
                "listeners.tcp.default = 127.0.0.1:\(port)", "management.tcp.ip = 127.0.0.1",
                "management.tcp.port = \(managementPort)", "log.file = false", "log.console = true",
            ] + settings
        try Data(lines.joined(separator: "\n").appending("\n").utf8).write(to: folder.appending(path: "rabbitmq.conf"))
        try Data("[rabbitmq_management].\n".utf8).write(to: folder.appending(path: "plugins"))
        try? FileManager.default.removeItem(at: folder.appending(path: "pid"))
        let output = folder.appending(path: "output")
        let process = try ChildProcess(
            executable,
            [],
            environment: environment,
            output: output.path,
            errors: folder.appending(path: "errors").path
        )
        state.withLock { $0 = State(process: process, node: 0) }
        let deadline = Date(timeIntervalSinceNow: 60)
        while Date() < deadline {
            if let text = try? String(contentsOf: output, encoding: .utf8), text.contains("Server startup complete"),
                let id = try? String(contentsOf: folder.appending(path: "pid"), encoding: .utf8),
                let node = pid_t(id.trimmingCharacters(in: .whitespacesAndNewlines))
            {
                state.withLock { $0.node = node }
                return
            }
            guard process.isRunning else { break }
            usleep(50_000)
        }
        stop()
        throw StartFailure(description: "rabbitmq-server on port \(port) did not start; its log is in \(folder.path)")
    }

    /// Sends a signal to the node.
    package func signal(_ number: Int32) {
        let node = processID
        if node > 0 { kill(node, number) }
    }

    /// Kills the node as a crash would.
    package func crash() {
        signal(SIGKILL)
        end()
    }

    /// Stops the node; its data stay until `deinit`.
    package func stop() {
        signal(SIGCONT)
        signal(SIGTERM)
        end()
    }

    private func end() {
        guard let process = state.withLock({ $0.process }) else { return }
        if processID == 0 { process.signal(SIGTERM) }
        process.end(within: 20)
        // The script is gone; a node that is not has not listened.
        signal(SIGKILL)
        state.withLock { $0 = State() }
    }

    deinit { remove() }

    /// Stops the node and removes its data.
    package func remove() {
        stop()
        // The name server of Erlang that came with the node, on a port of its own.
        _ = try? run(["/usr/bin/epmd", "/opt/homebrew/bin/epmd"], ["-port", String(ports.names), "-kill"])
        try? FileManager.default.removeItem(at: folder)
    }

    /// Runs rabbitmqctl against the node.
    @discardableResult
    package func ctl(_ words: [String]) throws -> String {
        let folder = (Self.executable.map { URL(filePath: $0).deletingLastPathComponent().path } ?? "") + "/rabbitmqctl"
        return try run([folder], ["--quiet", "--node", "mq-\(port)@localhost"] + words)
    }

    /// Makes the node write down which queues there are and who their members are.
    ///
    /// RabbitMQ 3.10 does so half a second late, and a node that is killed before that has forgotten the queue, or
    /// finds no leader for it: docs/rabbitmq.md tells it. Tests that are about messages call this before they kill a
    /// node.
    package func writeDownQueues() throws {
        try ctl(["eval", "mnesia:sync_log(), [dets:sync(T) || T <- dets:all()], ok."])
    }

    private func run(_ candidates: [String], _ arguments: [String]) throws -> String {
        guard let program = candidates.first(where: { FileManager.default.isExecutableFile(atPath: $0) }) else {
            throw StartFailure(description: "\(candidates.first ?? "a program") is not installed")
        }
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        process.environment = environment
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .newlines)
    }
}
