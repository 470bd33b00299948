import Messaging

/// The queues of a run: made for it alone, and deleted at its end however it ends.
struct BenchmarkQueues: Sendable {
    let queue: any MessageQueue
    /// Told of a queue that could not be deleted.
    let report: @Sendable (String) -> Void

    /// What every queue of a run begins with.
    static let prefix = "bench-"

    /// A name that no other queue has.
    static func name() -> String { prefix + MessageID.make().rawValue }

    /// Makes queues, does something with them and deletes them.
    ///
    /// - Parameters:
    ///   - count: How many queues.
    ///   - define: What a queue of a name is like.
    ///   - body: What to do with the names.
    /// - Returns: What `body` returns.
    /// - Throws: What `body` throws, or `QueueError` when a queue cannot be made.
    func with<Result: Sendable>(
        _ count: Int = 1,
        as define: (String) -> QueueDefinition,
        _ body: ([String]) async throws -> Result
    ) async throws -> Result {
        let names = (0..<count).map { _ in Self.name() }
        do {
            for name in names {
                try Task.checkCancellation()
                try await queue.declare(define(name))
            }
            let result = try await body(names)
            await delete(names)
            return result
        } catch {
            await delete(names)
            throw error
        }
    }

    /// Deletes queues, after a cancellation too.
    private func delete(_ names: [String]) async {
        await Task {
            var failed: [String] = []
            var reason: QueueError?
            for name in names {
                do throws(QueueError) {
                    // One that was never made is none to delete.
                    _ = try await queue.deleteQueue(name)
                } catch {
                    failed.append(name)
                    reason = error
                    // Every further one would wait as long.
                    if error.code == .unavailable || error.code == .closed { break }
                }
            }
            guard let first = failed.first, let reason else { return }
            let others = names.count > 1 ? " and perhaps others that begin with '\(Self.prefix)'" : ""
            report("the queue '\(first)'\(others) could not be deleted: \(reason.message)")
        }.value
    }
}
