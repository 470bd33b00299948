import Messaging

/// A member of a group of a ``MemoryQueue``.
final class MemoryConsumer: QueueConsumer {
    let group: String
    let name: String
    let lease: Duration
    private let runtime: QueueRuntime
    private let groupNumber: Int
    private let number: UInt32

    var queue: String { runtime.name }

    init(_ runtime: QueueRuntime, group: String, groupNumber: Int, name: String, number: UInt32, lease: Duration) {
        self.runtime = runtime
        self.group = group
        self.groupNumber = groupNumber
        self.name = name
        self.number = number
        self.lease = lease
    }

    deinit { leave() }

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        guard (1...1000).contains(max) else {
            throw QueueError(.invalidArgument, "max must be 1 to 1000, not \(max)", queue: queue)
        }
        return try await runtime.receive(groupNumber, consumer: number, max: max, wait: wait)
    }

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        let outcomes = try runtime.runLive { engine, moment in
            engine.settle(groupNumber, requests, by: number, at: moment)
        }
        guard let outcomes else { throw closed }
        return outcomes
    }

    func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] {
        let renewed = try runtime.runLive { engine, moment in
            engine.renew(groupNumber, receipts, by: number, now: moment.now)
        }
        guard let renewed else { throw closed }
        return renewed
    }

    func close() async { leave() }

    /// Leaves the group; again is fine.
    func leave() { runtime.leave(groupNumber, number) }

    private var closed: QueueError { QueueError(.closed, "the consumer was closed", queue: queue) }
}
