#if SQLite
import Logging
import Messaging
import MessagingMigration

/// Publishes messages one after the other to a queue that may move, and says of each when it is confirmed.
enum FollowerChild {
    /// How often one message is tried.
    private static let tries = 500

    static func run(
        _ home: MigrationSide,
        journal: String,
        _ name: String,
        count: Int,
        opening open: @escaping @Sendable (String) throws -> any MessageQueue
    ) async throws {
        let queue = MigratingQueue(
            home,
            journal: journal,
            lease: .milliseconds(100),
            name: "follower",
            logger: Logger(label: "child"),
            opening: open
        )
        for index in 0..<count {
            let message = Message(body: Array("live-\(index)".utf8) + [0, 255], id: MessageID("live-\(index)"))
            var left = tries
            while true {
                let error: QueueError?
                do throws(QueueError) {
                    error = try await queue.publish([message], to: name)[0].error
                } catch let failure {
                    error = failure
                }
                guard let error else { break }
                left -= 1
                // The same id again is what the contract asks for, whatever became of it.
                guard left > 0 else { throw error }
                try await Task.sleep(for: .milliseconds(20))
            }
            QueueChild.say("confirmed live-\(index)")
            try await Task.sleep(for: .milliseconds(2))
        }
        await queue.close()
    }
}
#endif
