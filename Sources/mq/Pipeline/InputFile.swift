import Dispatch
import MessagingPipeline
import Synchronization

#if canImport(Darwin)
import Darwin
#elseif canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A file or stdin as an input of the pipeline, read in pieces.
struct InputFile: Sendable {
    let path: String
    /// The name for reports and the statements' `source`; by default the file's own.
    var name: String?
    /// How it is written; `nil` tells it from the first byte.
    var format: StatementParser.Format?

    private static let pieceSize = 64 << 10

    /// Checks that the file can be read, before anything is started.
    ///
    /// - Throws: `CLIError` that says what is wrong with it.
    func check() throws {
        if path == "-" { return }
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw CLIError(
                errno == ENOENT ? .notFound : .failed,
                "cannot read the input '\(path)': \(String(cString: strerror(errno)).lowercased())",
                do: "check the inputs"
            )
        }
        if status.st_mode & S_IFMT == S_IFDIR {
            throw CLIError(.failed, "the input '\(path)' is a folder", do: "give a file")
        }
        guard access(path, R_OK) == 0 else {
            throw CLIError(.failed, "the input '\(path)' may not be read", do: "check its rights")
        }
    }

    /// The input for the pipeline.
    var input: CollectInput {
        let own = path == "-" ? "stdin" : String(path.split(separator: "/").last ?? Substring(path))
        let path = path
        return CollectInput(name: name ?? own, format: format) { piece in
            let descriptor = path == "-" ? 0 : open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else {
                throw CollectError("cannot read the input '\(path)': \(String(cString: strerror(errno)).lowercased())")
            }
            defer { if descriptor != 0 { close(descriptor) } }
            while true {
                // Whoever writes into a pipe now and then must not wait until a batch is full.
                if Self.waits(descriptor) { try await piece([]) }
                let bytes = try await Self.read(descriptor, path)
                if bytes.isEmpty { return }
                try await piece(bytes)
            }
        }
    }

    /// Whether reading would have to wait for somebody to write.
    private static func waits(_ descriptor: Int32) -> Bool {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return withUnsafeMutablePointer(to: &poll) { pointer in
            #if canImport(Darwin)
            Darwin.poll(pointer, 1, 0)
            #elseif canImport(Glibc)
            Glibc.poll(pointer, 1, 0)
            #else
            Musl.poll(pointer, 1, 0)
            #endif
        } == 0
    }

    /// Reads off the cooperative threads, because stdin may let us wait.
    ///
    /// Cancelling ends the wait at once; the thread that still waits for bytes harms nobody.
    private static func read(_ descriptor: Int32, _ path: String) async throws -> [UInt8] {
        let box = Box()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                box.set(continuation)
                if Task.isCancelled { return box.resume(.failure(CancellationError())) }
                DispatchQueue.global().async {
                    var bytes = [UInt8](repeating: 0, count: pieceSize)
                    var count: Int
                    repeat {
                        count = bytes.withUnsafeMutableBytes { buffer in
                            #if canImport(Darwin)
                            Darwin.read(descriptor, buffer.baseAddress, buffer.count)
                            #elseif canImport(Glibc)
                            Glibc.read(descriptor, buffer.baseAddress, buffer.count)
                            #else
                            Musl.read(descriptor, buffer.baseAddress, buffer.count)
                            #endif
                        }
                    } while count < 0 && errno == EINTR
                    if count < 0 {
                        let reason = String(cString: strerror(errno)).lowercased()
                        return box.resume(.failure(CollectError("reading the input '\(path)' failed: \(reason)")))
                    }
                    bytes.removeLast(pieceSize - count)
                    box.resume(.success(bytes))
                }
            }
        } onCancel: {
            box.resume(.failure(CancellationError()))
        }
    }

    /// A continuation that whoever comes first resumes.
    private final class Box: Sendable {
        private let continuation = Mutex<CheckedContinuation<[UInt8], any Error>?>(nil)

        func set(_ value: CheckedContinuation<[UInt8], any Error>) { continuation.withLock { $0 = value } }

        func resume(_ result: Result<[UInt8], any Error>) {
            let waiting = continuation.withLock { state in
                defer { state = nil }
                return state
            }
            waiting?.resume(with: result)
        }
    }
}
