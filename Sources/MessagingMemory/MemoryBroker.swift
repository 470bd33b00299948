import Messaging
import Synchronization

/// What the clients of one in-process broker share: the queues.
final class MemoryBroker: Sendable {
    let clock: QueueClock
    let maxBodyBytes: Int
    private let queues = Mutex<[String: QueueRuntime]>([:])
    private let lastConsumer = Atomic<UInt32>(0)

    init(clock: QueueClock, maxBodyBytes: Int) {
        self.clock = clock
        self.maxBodyBytes = maxBodyBytes
    }

    var names: [String] { queues.withLock { $0.keys.sorted() } }

    func existing(_ queue: String) -> QueueRuntime? { queues.withLock { $0[queue] } }

    func declare(_ definition: QueueDefinition) throws(QueueError) {
        // One that is deleted at the same time counts as deleted before.
        for _ in 0..<100 where try declared(definition) { return }
        throw QueueError(.unavailable, "the queue is deleted all the time", queue: definition.name, isRetryable: true)
    }

    /// Returns whether the queue was still there when it had been declared.
    private func declared(_ definition: QueueDefinition) throws(QueueError) -> Bool {
        let runtime = queues.withLock { queues in
            if let existing = queues[definition.name] { return existing }
            let created = QueueRuntime(definition, clock: clock, maxBodyBytes: maxBodyBytes)
            queues[definition.name] = created
            return created
        }
        do throws(QueueError) {
            try runtime.runLive { engine, moment throws(QueueError) in try engine.declare(definition, at: moment) }
        } catch  where error.code == .topologyLost {
            return false
        }
        return true
    }

    func delete(_ queue: String) -> Bool {
        guard let runtime = queues.withLock({ $0.removeValue(forKey: queue) }) else { return false }
        runtime.delete()
        return true
    }

    /// Returns a number that no other consumer of this broker has.
    func makeConsumerNumber() -> UInt32 { lastConsumer.wrappingAdd(1, ordering: .relaxed).newValue }
}
