#if Kafka
import Messaging
import Synchronization

/// A consumer of a group: shares the group's member with the others of its client.
final class KafkaConsumer: QueueConsumer {
    private struct State {
        var isClosed = false
        /// What takes the consumer out of the group; whoever else closes it waits for that too.
        var leaving: Task<Void, Never>?
    }

    let name: String
    let lease: Duration
    private let owner: KafkaQueue
    private let member: GroupMember
    private let number: UInt32
    private let key: String
    private let mode: ConsumerOptions.Mode
    private let state = Mutex(State())

    var queue: String { member.settings.queue }
    var group: String { member.settings.group }

    init(
        owner: KafkaQueue,
        member: GroupMember,
        number: UInt32,
        name: String,
        group: GroupDefinition,
        key: String,
        mode: ConsumerOptions.Mode
    ) {
        self.owner = owner
        self.member = member
        self.number = number
        self.name = name
        self.lease = group.lease
        self.key = key
        self.mode = mode
    }

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        guard 1...1000 ~= max else {
            throw QueueError(.invalidArgument, "receive takes 1 to 1000 deliveries, not \(max)", queue: queue)
        }
        let clock = member.clock
        let start = clock.now()
        while true {
            try checkOpen()
            if Task.isCancelled { throw cancelled }
            let left = Swift.max(.zero, wait - (clock.now() - start))
            let taken = try await member.receive(number, max: max, wait: left)
            if Task.isCancelled, !taken.isEmpty, mode == .atLeastOnce {
                _ = await member.settle(taken.map { SettleRequest($0.receipt, .release) }, by: number)
                throw cancelled
            }
            if taken.isEmpty {
                if let outage = member.outage(for: wait), wait >= .seconds(1) { throw outage }
                return []
            }
            guard mode == .atMostOnce else { return taken }
            let requests = taken.map { SettleRequest($0.receipt, .acknowledge) }
            let outcomes = await member.settle(requests, by: number, isConfirmed: true)
            let kept = zip(taken, outcomes).filter(\.1.isSettled).map(\.0)
            if !kept.isEmpty || clock.now() - start >= wait { return kept }
        }
    }

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        try checkOpen()
        return await member.settle(requests, by: number)
    }

    func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] {
        try checkOpen()
        return member.renew(receipts, by: number)
    }

    /// One that was dropped gives back what it held as if it had been closed.
    deinit {
        let isClosed = state.withLock { $0.isClosed }
        guard !isClosed else { return }
        Task { [owner, key, number] in await owner.leave(key, number) }
    }

    func close() async {
        let leaving = state.withLock { state in
            if let leaving = state.leaving { return leaving }
            state.isClosed = true
            let leaving = Task { [owner, key, number] in await owner.leave(key, number) }
            state.leaving = leaving
            return leaving
        }
        await leaving.value
        owner.forget(self)
    }

    private func checkOpen() throws(QueueError) {
        if state.withLock({ $0.isClosed }) { throw QueueError(.closed, "the consumer was closed", queue: queue) }
        if let lost = member.lost { throw lost }
    }

    private var cancelled: QueueError { QueueError(.cancelled, "receive was cancelled", queue: queue) }
}
#endif
