import Logging
import Messaging
import Synchronization

/// Handles messages by doing nothing, and says how many it has handled, one line per thousand.
enum WorkerChild {
    static func run(_ queue: any MessageQueue, _ name: String, _ group: String) async throws {
        let handled = Mutex(0)
        let worker = Worker(
            queue: queue,
            from: name,
            group: group,
            consumer: "worker-1",
            logger: Logger(label: "child")
        ) { _ in
            let count = handled.withLock { count in
                count += 1
                return count
            }
            if count % 1000 == 0 { QueueChild.say("handled \(count)") }
        }
        try await worker.run()
        await queue.close()
    }
}
