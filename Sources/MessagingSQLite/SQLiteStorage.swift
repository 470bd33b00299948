#if SQLite
import GRDB
import Messaging

/// What an application keeps beside its queues: in the same file, and in the same commits.
public struct SQLiteStorage: Sendable {
    private let queue: SQLiteQueue

    /// Creates storage in the file of a queue.
    ///
    /// - Parameter queue: The queue; closing it closes the storage.
    public init(_ queue: SQLiteQueue) { self.queue = queue }

    /// Changes the file in a transaction that is shared with other callers of this process.
    ///
    /// - Parameter body: What to do. It may be run again from its start, so it must do nothing but use the database; when
    ///   it throws, nothing of it stays. Names of tables that begin with `mq_` belong to this library.
    /// - Returns: What the closure returned, once it is on the disk.
    /// - Throws: `QueueError`: what the closure threw if it was one; `unavailable`, `permissionDenied`, `undecodable` or
    ///   `brokerError` when the file cannot be used; `indeterminate` when the commit itself failed; `closed`.
    public func write<Result: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Result
    ) async throws(QueueError) -> Result {
        try await queue.file().commits.perform { transaction in
            var result: Result?
            try transaction.database.inSavepoint {
                result = try body(transaction.database)
                return .commit
            }
            guard let result else { throw GroupCommit.closed }
            return result
        }
    }

    /// Reads from the file, in one state of it.
    ///
    /// - Parameter body: What to read.
    /// - Returns: What the closure returned.
    /// - Throws: `QueueError` as `write`.
    public func read<Result: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> Result
    ) async throws(QueueError) -> Result {
        try await queue.file().read(body)
    }
}
#endif
