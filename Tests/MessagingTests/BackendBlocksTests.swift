import Messaging
import Testing

@Suite("What Messaging has for backends")
struct BackendBlocksTests {
    private let receipt = Receipt(high: 1, low: 2, fence: 3, source: 4)

    @Test("a settlement is carried out once, and again only when it failed")
    func settles() {
        var ledger = SettlementLedger()
        var carriedOut = 0
        func settle(_ outcome: SettleOutcome) -> SettleOutcome {
            ledger.settle(receipt) {
                carriedOut += 1
                return outcome
            }
        }
        #expect(settle(.settled).error?.code == .leaseLost)
        #expect(carriedOut == 0)
        ledger.handOver(receipt)
        #expect(settle(.failed(QueueError(.unavailable, "down"))).error?.code == .unavailable)
        #expect(settle(.settled).error == nil)
        #expect(carriedOut == 2)
        #expect(settle(.settled).error?.code == .alreadySettled)
        #expect(carriedOut == 2)
        ledger.handOver(receipt)
        #expect(settle(.leaseLost).error?.code == .leaseLost)
        // What was lost is not held any more.
        #expect(settle(.settled).error?.code != nil)
        #expect(carriedOut == 3)
    }

    @Test("a history keeps the last ten failures, each with a short error")
    func history() {
        var history: [Failure] = []
        for attempt in 1...12 { history = Failure.history(history, adding: attempt, by: "c", error: "e\(attempt)") }
        #expect(history.map(\.attempt) == Array(3...12))
        #expect(history.last?.error == "e12")
        let long = Failure.history([], adding: 1, by: "c", error: String(repeating: "x", count: 2000))
        #expect(long.first?.error.count == 1000)
        #expect(Failure.history([], adding: 1, by: "c", error: nil).first?.error == "")
    }

    @Test("a further declaration adds groups, or names both settings and changes nothing")
    func declarations() throws {
        let first = QueueDefinition("q", groups: [GroupDefinition("a", start: .latest)], maxReady: 5)
        var second = first
        second.groups = [GroupDefinition("a"), GroupDefinition("b")]
        // Where a group began is no setting of one that exists.
        #expect(try first.adding(second).groups == [GroupDefinition("a", start: .latest), GroupDefinition("b")])
        second.maxReady = nil
        second.groups[0].lease = .seconds(7)
        let error = #expect(throws: QueueError.self) { try first.adding(second) }
        #expect(error?.code == .topologyConflict)
        for text in ["maxReady is 5, not none", "lease of group 'a' is 30.0 seconds, not 7.0 seconds"] {
            #expect(error?.message.contains(text) == true)
        }
    }

    @Test("what a backend does not implement is refused")
    func defaults() async {
        let queue = BareQueue()
        let refused: [@Sendable () async throws -> Void] = [
            { _ = try await queue.deadLetters(of: "q", matching: .all, after: nil, limit: 1) },
            { _ = try await queue.redrive(["x"], of: "q") }, { _ = try await queue.discardDeadLetters(["x"], of: "q") },
            { _ = try await queue.scheduled(of: "q", after: nil, limit: 1) },
            { _ = try await queue.cancelScheduled(["x"], of: "q") },
            { _ = try await BareConsumer().renew([]) },
        ]
        for call in refused {
            let error = await #expect(throws: QueueError.self) { try await call() }
            #expect(error?.code == .unsupported)
            #expect(error?.queue == "q")
        }
    }
}

/// The least that a backend can be.
private struct BareQueue: MessageQueue {
    let system = "bare"

    func capabilities() async throws(QueueError) -> Capabilities {
        Capabilities(system: system, version: "1", durability: .memory, maxBodyBytes: 1, support: [:])
    }
    func declare(_ definition: QueueDefinition) async throws(QueueError) {}
    func definition(of queue: String) async throws(QueueError) -> QueueDefinition? { nil }
    func queues() async throws(QueueError) -> [String] { [] }
    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] { [] }
    func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer { BareConsumer() }
    func statistics(of queue: String) async throws(QueueError) -> QueueStatistics {
        QueueStatistics(queue: queue, groups: [], scheduled: .exact(0), stored: .exact(0))
    }
    func close() async {}
}

private struct BareConsumer: QueueConsumer {
    let queue = "q"
    let group = "g"
    let name = "c"
    let lease = Duration.seconds(1)

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] { [] }
    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] { [] }
    func close() async {}
}
