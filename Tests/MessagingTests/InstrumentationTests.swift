import InMemoryLogging
import InMemoryTracing
import Instrumentation
import Logging
import Messaging
import MessagingMemory
import Metrics
import MetricsTestKit
import TestSupport
import Testing
import Tracing

@Suite("Instrumentation", .timeLimit(.minutes(1)))
struct InstrumentationTests {
    private func dimensions(_ operation: String, _ more: (String, String)...) -> [(String, String)] {
        [
            ("messaging.system", "memory"), ("messaging.operation.name", operation),
            ("messaging.destination.name", Bench.name),
        ] + more
    }

    @Test("a queue counts and times under the names of OpenTelemetry")
    func queueMetrics() async throws {
        let metrics = TestMetrics()
        try await withMetricsFactory(metrics) { () async throws in
            let bench = try await Bench.make()
            let queue = InstrumentedQueue(bench.queue)
            #expect(queue.system == "memory")
            let message = Message(text: "a", id: "1")
            _ = try await queue.publish([message, Message(text: "b", id: "2")], to: Bench.name)
            // A duplicate is confirmed as well; a refused message is not.
            _ = try await queue.publish([message, Message(text: "c", id: "1")], to: Bench.name)
            let consumer = try await queue.consume(Bench.name, group: Bench.group, consumer: "c")
            let deliveries = try await consumer.receive(max: 10, wait: .zero)
            _ = try await consumer.receive(max: 10, wait: .zero)
            _ = try await consumer.settle(deliveries.map { SettleRequest($0.receipt, .acknowledge) })
            bench.queue.change { $0.failures[.publish] = 1 }
            await #expect(throws: QueueError.self) { try await queue.publish(message, to: Bench.name) }
        }
        #expect(try metrics.expectCounter("messaging.client.sent.messages", dimensions("send")).totalValue == 3)
        #expect(try metrics.expectCounter("messaging.client.consumed.messages", dimensions("receive")).totalValue == 2)
        let duration = "messaging.client.operation.duration"
        #expect(try metrics.expectTimer(duration, dimensions("send")).values.count == 2)
        #expect(try metrics.expectTimer(duration, dimensions("settle")).values.count == 1)
        let failed = dimensions("send", ("error.type", "unavailable"))
        #expect(try metrics.expectTimer(duration, failed).values.count == 1)
    }

    @Test("a worker counts what it handles, retries, buries and loses")
    func workerMetrics() async throws {
        let metrics = TestMetrics()
        try await withMetricsFactory(metrics) { () async throws in
            let bench = try await Bench.make()
            let policy = RetryPolicy(maxAttempts: 3, backoff: .fixed(.milliseconds(1)))
            let seen = Notes<Int>()
            let worker = bench.worker(WorkerConfiguration(concurrency: 1, retryPolicy: policy)) { delivery in
                seen.add(delivery.attempt)
                if delivery.message.text == "0" { throw HandlerFailed() }
            }
            bench.queue.change { $0.answer = { _ in .leaseLost } }
            try await bench.publish(3)
            try await bench.running(worker) {
                // The first settlement is answered as lost, so the first message stays leased until the worker closes.
                try await expectEventually {
                    guard seen.count == 3, worker.status.inFlight == 0 else { return false }
                    return try await bench.figures().ready == .exact(0)
                }
            }
            let next = bench.worker(WorkerConfiguration(concurrency: 1, retryPolicy: policy)) { _ in
                throw HandlerFailed()
            }
            try await bench.running(next) { try await expectEventually { try await bench.isDone() } }
        }
        let group = dimensions("process", ("messaging.consumer.group.name", Bench.group))
        func total(_ label: String) -> Int64 { metrics.counterTotal(label: label, dimensions: group) }
        #expect(total("mq.lease.lost") == 1)
        // Attempt 1 was lost on its way, attempt 2 is tried again, attempt 3 is the last.
        #expect(total("mq.message.retries") == 2)
        #expect(total("mq.message.dead") == 1)
        let label = "messaging.process.duration"
        #expect(try metrics.expectTimer(label, group).values.count == 2)
        #expect(try metrics.expectTimer(label, group + [("error.type", "handler")]).values.count == 3)
    }

    @Test("the trace of who published is put into the headers and linked where the message is handled")
    func tracing() async throws {
        let tracer = InMemoryTracer()
        let bodies = Notes<MessageHeaders>()
        try await withTracer(tracer) { () async throws in
            let bench = try await Bench.make()
            let queue = InstrumentedQueue(bench.memory)
            try await withSpan("request") { _ in
                _ = try await queue.publish(
                    [Message(text: "a", headers: ["own": "1"]), Message(text: "b")],
                    to: Bench.name
                )
            }
            let worker = bench.worker(on: queue) { delivery in
                bodies.add(delivery.message.headers)
                if delivery.message.text == "b" { throw RejectMessage("bad") }
            }
            try await bench.running(worker) { try await expectEventually { try await bench.isDone() } }
        }
        let spans = tracer.finishedSpans
        let request = try #require(spans.first { $0.operationName == "request" })
        let send = try #require(spans.first { $0.operationName == "send jobs" })
        #expect(send.kind == .producer)
        #expect(send.parentSpanID == request.spanID)
        var attributes: [String: String] = [:]
        send.attributes.forEach { attributes[$0] = "\($1)" }
        #expect(
            attributes == [
                "messaging.system": "string(\"memory\")", "messaging.destination.name": "string(\"jobs\")",
                "messaging.operation.name": "string(\"send\")", "messaging.batch.message_count": "int64(2)",
            ]
        )

        #expect(bodies.count == 2)
        #expect(bodies.all.contains { $0["own"] == "1" })
        for headers in bodies.all {
            #expect(headers[InMemoryTracer.traceIDKey] == send.traceID)
            #expect(headers[InMemoryTracer.spanIDKey] == send.spanID)
        }

        let handled = spans.filter { $0.operationName == "process jobs" }
        #expect(handled.count == 2)
        for span in handled {
            #expect(span.kind == .consumer)
            #expect(span.links.map(\.context.inMemorySpanContext?.spanID) == [send.spanID])
            #expect(span.links.map(\.context.inMemorySpanContext?.traceID) == [send.traceID])
        }
        #expect(handled.count { !$0.errors.isEmpty } == 1)
    }

    @Test("a failed publish is recorded in its span")
    func tracingFailure() async throws {
        let tracer = InMemoryTracer()
        await withTracer(tracer) {
            let queue = InstrumentedQueue(MemoryQueue())
            _ = await #expect(throws: QueueError.self) { try await queue.publish(Message(text: "a"), to: "nowhere") }
        }
        let span = try #require(tracer.finishedSpans.first)
        #expect(span.errors.count == 1)
        #expect(tracer.activeSpans.isEmpty)
    }

    @Test("logs name the message and never show its body, headers or key")
    func logs() async throws {
        let bench = try await Bench.make()
        bench.queue.change { behaviour in
            behaviour.failures[.consume] = 1
            behaviour.answer = { _ in .failed(QueueError(.permissionDenied, "no")) }
        }
        let policy = RetryPolicy(maxAttempts: 2, backoff: .fixed(.milliseconds(1)))
        let configuration = WorkerConfiguration(
            concurrency: 1,
            retryPolicy: policy,
            maxReconnectPause: .milliseconds(1)
        )
        let worker = bench.worker(configuration) { _ in throw HandlerFailed("it went wrong") }
        let ids: [MessageID] = ["id-1", "id-2", "id-3"]
        _ = try await bench.memory.publish(
            ids.map { Message(text: "SECRET-BODY", id: $0, key: "SECRET-KEY", headers: ["h": "SECRET-HEADER"]) },
            to: Bench.name
        )
        try await bench.running(worker) {
            try await expectEventually { try await bench.letters().count == 2 }
        }
        let entries = bench.log.entries
        #expect(entries.count >= 5)
        let everything = entries.map { "\($0.message) \($0.metadata)" }.joined(separator: "\n")
        #expect(!everything.contains("SECRET"))
        let buried = entries.filter { $0.level == .notice }
        #expect(buried.count == 2)
        for entry in buried {
            #expect(entry.metadata["mq.queue"] == .string(Bench.name))
            #expect(entry.metadata["mq.group"] == .string(Bench.group))
            #expect(entry.metadata["mq.consumer"] == .string("worker-1"))
            #expect(entry.metadata["mq.attempt"]?.description == "2")
            #expect(entry.metadata["mq.error"]?.description == "it went wrong")
            #expect(entry.metadata["mq.reason"]?.description == "attempts-exhausted")
            #expect(entry.metadata["mq.message.id"]?.description.hasPrefix("id-") == true)
        }
    }
}
