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
        let runtime = queues.withLock { queues in
            if let existing = queues[definition.name] { return existing }
            let created = QueueRuntime(definition, clock: clock, maxBodyBytes: maxBodyBytes)
            queues[definition.name] = created
            return created
        }
        try runtime.run { engine, moment throws(QueueError) in try engine.declare(definition, now: moment.now) }
    }

    /// Returns a number that no other consumer of this broker has.
    func makeConsumerNumber() -> UInt32 { lastConsumer.wrappingAdd(1, ordering: .relaxed).newValue }
}
