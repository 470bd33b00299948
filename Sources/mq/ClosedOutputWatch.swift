import Dispatch
import Synchronization

/// Notices that nobody reads stdout any more, also while there is nothing to write.
///
/// Without it `mq consume --follow | head -1` would stay until the next message came.
final class ClosedOutputWatch: Sendable {
    private let found = Mutex(false)
    private let wake: (read: Int32, write: Int32)

    private init() throws { wake = try POSIX.makePipe() }

    deinit {
        POSIX.closeDescriptor(wake.read)
        POSIX.closeDescriptor(wake.write)
    }

    /// Whether the reader has gone.
    private var isClosed: Bool { found.withLock { $0 } }

    /// Runs work that is cancelled when the reader of stdout goes.
    ///
    /// - Parameter body: The work; what it must still do after that is its own matter.
    /// - Returns: The work's result.
    /// - Throws: `ClosedOutput` when the reader has gone, or what the work throws.
    static func cancelling<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        let watch = try ClosedOutputWatch()
        let task = Task { try await body() }
        // Waiting blocks; it must not block one of the few threads that tasks run on.
        DispatchQueue(label: "mq.stdout").async {
            if POSIX.waitUntilClosed(POSIX.standardOutput, wakeUp: watch.wake.read) {
                watch.found.withLock { $0 = true }
                task.cancel()
            }
        }
        let result = await withTaskCancellationHandler {
            await task.result
        } onCancel: {
            task.cancel()
        }
        try? POSIX.write([0], to: watch.wake.write)
        if watch.isClosed { throw ClosedOutput() }
        return try result.get()
    }
}
