import Dispatch

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// Splits bytes into lines without holding more than one unfinished line.
struct LineSplitter: Sendable {
    private var rest: [UInt8] = []
    private var count = 0
    let maxLength: Int

    init(maxLength: Int) { self.maxLength = maxLength }

    /// Adds bytes and returns the lines that are finished by them.
    mutating func add(_ bytes: [UInt8]) throws -> [[UInt8]] {
        var lines: [[UInt8]] = []
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: 0x0A) {
            lines.append(try line(rest + bytes[start..<end]))
            rest = []
            start = end + 1
        }
        rest += bytes[start...]
        if rest.count > maxLength { _ = try line(rest) }
        return lines
    }

    /// Returns the last line when it had no line feed.
    mutating func finish() throws -> [UInt8]? {
        defer { rest = [] }
        return rest.isEmpty ? nil : try line(rest)
    }

    private mutating func line(_ bytes: [UInt8]) throws -> [UInt8] {
        count += 1
        guard bytes.count <= maxLength else {
            throw CLIError(
                .failed,
                "line \(count) of the input is longer than \(maxLength) bytes",
                do: "store the body elsewhere and publish its address"
            )
        }
        return bytes
    }
}

/// Lines of stdin as they come, in batches; nothing is read before it is asked for.
final class StandardInput: Sendable {
    private static let chunk = 64 << 10
    private let queue = DispatchQueue(label: "mq.stdin")
    private let wake: (read: Int32, write: Int32)

    init() throws { wake = try POSIX.makePipe() }

    deinit {
        POSIX.closeDescriptor(wake.read)
        POSIX.closeDescriptor(wake.write)
    }

    /// Waits for input.
    ///
    /// - Returns: What is there, at most 64 KiB; empty at the end.
    /// - Throws: `CancellationError` when the task is cancelled.
    func read() async throws -> [UInt8] {
        try Task.checkCancellation()
        let wake = wake
        let bytes = try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                // Reading blocks; it must not block one of the few threads that tasks run on.
                queue.async {
                    continuation.resume(
                        with: Result { try POSIX.read(POSIX.standardInput, max: Self.chunk, wakeUp: wake.read) }
                    )
                }
            }
        } onCancel: {
            try? POSIX.write([0], to: wake.write)
        }
        guard let bytes else { throw CancellationError() }
        return bytes
    }
}
