import Messaging
import MessagingMemory
import Synchronization
import TestSupport
import Testing

@Suite("Sending dead letters again", .timeLimit(.minutes(1)))
struct RedriveTests {
    private func dead(_ count: Int, on bench: Bench) async throws {
        try await bench.publish(count)
        let consumer = try await bench.memory.consume(Bench.name, group: Bench.group, consumer: "grim")
        var left = count
        while left > 0 {
            let deliveries = try await consumer.receive(max: 1000, wait: .zero)
            left -= deliveries.count
            _ = try await consumer.settle(
                deliveries.map { SettleRequest($0.receipt, .reject(reason: .rejected, error: $0.message.text)) }
            )
        }
        await consumer.close()
    }

    @Test("everything that matches is sent, over many pages")
    func all() async throws {
        let bench = try await Bench.make()
        try await dead(250, on: bench)
        let progress = Notes<Int>()
        let sent = try await bench.queue.redriveAll(of: Bench.name) { progress.add($0) }
        #expect(sent == 250)
        #expect(progress.all == [100, 200, 250])
        #expect(try await bench.letters().isEmpty)
        #expect(try await bench.figures().ready == .exact(250))
    }

    @Test("a filter leaves the others")
    func filtered() async throws {
        let bench = try await Bench.make()
        try await dead(12, on: bench)
        let filter = DeadLetterFilter(errorContains: "1")
        #expect(try await bench.queue.redriveAll(of: Bench.name, matching: filter) == 3)
        #expect(try await bench.letters().count == 9)
        #expect(try await bench.queue.discardAllDeadLetters(of: Bench.name) == 9)
        #expect(try await bench.letters().isEmpty)
        #expect(try await bench.figures().ready == .exact(3))
    }

    @Test("a rate is kept: so many per second and no more")
    func rate() async throws {
        let bench = try await Bench.make(isManual: true)
        let clock = try #require(bench.clock)
        try await dead(10, on: bench)
        let task = Task { try await bench.queue.redriveAll(of: Bench.name, perSecond: 4, clock: clock.queueClock) }
        defer { task.cancel() }
        for sent in [4, 8] {
            try await expectEventually { clock.sleepers == 1 }
            #expect(try await bench.figures().ready == .exact(sent))
            clock.advance(by: .milliseconds(999))
            try #require(clock.sleepers == 1)
            #expect(try await bench.figures().ready == .exact(sent))
            clock.advance(by: .milliseconds(1))
        }
        try await expectEventually { try await bench.letters().isEmpty }
        #expect(clock.sleepers == 0)
        #expect(try await task.value == 10)
        #expect(clock.now == .seconds(2))
    }

    @Test("a rate below one is refused, and a cancelled redrive says how far it came")
    func badRate() async throws {
        let bench = try await Bench.make(isManual: true)
        let clock = try #require(bench.clock)
        try await dead(3, on: bench)
        let refused = await #expect(throws: QueueError.self) {
            try await bench.queue.redriveAll(of: Bench.name, perSecond: 0)
        }
        #expect(refused?.code == .invalidArgument)
        let task = Task { try await bench.queue.redriveAll(of: Bench.name, perSecond: 1, clock: clock.queueClock) }
        try await expectEventually { clock.sleepers == 1 }
        task.cancel()
        let cancelled = await #expect(throws: QueueError.self) { try await task.value }
        #expect(cancelled?.code == .cancelled)
        #expect(cancelled?.message.contains("after 1 messages") == true)
        #expect(try await bench.letters().count == 2)
    }

    @Test("letters that die again meanwhile are not sent twice")
    func dieAgain() async throws {
        let bench = try await Bench.make()
        try await dead(230, on: bench)
        let handled = Atomic(0)
        let worker = bench.worker(WorkerConfiguration(concurrency: 16, retryPolicy: .never)) { _ in
            handled.add(1, ordering: .relaxed)
            throw HandlerFailed("again")
        }
        try await bench.running(worker) {
            #expect(try await bench.queue.redriveAll(of: Bench.name) == 230)
            try await expectEventually { try await bench.letters().count == 230 }
        }
        #expect(handled.load(ordering: .relaxed) == 230)
        #expect(try await bench.letters().allSatisfy { $0.error == "again" })
    }
}

@Suite("Conveniences", .timeLimit(.minutes(1)))
struct ConvenienceTests {
    @Test("publishing one message throws why it was refused")
    func publishOne() async throws {
        let bench = try await Bench.make()
        let message = Message(text: "a", id: "1")
        guard case .accepted = try await bench.memory.publish(message, to: Bench.name) else {
            Issue.record("the first one was not accepted")
            return
        }
        guard case .duplicate = try await bench.memory.publish(message, to: Bench.name) else {
            Issue.record("the second one was no duplicate")
            return
        }
        let error = await #expect(throws: QueueError.self) {
            try await bench.memory.publish(Message(text: "b", id: "1"), to: Bench.name)
        }
        #expect(error?.code == .idConflict)
    }

    @Test("a scoped consumer is closed however the closure ends")
    func scoped() async throws {
        let bench = try await Bench.make()
        try await bench.publish(1)
        let count = try await bench.memory.withConsumer(of: Bench.name, group: Bench.group, consumer: "c") { consumer in
            #expect(try await bench.figures().consumers == .exact(1))
            return try await consumer.receive(max: 10, wait: .zero).count
        }
        #expect(count == 1)
        #expect(try await bench.figures().consumers == .exact(0))
        await #expect(throws: HandlerFailed.self) {
            try await bench.memory.withConsumer(of: Bench.name, group: Bench.group, consumer: "c") { _ in
                throw HandlerFailed()
            }
        }
        #expect(try await bench.figures().consumers == .exact(0))
    }

    @Test("deliveries come as a sequence that ends when its task is cancelled")
    func deliveries() async throws {
        let bench = try await Bench.make()
        try await bench.publish(3)
        let consumer = try await bench.memory.consume(Bench.name, group: Bench.group, consumer: "c")
        let seen = Notes<String>()
        let task = Task {
            for try await delivery in consumer.deliveries() {
                seen.add(delivery.message.text ?? "")
                try await consumer.acknowledge(delivery)
            }
        }
        try await expectEventually { try await bench.isDone() }
        try await bench.publish(1)
        try await expectEventually { seen.count == 4 }
        task.cancel()
        let error = await #expect(throws: QueueError.self) { try await task.value }
        #expect(error?.code == .cancelled)
        #expect(seen.all == ["0", "1", "2", "0"])
    }

    @Test("settling one delivery throws what became of it")
    func settleOne() async throws {
        let bench = try await Bench.make()
        try await bench.publish(1)
        let consumer = try await bench.memory.consume(Bench.name, group: Bench.group, consumer: "c")
        let delivery = try #require(try await consumer.receive(max: 1, wait: .zero).first)
        try await consumer.acknowledge(delivery)
        let error = await #expect(throws: QueueError.self) { try await consumer.acknowledge(delivery) }
        #expect(error?.code == .alreadySettled)
        #expect(error?.queue == Bench.name)
        #expect("\(try #require(error))".contains("queue 'jobs'"))
    }

    @Test("a processed message is skipped; one that failed is not")
    func skipping() async throws {
        let clock = ManualClock()
        let store = MemoryProcessedStore(clock: clock.queueClock)
        let seen = Notes<Int>()
        let handler = store.skippingProcessed(scope: "s", remember: .seconds(60)) { delivery in
            seen.add(delivery.attempt)
            if delivery.attempt == 1 { throw HandlerFailed() }
        }
        func delivery(_ attempt: Int) -> Delivery {
            let receipt = Receipt(high: 0, low: 0, fence: 0, source: 0)
            return Delivery(
                message: Message(text: "a", id: "1"),
                queue: "q",
                group: "g",
                attempt: attempt,
                receipt: receipt
            )
        }
        await #expect(throws: HandlerFailed.self) { try await handler(delivery(1)) }
        try await handler(delivery(2))
        try await handler(delivery(3))
        #expect(seen.all == [1, 2])
        #expect(try await store.contains("1", scope: "s"))
        #expect(try await !store.contains("1", scope: "other"))
        clock.advance(by: .seconds(60))
        #expect(try await !store.contains("1", scope: "s"))
        try await handler(delivery(4))
        #expect(seen.all == [1, 2, 4])
        #expect(try await !store.insert("1", scope: "s", remember: .seconds(1)))
        #expect(try await store.insert("2", scope: "s", remember: .seconds(1)))
    }
}
