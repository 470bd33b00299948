#if SQLite
import Messaging

/// Remembers processed messages in the file of the queues, for workers in several processes.
public struct SQLiteProcessedStore: ProcessedStore {
    private let queue: SQLiteQueue

    /// Creates a store in the file of a queue.
    ///
    /// - Parameter queue: The queue's client; the store ends with it.
    public init(_ queue: SQLiteQueue) { self.queue = queue }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func contains(_ id: MessageID, scope: String) async throws(QueueError) -> Bool {
        try await queue.inspect { inspection in try inspection.isProcessed(id, scope: scope) }
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func insert(_ id: MessageID, scope: String, remember: Duration) async throws(QueueError) -> Bool {
        try await queue.file().commits.perform { transaction in
            try transaction.noteProcessed(id, scope: scope, remember: remember)
        }
    }
}

extension Transaction {
    /// Notes a message as processed.
    ///
    /// - Returns: Whether it was new.
    fileprivate func noteProcessed(_ id: MessageID, scope: String, remember: Duration) throws -> Bool {
        // A note whose time is over counts as none.
        try prepared(
            """
            INSERT INTO mq_processed (scope, id, until) VALUES (?1, ?2, ?3)
            ON CONFLICT (scope, id) DO UPDATE SET until = excluded.until WHERE until <= ?4
            """
        ).run(.text(scope), .text(id.rawValue), .integer(after(remember.milliseconds)), .integer(now)) == 1
    }
}

extension Inspection {
    fileprivate func isProcessed(_ id: MessageID, scope: String) throws -> Bool {
        let found = try Prepared(database, "SELECT until FROM mq_processed WHERE scope = ? AND id = ?")
            .first(.text(scope), .text(id.rawValue)) { $0.integer(0) }
        return found.map { $0 > now } ?? false
    }
}
#endif
