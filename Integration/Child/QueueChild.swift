#if Redis
import Foundation
import Logging
import Messaging
import MessagingRedis
import Synchronization

/// A program for tests that measure or kill a client from outside: `queue-child worker URL QUEUE GROUP`.
///
/// It handles messages by doing nothing and prints how many it has handled, one line per thousand.
@main
struct QueueChild {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 5, arguments[1] == "worker" else {
            print("usage: queue-child worker URL QUEUE GROUP")
            return
        }
        let logger = Logger(label: "child")
        let queue = RedisQueue(try RedisConfiguration(url: arguments[2]), logger: logger)
        let handled = Mutex(0)
        let worker = Worker(
            queue: queue,
            from: arguments[3],
            group: arguments[4],
            consumer: "worker-1",
            logger: logger
        ) { _ in
            let count = handled.withLock { count in
                count += 1
                return count
            }
            if count % 1000 == 0 {
                // Not `print`, which keeps lines back while stdout is a file.
                FileHandle.standardOutput.write(Data("handled \(count)\n".utf8))
            }
        }
        try await worker.run()
        await queue.close()
    }
}
#else
/// Without the trait `Redis` there is nothing to measure.
@main
struct QueueChild {
    static func main() { print("this build has no Redis") }
}
#endif
