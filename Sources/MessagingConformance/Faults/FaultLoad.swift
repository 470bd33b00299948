import Messaging
import Synchronization

/// Publishers and consumers that go on whatever happens to their broker, until they are told to stop.
final class FaultLoad: Sendable {
    private struct State {
        var isStopped = false
        var confirmed: [MessageID: ClosedRange<Duration>] = [:]
        var handled: Set<MessageID> = []
        var failure: (any Error)?
        var next = 0
    }

    private let stage: FaultStage
    private let state = Mutex(State())
    private let tasks = Mutex<[Task<Void, Never>]>([])

    /// Starts publishers and consumers, each with a client of its own.
    init(_ stage: FaultStage, publishers: Int, consumers: Int) async throws {
        self.stage = stage
        for _ in 0..<publishers {
            let queue = try await stage.harness.makeQueue()
            start { try await self.publish(queue) }
        }
        for number in 0..<consumers {
            let queue = try await stage.harness.makeQueue()
            let consumer = try await queue.consume(stage.name, group: "workers", consumer: "load-\(number)")
            start { try await self.consume(consumer) }
        }
    }

    /// The messages that were confirmed, and between which times.
    var confirmed: [MessageID: ClosedRange<Duration>] { state.withLock { $0.confirmed } }
    /// The messages that were acknowledged.
    var handled: Set<MessageID> { state.withLock { $0.handled } }

    private func start(_ body: @escaping @Sendable () async throws -> Void) {
        let task = Task {
            do { try await body() } catch {
                self.state.withLock { state in if state.failure == nil { state.failure = error } }
            }
        }
        tasks.withLock { $0.append(task) }
    }

    /// Ends what is under way.
    ///
    /// - Throws: What a publisher or consumer could not go on after.
    func stop() async throws {
        state.withLock { $0.isStopped = true }
        for task in tasks.withLock({ $0 }) { await task.value }
        if let failure = state.withLock({ $0.failure }) { throw failure }
    }

    /// Ends what is under way without a look at it.
    func abandon() {
        state.withLock { $0.isStopped = true }
        for task in tasks.withLock({ $0 }) { task.cancel() }
    }

    /// Waits until so many more messages were confirmed and handled than before.
    func expectFlow(_ count: Int, _ when: String, within limit: Duration) async throws {
        let (confirmed, handled) = state.withLock { ($0.confirmed.count, $0.handled.count) }
        let end = ContinuousClock.now + limit
        while true {
            let now = state.withLock { ($0.confirmed.count, $0.handled.count, $0.failure) }
            if let failure = now.2 { throw failure }
            if now.0 - confirmed >= count, now.1 - handled >= count { return }
            try expect(
                ContinuousClock.now < end,
                "\(when) \(now.0 - confirmed) messages were confirmed and \(now.1 - handled) handled within \(limit)"
            )
            try await stage.harness.advance(by: stage.stage.step)
            // On a manual clock the others need some of the machine's time.
            try await Task.sleep(for: .milliseconds(1))
        }
    }

    private var isStopped: Bool { state.withLock { $0.isStopped } }

    private func publish(_ queue: any MessageQueue) async throws {
        while !isStopped {
            let number = state.withLock { state in
                defer { state.next += 1 }
                return state.next
            }
            let message = stage.message(number)
            while true {
                let asked = stage.harness.now
                switch try await stage.outcome(message, by: queue) {
                case .accepted, .duplicate:
                    let now = max(asked, stage.harness.now)
                    state.withLock { $0.confirmed[message.id] = asked...now }
                    // Leaves room for the consumers.
                    try await Task.sleep(for: .milliseconds(2))
                case .refused(let error), .indeterminate(let error):
                    try expect(error.isRetryable, "a publisher cannot go on: \(error)")
                    if isStopped { return }
                    try await Task.sleep(for: .milliseconds(20))
                    continue
                }
                break
            }
        }
    }

    private func consume(_ consumer: any QueueConsumer) async throws {
        while !isStopped {
            let deliveries: [Delivery]
            do throws(QueueError) {
                deliveries = try await consumer.receive(max: 20, wait: .zero)
            } catch {
                // A consumer that lives on is what is asked for; what it throws must say so.
                try expect(error.isRetryable, "a consumer cannot go on: \(error)")
                deliveries = []
            }
            if deliveries.isEmpty {
                try await Task.sleep(for: .milliseconds(10))
                continue
            }
            let outcomes: [SettleOutcome]
            do throws(QueueError) {
                outcomes = try await consumer.settle(deliveries.map { SettleRequest($0.receipt, .acknowledge) })
            } catch {
                try expect(error.isRetryable, "a consumer cannot settle: \(error)")
                continue
            }
            let done = zip(deliveries, outcomes).compactMap { delivery, outcome -> MessageID? in
                if case .settled = outcome { delivery.message.id } else { nil }
            }
            state.withLock { $0.handled.formUnion(done) }
        }
    }
}
