import Logging
import Messaging

/// Workers over one group, for the time of a closure.
struct Workers: Sendable {
    let queue: any MessageQueue
    let target: String
    let settings: BenchmarkSettings
    /// How many deliveries one worker handles at a time.
    let concurrency: Int

    /// Runs the workers until the closure has ended.
    ///
    /// - Parameters:
    ///   - handler: Handles one delivery.
    ///   - body: What to do meanwhile.
    /// - Throws: What `body` throws, or `QueueError` of a worker.
    func run(
        handler: @escaping Worker.Handler,
        while body: @escaping @Sendable () async throws -> Void
    ) async throws {
        let workers = (0..<settings.consumers).map { number in
            Worker(
                queue: queue,
                from: target,
                group: BenchmarkSettings.group(0),
                consumer: "bench-\(number + 1)",
                configuration: WorkerConfiguration(concurrency: concurrency, receiveWait: settings.patience),
                logger: Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() },
                handler: handler
            )
        }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for worker in workers { tasks.addTask { try await worker.run() } }
            tasks.addTask {
                defer { for worker in workers { worker.stop() } }
                try await body()
            }
            try await tasks.waitForAll()
        }
    }
}
