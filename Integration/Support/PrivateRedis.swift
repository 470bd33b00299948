import Foundation
import Synchronization

/// A redis-server of a test's own: on a free loopback port, with its data in a temporary folder, stopped by its id.
package final class PrivateRedis: Sendable {
    /// The server could not be started.
    package struct StartFailure: Error, CustomStringConvertible {
        package let description: String
    }

    private struct State {
        var process: ChildProcess?
    }

    package let port: Int
    package let folder: URL
    private let arguments: [String]
    private let state = Mutex(State())

    /// Starts a server and waits until it answers.
    ///
    /// - Parameter arguments: Further settings, such as `--appendfsync always`.
    /// - Throws: `StartFailure`.
    package init(_ arguments: [String] = []) throws {
        port = try Self.freePort()
        folder = FileManager.default.temporaryDirectory.appending(path: "mq-redis-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        self.arguments = arguments
        try start()
    }

    package var url: String { "redis://127.0.0.1:\(port)" }
    package var processID: Int32 { state.withLock { $0.process?.processID ?? 0 } }

    package static let isInstalled = executable != nil

    private static let executable = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"]
        .map { $0 + "/redis-server" }.first { FileManager.default.isExecutableFile(atPath: $0) }

    /// Starts the server again on the same port and data.
    package func start() throws {
        guard let executable = Self.executable else { throw StartFailure(description: "redis-server is not installed") }
        let process = try ChildProcess(
            executable,
            [
                "--port", String(port), "--bind", "127.0.0.1", "--dir", folder.path, "--appendonly", "yes", "--save",
                "",
                "--daemonize", "no", "--unixsocket", folder.path + "/socket", "--logfile", folder.path + "/log",
            ] + arguments
        )
        state.withLock { $0.process = process }
        let deadline = Date(timeIntervalSinceNow: 20)
        while Date() < deadline {
            if answers() { return }
            guard process.isRunning else { break }
            usleep(20_000)
        }
        stop()
        throw StartFailure(description: "redis-server on port \(port) did not start; its log is in \(folder.path)")
    }

    /// Sends a signal to the server.
    package func signal(_ number: Int32) { state.withLock { $0.process }?.signal(number) }

    /// Kills the server as a crash would.
    package func crash() { state.withLock { $0.process }?.crash() }

    /// Stops the server; its data stay until `deinit`.
    package func stop() {
        guard let process = state.withLock({ $0.process }), process.isRunning else { return }
        process.signal(SIGCONT)
        process.signal(SIGTERM)
        process.end(within: 5)
    }

    deinit {
        stop()
        try? FileManager.default.removeItem(at: folder)
    }

    /// Runs redis-cli against the server: a client that knows nothing of this library.
    @discardableResult
    package func cli(_ words: String..., input: String? = nil) throws -> String {
        try Self.cli(port: port, words, input: input)
    }

    @discardableResult
    package static func cli(port: Int, _ words: [String], input: String? = nil) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: (executable ?? "").replacing("redis-server", with: "redis-cli"))
        process.arguments = ["-p", String(port)] + words
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        if let input {
            let pipe = Pipe()
            process.standardInput = pipe
            try process.run()
            try pipe.fileHandleForWriting.write(contentsOf: Data(input.utf8))
            try pipe.fileHandleForWriting.close()
        } else {
            try process.run()
        }
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .newlines)
    }

    /// Adds an entry to a stream with redis-cli.
    ///
    /// - Returns: Whether it was added.
    package static func add(_ body: [UInt8], to stream: String, port: Int) throws -> Bool {
        // As hexadecimal digits: arguments of programs are text without NUL.
        let script = """
            local body = ARGV[1]:gsub('..', function(digits) return string.char(tonumber(digits, 16)) end)
            return redis.call('XADD', KEYS[1], '*', 'payload', body)
            """
        let digits = body.map { String(format: "%02x", $0) }.joined()
        return try cli(port: port, ["EVAL", script, "1", stream, digits]).contains("-")
    }

    private func answers() -> Bool {
        let answer = try? cli("PING")
        return answer == "PONG" || answer?.hasPrefix("NOAUTH") == true
    }

    /// Asks the system for a port that is free.
    package static func freePort() throws -> Int {
        #if canImport(Glibc)
        let stream = Int32(SOCK_STREAM.rawValue)
        #else
        let stream = SOCK_STREAM
        #endif
        let handle = socket(AF_INET, stream, 0)
        guard handle >= 0 else { throw StartFailure(description: "no socket can be had") }
        defer { close(handle) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(handle, pointer, length) == 0 && getsockname(handle, pointer, &length) == 0
            }
        }
        guard isBound else { throw StartFailure(description: "no port can be had") }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}
