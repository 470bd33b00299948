#if canImport(Darwin)
import Darwin
#elseif canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Ctrl-C and SIGTERM: the first one cancels the work so that it can end cleanly, the second one ends the process.
enum Interrupt {
    /// Runs work that is cancelled by the first signal.
    ///
    /// - Parameters:
    ///   - restore: Called before the second signal ends the process, to leave the terminal as it was.
    ///   - body: The work.
    /// - Returns: The result of the work.
    /// - Throws: What the work throws.
    static func cancelling<Result: Sendable>(
        restoring restore: @escaping @Sendable () -> Void = {},
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        let (watching, isWatching) = AsyncStream.makeStream(of: Void.self)
        let task = Task {
            // Not before a signal is heard, which whoever sees the first words of the work may send.
            for await _ in watching {}
            return try await body()
        }
        let watch = SignalWatch([SIGINT, SIGTERM], begun: { isWatching.finish() }) { number in
            if task.isCancelled {
                restore()
                POSIX.die(by: number)
            }
            task.cancel()
        }
        defer { watch.cancel() }
        return try await task.value
    }

    /// Runs what must also be done after a signal, such as giving messages back.
    static func shielded<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await Task { try await body() }.value
    }
}
