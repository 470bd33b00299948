import Messaging
import Synchronization

/// The backends of a process that follows migrations: its own, and those that are opened when a queue moves there.
final class MigrationSides: Sendable {
    private let home: MigrationSide
    private let open: @Sendable (String) throws -> any MessageQueue
    private let others = Mutex<[String: any MessageQueue]>([:])

    init(home: MigrationSide, open: @escaping @Sendable (String) throws -> any MessageQueue) {
        self.home = home
        self.open = open
    }

    /// The backend of a label.
    func queue(_ label: String) throws(QueueError) -> any MessageQueue {
        if label == home.label { return home.queue }
        do {
            return try others.withLock { others in
                if let known = others[label] { return known }
                let made = try open(label)
                others[label] = made
                return made
            }
        } catch {
            throw QueueError(
                .unavailable,
                "a queue moves to \(label), which this process cannot open: \(error)",
                underlying: error
            )
        }
    }

    func close() async {
        let opened = others.withLock { others in
            defer { others = [:] }
            return Array(others.values)
        }
        for queue in opened { await queue.close() }
    }
}
