import Foundation
import Synchronization

/// A server that speaks Kafka's protocol, of a test's own: on a free loopback port, with its data in a temporary folder,
/// stopped by its id.
///
/// It is noida-db, a stand-in with one node that `Integration/install kafka` brings; it saves lazily, so a crash loses
/// its last writes.
package final class PrivateKafka: Sendable {
    /// The server could not be started.
    package struct StartFailure: Error, CustomStringConvertible {
        package let description: String
    }

    package let port: Int
    package let folder: URL
    private let process = Mutex<ChildProcess?>(nil)

    /// Starts a server and waits until it listens.
    ///
    /// - Throws: `StartFailure`.
    package init() throws {
        port = try PrivateRedis.freePort()
        folder = FileManager.default.temporaryDirectory.appending(path: "mq-kafka-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try start()
    }

    /// The server's URL, with a session that is short enough for tests that kill members.
    package var url: String { "kafka://127.0.0.1:\(port)?session_timeout=6" }

    /// Whether this process is there for the tests of Kafka: librdkafka's threads would count as the processor time of
    /// other tests in the same one.
    package static let isWanted = ProcessInfo.processInfo.environment["MQ_TEST_KAFKA"] != nil
    /// Whether they are wanted and can run.
    package static let isInstalled = isWanted && executable != nil
    /// Why they are skipped.
    package static let unwanted = "make test and make test-kafka run it, in a process of its own"
    package static let missing = "noida-db is not installed; make test-kafka installs it"

    /// Where `Integration/install kafka` puts the stand-in and Python's client.
    private static let environment = URL(filePath: #filePath)
        .deletingLastPathComponent().appending(path: "../../.build/brokers/kafka").standardizedFileURL

    /// The server itself: its Python wrapper would keep it running when the wrapper is killed.
    private static let executable: String? = {
        let library = environment.appending(path: "lib")
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: library.path)) ?? []
        return versions.map { library.appending(path: "\($0)/site-packages/noida_db/noida-db").path }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    /// A Python that has confluent-kafka.
    package static let python: String? = {
        let path = environment.appending(path: "bin/python").path
        return FileManager.default.isExecutableFile(atPath: path) ? path : nil
    }()

    /// Starts the server again on the same port and data.
    package func start() throws {
        guard let executable = Self.executable else { throw StartFailure(description: Self.missing) }
        let data = folder.appending(path: "data")
        try FileManager.default.createDirectory(at: data, withIntermediateDirectories: true)
        let log = folder.appending(path: "log").path
        let child = try ChildProcess(
            executable,
            ["start", "--only", "kafka", "--kafka-port", String(port), "--data-dir", data.path],
            output: log,
            errors: folder.appending(path: "errors").path
        )
        process.withLock { $0 = child }
        let deadline = Date(timeIntervalSinceNow: 20)
        while Date() < deadline {
            if listens() { return }
            guard child.isRunning else { break }
            usleep(20_000)
        }
        stop()
        throw StartFailure(description: "noida-db on port \(port) did not start; its log is \(log)")
    }

    package func stop() {
        guard let child = process.withLock({ $0 }), child.isRunning else { return }
        child.signal(SIGCONT)
        child.signal(SIGTERM)
        child.end(within: 10)
    }

    /// Sends a signal to the server.
    package func signal(_ number: Int32) { process.withLock { $0 }?.signal(number) }

    /// Starts again with nothing.
    package func wipe() throws {
        stop()
        try? FileManager.default.removeItem(at: folder.appending(path: "data"))
        try start()
    }

    deinit {
        stop()
        try? FileManager.default.removeItem(at: folder)
    }

    private func listens() -> Bool {
        #if canImport(Glibc)
        let stream = Int32(SOCK_STREAM.rawValue)
        #else
        let stream = SOCK_STREAM
        #endif
        let handle = socket(AF_INET, stream, 0)
        guard handle >= 0 else { return false }
        defer { close(handle) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                connect(handle, pointer, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }

    /// Runs a program of another client against the server.
    ///
    /// - Returns: What it wrote to stdout.
    package static func run(_ program: String, _ arguments: [String], input: String? = nil) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        let source = Pipe()
        process.standardInput = source
        try process.run()
        try source.fileHandleForWriting.write(contentsOf: Data((input ?? "").utf8))
        try source.fileHandleForWriting.close()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }

    /// kcat, a client on librdkafka that knows nothing of this library.
    package static let kcat = ["/usr/bin/kcat", "/usr/local/bin/kcat", "/opt/homebrew/bin/kcat", "/usr/bin/kafkacat"]
        .first { FileManager.default.isExecutableFile(atPath: $0) }
}
