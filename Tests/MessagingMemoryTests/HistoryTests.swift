import Messaging
import MessagingMemory
import Synchronization
import TestSupport
import Testing

@testable import MessagingConformance

/// The memory harness with something broken around each client.
private struct BrokenHarness: ConformanceHarness {
    let base = MemoryHarness()
    let wrap: @Sendable (any MessageQueue) -> any MessageQueue

    var timeUnit: Duration { base.timeUnit }
    var tolerance: Duration { base.tolerance }
    var now: Duration { base.now }
    func makeQueue() async throws -> any MessageQueue { wrap(try await base.makeQueue()) }
    func uniqueName(_ prefix: String) -> String { base.uniqueName(prefix) }
    func advance(by duration: Duration) async throws { try await base.advance(by: duration) }
}

/// A queue whose consumers are wrapped.
private struct WrappedQueue: QueueDecorator {
    let base: any MessageQueue
    let wrap: @Sendable (any QueueConsumer) -> any QueueConsumer

    func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        wrap(try await base.consume(queue, group: group, consumer: consumer, options: options))
    }
}

/// Confirms what it does not publish.
private struct LosingQueue: QueueDecorator {
    let base: any MessageQueue

    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        let outcomes = try await base.publish(Array(messages.dropLast()), to: queue)
        return outcomes + [.accepted]
    }
}

/// Hands what one consumer holds to the next one as well.
private final class SharingConsumer: ConsumerDecorator {
    let base: any QueueConsumer
    private let shared: Shared

    final class Shared: Sendable { let last = Mutex<Delivery?>(nil) }

    init(_ base: any QueueConsumer, _ shared: Shared) {
        self.base = base
        self.shared = shared
    }

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        let deliveries = try await base.receive(max: max, wait: wait)
        guard deliveries.isEmpty else {
            shared.last.withLock { $0 = deliveries.last }
            return deliveries
        }
        let held = shared.last.withLock { last in
            defer { last = nil }
            return last
        }
        guard let held else { return [] }
        let again = Delivery(
            message: held.message,
            queue: held.queue,
            group: held.group,
            attempt: held.attempt + 1,
            receipt: held.receipt
        )
        return [again]
    }
}

/// Carries settlements out in another way than it says.
private struct ChangingConsumer: ConsumerDecorator {
    let base: any QueueConsumer
    let change: @Sendable (Settlement) -> Settlement

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        try await base.settle(requests.map { SettleRequest($0.receipt, change($0.settlement)) })
    }
}

/// Changes what comes.
private struct ForgingConsumer: ConsumerDecorator {
    let base: any QueueConsumer
    let forge: @Sendable (Delivery) -> Delivery

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        try await base.receive(max: max, wait: wait).map(forge)
    }
}

@Suite("The history behind every case finds what the case does not look at")
struct HistoryTests {
    /// Two consumers, three messages, and not one expectation.
    private static let blind = ConformanceCase("test.blind", .fidelity, "nothing is expected") { harness in
        let stage = try await Stage(harness)
        _ = try await stage.queue.publish((0..<3).map { Message(text: "\($0)") }, to: stage.name)
        let first = try await stage.consumer("first")
        let second = try await stage.consumer("second")
        let held = try await first.receive(max: 1, wait: .zero)
        let rest = try await second.receive(max: 1, wait: .zero) + second.receive(max: 2, wait: .zero)
        let more = try await first.receive(max: 1, wait: .zero)
        for delivery in held + more { _ = try await first.settle([SettleRequest(delivery.receipt, .acknowledge)]) }
        for delivery in rest { _ = try await second.settle([SettleRequest(delivery.receipt, .acknowledge)]) }
        _ = try await second.receive(max: 10, wait: .zero)
    }

    private func expectFailure(
        _ law: HistoryLaw,
        _ tested: ConformanceCase = HistoryTests.blind,
        _ wrap: @escaping @Sendable (any MessageQueue) -> any MessageQueue,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async {
        let error = await #expect(throws: ConformanceFailure.self, sourceLocation: sourceLocation) {
            try await tested.run(on: BrokenHarness(wrap: wrap))
        }
        let text = error?.message ?? ""
        #expect(text.contains("history, \(law.rawValue) "), "\(text)", sourceLocation: sourceLocation)
    }

    @Test("a queue that keeps the laws passes")
    func sound() async throws {
        try await Self.blind.run(on: MemoryHarness())
    }

    @Test("a message that was confirmed and lost, also in a case that never looks for it")
    func lost() async throws {
        await expectFailure(.conservation) { LosingQueue(base: $0) }
        let unroutable = try #require(Conformance.find("pub.unroutable"))
        await expectFailure(.conservation, unroutable) { LosingQueue(base: $0) }
    }

    @Test("a message with two holders")
    func twice() async {
        let shared = SharingConsumer.Shared()
        await expectFailure(.holder) { WrappedQueue(base: $0) { SharingConsumer($0, shared) } }
    }

    @Test("a message that comes after its acknowledgement")
    func afterEnd() async {
        await expectFailure(.ended) { base in
            WrappedQueue(base: base) { ChangingConsumer(base: $0) { _ in .release } }
        }
    }

    @Test("an acknowledgement that hides the message for later, seen by the figures")
    func hidden() async {
        await expectFailure(.conservation) { base in
            WrappedQueue(base: base) {
                ChangingConsumer(base: $0) { _ in .retry(after: .seconds(1000), error: nil) }
            }
        }
    }

    @Test("a body that changed, an attempt that is wrong, an id that nobody published")
    func forged() async {
        await expectFailure(.body) { base in
            WrappedQueue(base: base) { ForgingConsumer(base: $0) { Self.changed($0, body: [1, 2, 3]) } }
        }
        await expectFailure(.attempts) { base in
            WrappedQueue(base: base) { ForgingConsumer(base: $0) { Self.changed($0, attempt: 2) } }
        }
        await expectFailure(.phantom) { base in
            WrappedQueue(base: base) { ForgingConsumer(base: $0) { Self.changed($0, id: .make()) } }
        }
    }

    private static func changed(
        _ delivery: Delivery,
        id: MessageID? = nil,
        body: [UInt8]? = nil,
        attempt: Int? = nil
    ) -> Delivery {
        var message = delivery.message
        message.id = id ?? message.id
        message.body = body ?? message.body
        return Delivery(
            message: message,
            queue: delivery.queue,
            group: delivery.group,
            attempt: attempt ?? delivery.attempt,
            receipt: delivery.receipt
        )
    }

    @Test("what something outside publishes is no phantom")
    func foreign() async throws {
        let harness = BrokenHarness { $0 }
        let tested = ConformanceCase("test.foreign", .fidelity, "a foreign message comes") { clients in
            let stage = try await Stage(clients)
            let outside = try await harness.base.makeQueue()
            _ = try await outside.publish([Message(text: "foreign")], to: stage.name)
            (clients as? HarnessClients)?.history.noteForeign(stage.name)
            let consumer = try await stage.consumer()
            try await consumer.acknowledge(try await stage.takeOne(from: consumer))
            await outside.close()
        }
        try await tested.run(on: harness)
    }

    @Test("a case that fails by itself tells its own failure")
    func ownFailure() async {
        let tested = ConformanceCase("test.fails", .fidelity, "nothing") { harness in
            _ = try await Stage(harness)
            throw ConformanceFailure("its own")
        }
        let error = await #expect(throws: ConformanceFailure.self) { try await tested.run(on: MemoryHarness()) }
        #expect(error?.message == "its own")
    }
}
