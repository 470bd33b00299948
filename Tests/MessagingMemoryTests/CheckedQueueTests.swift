import Messaging
import MessagingConformance
import MessagingMemory
import TestSupport
import Testing

/// A client of the memory queue behind checks, which claims some features only.
private struct CheckedHarness: ConformanceHarness {
    private let base = MemoryHarness()
    /// `nil` for all.
    var claimed: Set<Capabilities.Feature>?

    var timeUnit: Duration { base.timeUnit }
    var tolerance: Duration { base.tolerance }
    var now: Duration { base.now }

    init(claimed: Set<Capabilities.Feature>? = nil) { self.claimed = claimed }

    func makeQueue() async throws -> any MessageQueue {
        CheckedQueue(TrustingQueue(base: try await base.makeQueue(), claimed: claimed))
    }
    func uniqueName(_ prefix: String) -> String { base.uniqueName(prefix) }
    func advance(by duration: Duration) async throws { try await base.advance(by: duration) }
}

/// A backend that relies on the checks: what should have been refused before is an error of another kind here.
private struct TrustingQueue: QueueDecorator {
    let base: any MessageQueue
    let claimed: Set<Capabilities.Feature>?

    private func claims(_ feature: Capabilities.Feature) -> Bool { claimed?.contains(feature) ?? true }

    private func trust(_ isSound: Bool) throws(QueueError) {
        if !isSound { throw QueueError(.brokerError, "this should have been refused before") }
    }

    func capabilities() async throws(QueueError) -> Capabilities {
        let all = try await base.capabilities()
        var support: [Capabilities.Feature: Capabilities.Support] = [:]
        for feature in Capabilities.Feature.allCases where claims(feature) { support[feature] = all[feature] }
        return Capabilities(
            system: all.system,
            version: all.version,
            durability: all.durability,
            maxBodyBytes: all.maxBodyBytes,
            support: support
        )
    }

    var transfer: (any QueueTransfer)? { claims(.transfer) ? base.transfer : nil }

    func declare(_ definition: QueueDefinition) async throws(QueueError) {
        try trust(claims(.keyedOrder) || definition.ordering == .unordered)
        try trust(claims(.boundedQueue) || definition.maxReady == nil)
        try trust(claims(.replay) || definition.retention == .zero)
        try trust(claims(.fanOut) || definition.groups.count <= 1)
        try trust(NameRules.isValid(definition.name))
        try await base.declare(definition)
    }

    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        try trust(messages.allSatisfy { !$0.id.rawValue.isEmpty && $0.body.count <= 1 << 20 })
        try trust(claims(.delay) || messages.allSatisfy { $0.due == nil })
        return try await base.publish(messages, to: queue)
    }

    func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        try trust(NameRules.isValid(consumer))
        try trust(claims(.atMostOnce) || options.mode == .atLeastOnce)
        return TrustingConsumer(
            base: try await base.consume(queue, group: group, consumer: consumer, options: options),
            claimed: claimed
        )
    }
}

private struct TrustingConsumer: ConsumerDecorator {
    let base: any QueueConsumer
    let claimed: Set<Capabilities.Feature>?

    private func claims(_ feature: Capabilities.Feature) -> Bool { claimed?.contains(feature) ?? true }

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        guard 1...1000 ~= max else { throw QueueError(.brokerError, "this should have been refused before") }
        return try await base.receive(max: max, wait: wait)
    }

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        for request in requests {
            let isSound =
                switch request.settlement {
                case .reject: claims(.deadLetters)
                case .retry(let delay, _): claims(.delay) || delay == .zero
                default: true
                }
            if !isSound { throw QueueError(.brokerError, "this should have been refused before") }
        }
        return try await base.settle(requests)
    }
}

// One case at a time: they are many, and the tests of other suites wait for the same threads.
@Suite("A checked client", .serialized)
struct CheckedQueueTests {
    @Test("keeps the contract when everything is claimed", arguments: Conformance.cases(upTo: .quick))
    func keepsAll(_ law: ConformanceCase) async throws {
        let result = try await ConformanceRunner(CheckedHarness()).result(of: law)
        #expect(result.outcome == .passed || result.outcome == .notPossible, "\(result)")
    }

    @Test("refuses what is not claimed, and keeps the rest", arguments: Conformance.cases(upTo: .quick))
    func keepsSome(_ law: ConformanceCase) async throws {
        let harness = CheckedHarness(claimed: [.fencedSettle])
        let result = try await ConformanceRunner(harness).result(of: law)
        #expect(result.outcome != .failed && result.outcome != .knownFailure, "\(result)")
        #expect(!law.requires.isEmpty || result.outcome != .unsupported)
    }

    @Test("one group stays one group, however it is declared")
    func oneGroup() async throws {
        let queue = try await CheckedHarness(claimed: []).makeQueue()
        try await queue.declare(QueueDefinition("q", groups: [GroupDefinition("a")]))
        try await queue.declare(QueueDefinition("q", groups: [GroupDefinition("a")]))
        let error = await #expect(throws: QueueError.self) {
            try await queue.declare(QueueDefinition("q", groups: [GroupDefinition("b")]))
        }
        #expect(error?.code == .unsupported)
        #expect(try await queue.definition(of: "q")?.groups.map(\.name) == ["a"])
    }
}
