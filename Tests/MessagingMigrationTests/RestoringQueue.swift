import Messaging
import MessagingMemory

/// A client whose broker writes in what moves to it in a way of its own.
struct RestoringQueue: QueueDecorator {
    /// Writes messages into a queue, by the transfer of the client below or otherwise.
    typealias Restore =
        @Sendable ([StoredMessage], String, any QueueTransfer) async throws(QueueError) -> [PublishOutcome]

    let base: any MessageQueue
    let restore: Restore

    var transfer: (any QueueTransfer)? { base.transfer.map { RestoringTransfer(base: $0, way: restore) } }
}

private struct RestoringTransfer: TransferDecorator {
    let base: any QueueTransfer
    let way: RestoringQueue.Restore

    func restore(_ messages: [StoredMessage], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        try await way(messages, queue, base)
    }
}

extension World {
    /// Two queues in memory, of which the second writes in what moves to it in a way of its own.
    static func memory(restoring restore: @escaping RestoringQueue.Restore) throws -> World {
        let target = MemoryQueue()
        return try World { _ in
            (
                .memory("a"),
                Place(description: "memory:b") { RestoringQueue(base: target.makeClient(), restore: restore) }
            )
        }
    }
}
