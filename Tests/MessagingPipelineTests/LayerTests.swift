import Messaging
import MessagingMemory
import TestSupport
import Testing

@testable import MessagingPipeline

@Suite("Layers", .timeLimit(.minutes(1)))
struct LayerTests {
    @Test("names are fixed")
    func names() {
        #expect(Layer.allCases.map(\.queue) == [nil, "queue:analysis", "queue:deduplication", "queue:api"])
        #expect(Layer.allCases.map(\.group) == [nil, "analysis-workers", "dedup-workers", "api-workers"])
        #expect(Layer.allCases.map(\.next) == [.analysis, .deduplication, .api, nil])
        #expect(Layer.collect.definition(lease: .seconds(1)) == nil)
        for layer in Layer.workers {
            let definition = layer.definition(lease: .seconds(7))
            #expect(definition?.name == layer.queue)
            #expect(definition?.groups.first?.name == layer.group)
            #expect(definition?.groups.map(\.lease) == [.seconds(7)])
            #expect(throws: Never.self) { try definition?.validate() }
        }
    }

    @Test("ids are derived: the same every time, different for every message and layer, and never too long")
    func derivedIDs() {
        #expect(Layer.analysis.derivedID(from: "statement:1") == "statement:1/analysis")
        #expect(Layer.deduplication.derivedID(from: "statement:1/analysis") == "statement:1/analysis/deduplication")
        let long = MessageID(String(repeating: "é", count: 300))
        let other = MessageID(String(repeating: "é", count: 301))
        let derived = Layer.analysis.derivedID(from: long)
        #expect(derived == Layer.analysis.derivedID(from: long))
        #expect(derived.rawValue.hasPrefix("h-") && derived.rawValue.hasSuffix("/analysis"))
        #expect(derived.rawValue.utf8.count <= 200)
        #expect(derived != Layer.analysis.derivedID(from: other))
        #expect(derived != Layer.deduplication.derivedID(from: long))
        // At the limit.
        let room = 200 - "/analysis".utf8.count
        let fits = String(repeating: "x", count: room)
        #expect(Layer.analysis.derivedID(from: MessageID(fits)).rawValue == fits + "/analysis")
        #expect(Layer.analysis.derivedID(from: MessageID(fits + "x")).rawValue.hasPrefix("h-"))
    }

    @Test("the id of a collected message is that of its statement")
    func collectedIDs() {
        func id(_ id: String) -> String { Collector.messageID(Statement(id: id, text: "t")).rawValue }
        #expect(id("7") == "statement:7")
        #expect(id(String(repeating: "x", count: 190)) == "statement:" + String(repeating: "x", count: 190))
        #expect(id(String(repeating: "x", count: 191)).hasPrefix("statement:h-"))
        #expect(id(String(repeating: "x", count: 500)) != id(String(repeating: "x", count: 501)))
    }

    // MARK: Downstream

    private let clock = ManualClock()

    private func delivery(_ headers: MessageHeaders = [:]) -> Delivery {
        Delivery(
            message: Message(text: "up", id: "up", headers: headers),
            queue: "queue:analysis",
            group: "analysis-workers",
            attempt: 1,
            receipt: Receipt(high: 0, low: 0, fence: 0, source: 0)
        )
    }

    private func declared(maxBodyBytes: Int = 1000) async throws -> MemoryQueue {
        let queue = MemoryQueue(clock: clock.queueClock, maxBodyBytes: maxBodyBytes)
        try await queue.declare(try #require(Layer.deduplication.definition(lease: .seconds(30))))
        return queue
    }

    @Test("only the trace goes on with the statement")
    func carriedHeaders() async throws {
        let queue = try await declared()
        let downstream = Downstream(queue: queue, layer: .analysis, clock: clock.queueClock)
        let headers: MessageHeaders = ["traceparent": "1", "own": "2", "tracestate": "3", "baggage": "4"]
        try await downstream.publish(["a": 1], after: delivery(headers))
        let consumer = try await queue.consume("queue:deduplication", group: "dedup-workers", consumer: "c")
        let message = try #require(try await consumer.receive(max: 1, wait: .zero).first?.message)
        #expect(message.id == "up/analysis")
        #expect(message.headers == ["traceparent": "1", "tracestate": "3", "baggage": "4"])
        #expect(message.contentType == "application/json")
        #expect(message.text == #"{"a":1}"#)
    }

    @Test("publishing again is fine even with another body; what is refused for good is thrown")
    func repeated() async throws {
        let queue = try await declared(maxBodyBytes: 20)
        let downstream = Downstream(queue: queue, layer: .analysis, clock: clock.queueClock)
        try await downstream.publish(["a": 1], after: delivery())
        try await downstream.publish(["a": 1], after: delivery())
        try await downstream.publish(["a": 2], after: delivery())
        #expect(try await queue.statistics(of: "queue:deduplication")["dedup-workers"]?.ready == .exact(1))
        let error = await #expect(throws: QueueError.self) {
            try await downstream.publish(["a": String(repeating: "x", count: 100)], after: delivery())
        }
        #expect(error?.code == .tooLarge)
        // The last layer has nobody to publish to.
        try await Downstream(queue: queue, layer: .api, clock: clock.queueClock).publish(["a": 1], after: delivery())
    }

    @Test("a full queue is waited for, until the patience ends")
    func patience() async throws {
        let queue = MemoryQueue(clock: clock.queueClock)
        var definition = try #require(Layer.deduplication.definition(lease: .seconds(30)))
        definition.maxReady = 1
        try await queue.declare(definition)
        _ = try await queue.publish([Message(text: "in the way")], to: definition.name)
        var downstream = Downstream(queue: queue, layer: .analysis, clock: clock.queueClock)
        downstream.patience = .seconds(10)
        let patient = Task { [downstream] in try await downstream.publish(["a": 1], after: delivery()) }
        await clock.waitForSleepers(1)
        let consumer = try await queue.consume(definition.name, group: "dedup-workers", consumer: "c")
        for delivery in try await consumer.receive(max: 1, wait: .zero) { try await consumer.acknowledge(delivery) }
        clock.advance(by: .seconds(1))
        try await patient.value
        #expect(try await queue.statistics(of: definition.name)["dedup-workers"]?.ready == .exact(1))

        let other = Delivery(
            message: Message(text: "x", id: "other"),
            queue: "q",
            group: "g",
            attempt: 1,
            receipt: Receipt(high: 0, low: 0, fence: 0, source: 0)
        )
        let impatient = Task { [downstream] in try await downstream.publish(["a": 1], after: other) }
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(11))
        let error = await #expect(throws: QueueError.self) { try await impatient.value }
        #expect(error?.code == .queueFull)
    }

    // MARK: Parts

    @Test("the meter counts what is handled and what fails")
    func meter() async throws {
        struct Failed: Error {}
        let (meter, clock) = (LayerMeter(clock: clock.queueClock), clock)
        let handler = meter.measured { delivery in
            clock.advance(by: .seconds(2))
            if delivery.message.headers["fail"] != nil { throw Failed() }
        }
        try await handler(delivery())
        clock.advance(by: .seconds(5))
        await #expect(throws: Failed.self) { try await handler(delivery(["fail": "1"])) }
        #expect(
            meter.reading == LayerMeter.Reading(handled: 1, failed: 1, elapsed: .seconds(9), busy: .seconds(4))
        )
    }

    @Test("a signal sent before the wait ends it, and so do one sent during it and the deadline")
    func signal() async throws {
        let signal = ProgressSignal()
        signal.send()
        await signal.wait(atMost: .seconds(3600), clock: clock.queueClock)
        let waiting = Task { [clock] in await signal.wait(atMost: .seconds(3600), clock: clock.queueClock) }
        await clock.waitForSleepers(1)
        signal.send()
        await waiting.value
        let late = Task { [clock] in await signal.wait(atMost: .seconds(5), clock: clock.queueClock) }
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(5))
        await late.value
        #expect(!signal.isInterrupted)
        signal.interrupt()
        #expect(signal.isInterrupted)
    }
}
