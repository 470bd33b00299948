import InMemoryLogging
import Logging
import Messaging
import MessagingMemory
import ServiceLifecycle
import ServiceLifecycleTestKit
import Synchronization
import TestSupport
import Testing

@Suite("A worker", .timeLimit(.minutes(1)))
struct WorkerTests {
    private static let quick = RetryPolicy(maxAttempts: 3, backoff: .fixed(.milliseconds(1)))

    @Test("handles every message once and leaves nothing behind")
    func handlesAll() async throws {
        let bench = try await Bench.make()
        let seen = Notes<String>()
        let worker = bench.worker { seen.add($0.message.text ?? "") }
        try await bench.publish(500)
        try await bench.running(worker) { try await expectEventually { try await bench.isDone() } }
        #expect(seen.count == 500)
        #expect(Set(seen.all).count == 500)
        #expect(try await bench.letters().isEmpty)
        #expect(try await bench.figures().consumers == .exact(0))
    }

    @Test("runs as many handlers at the same time as allowed, and never more", arguments: [1, 3, 8])
    func boundedConcurrency(_ allowed: Int) async throws {
        let bench = try await Bench.make()
        let (gauge, door) = (Gauge(), Door())
        let worker = bench.worker(WorkerConfiguration(concurrency: allowed)) { _ in
            gauge.enter()
            defer { gauge.leave() }
            try await door.pass()
        }
        try await bench.publish(40)
        try await bench.running(worker) {
            try await expectEventually { gauge.now == allowed }
            #expect(try await bench.figures().inFlight == .exact(allowed))
            #expect(worker.status.inFlight == allowed)
            door.open()
            try await expectEventually { try await bench.isDone() }
        }
        #expect(gauge.most == allowed)
    }

    @Test("at most once: bounded too, and what fails is gone")
    func atMostOnce() async throws {
        let bench = try await Bench.make()
        let (gauge, door, seen) = (Gauge(), Door(), Notes<Int>())
        let worker = bench.worker(WorkerConfiguration(concurrency: 2, retryPolicy: Self.quick, mode: .atMostOnce)) {
            gauge.enter()
            defer { gauge.leave() }
            seen.add($0.attempt)
            try await door.pass()
            throw HandlerFailed()
        }
        try await bench.publish(20)
        try await bench.running(worker) {
            try await expectEventually { seen.count >= 2 }
            #expect(try await bench.figures().ready == .exact(18))
            door.open()
            try await expectEventually { seen.count == 20 && gauge.now == 0 }
        }
        #expect(gauge.most == 2)
        #expect(seen.all == Array(repeating: 1, count: 20))
        #expect(try await bench.isDone())
        #expect(try await bench.letters().isEmpty)
        #expect(bench.queue.calls(.settle) == 0)
    }

    // MARK: Retries

    /// When the handler was called with one message that always fails.
    private func callTimes(_ bench: Bench, _ policy: RetryPolicy = .default) async throws -> [Duration] {
        let times = Notes<Duration>()
        let clock = try #require(bench.clock)
        let worker = bench.worker(WorkerConfiguration(concurrency: 1, retryPolicy: policy)) { delivery in
            times.add(clock.now)
            throw HandlerFailed("attempt \(delivery.attempt) failed")
        }
        try await bench.publish(1)
        try await bench.running(worker) { try await bench.passTime() }
        return times.all
    }

    /// The calls that came before their time.
    private func early(_ times: [Duration], _ policy: RetryPolicy) -> [Int] {
        times.indices.dropFirst().filter { times[$0] < times[$0 - 1] + policy.delay(beforeRetry: $0) }
    }

    @Test("retries at the times of its policy, never early, and then sends to the dead letters")
    func retries() async throws {
        let bench = try await Bench.make(isManual: true)
        let times = try await callTimes(bench)
        #expect(times == [0, 2, 6, 14].map { .seconds($0) })
        #expect(early(times, .default).isEmpty)

        let letter = try #require(try await bench.letters().first)
        #expect(letter.reason == .attemptsExhausted)
        #expect(letter.error == "attempt 4 failed")
        #expect(letter.attempts == 4)
        #expect(letter.group == Bench.group)
        #expect(letter.history.map(\.attempt) == [1, 2, 3, 4])
        #expect(letter.history.map(\.error) == (1...4).map { "attempt \($0) failed" })
        #expect(letter.history.map(\.consumer) == Array(repeating: "worker-1", count: 4))
        let start = try #require(letter.history.first?.at)
        #expect(letter.history.map { $0.at - start } == [0, 2000, 6000, 14_000])
    }

    @Test("a broker that queues a retry at once is caught by the same check")
    func retriesControl() async throws {
        let bench = try await Bench.make(isManual: true)
        bench.queue.change { behaviour in
            behaviour.rewrite = { request in
                guard case .retry(_, let error) = request.settlement else { return request }
                return SettleRequest(request.receipt, .retry(after: .zero, error: error))
            }
        }
        let times = try await callTimes(bench)
        #expect(times.count == 4)
        #expect(early(times, .default) == [1, 2, 3])
    }

    @Test("an error that says never goes to the dead letters at once, with its reason")
    func reject() async throws {
        let bench = try await Bench.make(isManual: true)
        let reason = DeadLetterReason(rawValue: "no-such-customer")
        let worker = bench.worker { _ in throw RejectMessage("customer 7 is unknown", reason: reason) }
        try await bench.publish(1)
        try await bench.running(worker) { try await bench.passTime() }
        let letter = try #require(try await bench.letters().first)
        #expect(letter.reason == reason)
        #expect(letter.error == "customer 7 is unknown")
        #expect(letter.attempts == 1)
        #expect(bench.clock?.now == .zero)
    }

    @Test("an error that names a delay is tried again after it, not before")
    func retryLater() async throws {
        let bench = try await Bench.make(isManual: true)
        let clock = try #require(bench.clock)
        let attempts = Notes<Int>()
        let worker = bench.worker { delivery in
            attempts.add(delivery.attempt)
            if delivery.attempt == 1 { throw RetryLater(after: .seconds(7), "busy") }
        }
        try await bench.publish(1)
        try await bench.running(worker) {
            try await expectEventually { try await bench.figures().delayed == .exact(1) }
            clock.advance(by: .milliseconds(6999))
            #expect(try await bench.figures().delayed == .exact(1))
            #expect(attempts.all == [1])
            clock.advance(by: .milliseconds(1))
            try await expectEventually { try await bench.isDone() }
        }
        #expect(attempts.all == [1, 2])
    }

    // MARK: Leases

    @Test("renews the lease for as long as the handler runs")
    func renews() async throws {
        let bench = try await Bench.make(isManual: true)
        let clock = try #require(bench.clock)
        let (door, attempts) = (Door(), Notes<Int>())
        let worker = bench.worker(WorkerConfiguration(concurrency: 2, receiveWait: .seconds(1000))) { delivery in
            attempts.add(delivery.attempt)
            try await door.pass()
        }
        try await bench.publish(1)
        try await bench.running(worker) {
            try await expectEventually { attempts.count == 1 && clock.sleepers >= 2 }
            for turn in 1...9 {
                clock.advance(by: .seconds(10))
                try await expectEventually { bench.queue.calls(.renew) == turn && clock.sleepers >= 2 }
            }
            #expect(try await bench.figures().inFlight == .exact(1))
            door.open()
            try await expectEventually { try await bench.isDone() }
        }
        #expect(attempts.all == [1])
    }

    @Test("without renewal the message is delivered again while its handler runs")
    func renewsControl() async throws {
        let bench = try await Bench.make(isManual: true)
        let clock = try #require(bench.clock)
        let (door, attempts) = (Door(), Notes<Int>())
        bench.queue.change { behaviour in
            behaviour.error = QueueError(.unsupported, "there is no renewal")
            behaviour.failures[.renew] = .max
        }
        let worker = bench.worker(WorkerConfiguration(concurrency: 2, receiveWait: .seconds(1000))) { delivery in
            attempts.add(delivery.attempt)
            try await door.pass()
        }
        try await bench.publish(1)
        try await bench.running(worker) {
            try await expectEventually { attempts.count == 1 && clock.sleepers >= 2 }
            for _ in 1...3 { clock.advance(by: .seconds(10)) }
            try await expectEventually { attempts.count == 2 }
            door.open()
            try await expectEventually { try await bench.isDone() }
        }
        #expect(attempts.all == [1, 2])
        #expect(bench.log.entries.contains { $0.level == .warning && "\($0.message)".contains("lease was lost") })
    }

    // MARK: Shutdown

    @Test("a graceful shutdown finishes what is in flight and takes no more")
    func gracefulShutdown() async throws {
        let bench = try await Bench.make()
        let (door, seen) = (Door(), Notes<Int>())
        let worker = bench.worker(WorkerConfiguration(concurrency: 2)) { delivery in
            seen.add(delivery.attempt)
            try await door.pass()
        }
        try await bench.publish(5)
        try await testGracefulShutdown { trigger in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await worker.run() }
                try await expectEventually { seen.count == 2 }
                trigger.triggerGracefulShutdown()
                try await bench.publish(1)
                door.open()
                try await group.waitForAll()
            }
        }
        #expect(seen.count == 2)
        let figures = try await bench.figures()
        #expect(figures.ready == .exact(4))
        #expect(figures.inFlight == .exact(0))
        #expect(figures.delayed == .exact(0))
    }

    @Test("past the drain deadline handlers are cancelled and their messages given back with the attempt unchanged")
    func drainDeadline() async throws {
        let bench = try await Bench.make(isManual: true)
        let clock = try #require(bench.clock)
        let started = Notes<Int>()
        let worker = bench.worker(WorkerConfiguration(concurrency: 2, drainDeadline: .seconds(5))) { delivery in
            started.add(delivery.attempt)
            try await Task.sleep(for: .seconds(3600))
        }
        try await bench.publish(2)
        try await bench.running(worker) {
            // With both taken, nobody sleeps but the one that renews their leases.
            try await expectEventually { started.count == 2 && clock.sleepers >= 1 }
            let waiting = clock.sleepers
            worker.stop()
            // The end of the drain, and the grace after it, are being waited for.
            try await expectEventually { clock.sleepers >= waiting + 2 }
            #expect(try await bench.figures().inFlight == .exact(2))
            clock.advance(by: .seconds(5))
            try await expectEventually { try await bench.figures().consumers == .exact(0) }
        }
        #expect(try await bench.figures().ready == .exact(2))
        let consumer = try await bench.memory.consume(Bench.name, group: Bench.group, consumer: "next")
        let again = try await consumer.receive(max: 10, wait: .zero)
        #expect(again.map(\.attempt) == [1, 1])
        #expect(again.allSatisfy { $0.history.isEmpty })
    }

    @Test("a handler that ignores its cancellation cannot hold up the end")
    func stubbornHandler() async throws {
        let bench = try await Bench.make(isManual: true)
        let clock = try #require(bench.clock)
        let (door, started) = (Door(), Notes<Int>())
        let worker = bench.worker(WorkerConfiguration(concurrency: 1, drainDeadline: .seconds(5))) { delivery in
            started.add(delivery.attempt)
            // A task of its own is not cancelled with the handler; it ends by itself should the test fail.
            _ = await Task { try await eventually { door.isOpen } }.result
        }
        try await bench.publish(1)
        try await bench.running(worker) {
            try await expectEventually { started.count == 1 && clock.sleepers >= 1 }
            let waiting = clock.sleepers
            worker.stop()
            try await expectEventually { clock.sleepers >= waiting + 2 }
            clock.advance(by: .seconds(6))
            try await expectEventually { try await bench.figures().consumers == .exact(0) }
        }
        door.open()
    }

    @Test("stopping while it waits for messages ends it at once")
    func stopWhileWaiting() async throws {
        let bench = try await Bench.make(isManual: true)
        let worker = bench.worker { _ in }
        let task = Task { try await worker.run() }
        try await expectEventually { bench.queue.calls(.receive) == 1 }
        worker.stop()
        // The clock stands still: only the stop can have ended the wait of a minute.
        try await task.value
        #expect(bench.clock?.now == .zero)
        #expect(try await bench.figures().consumers == .exact(0))
    }

    @Test("stopping before it runs, and cancelling it, end it as well")
    func stopEarly() async throws {
        let bench = try await Bench.make()
        let stopped = bench.worker { _ in }
        stopped.stop()
        try await stopped.run()

        let started = Notes<Int>()
        try await bench.publish(1)
        let cancelled = bench.worker { delivery in
            started.add(delivery.attempt)
            try await Task.sleep(for: .seconds(3600))
        }
        let task = Task { try await cancelled.run() }
        try await expectEventually { started.count == 1 }
        task.cancel()
        try await task.value
        #expect(try await bench.figures().ready == .exact(1))
    }

    // MARK: An unreliable broker

    @Test("waits for a broker that is away when it opens, says so, and then goes on")
    func awayAtOpen() async throws {
        let bench = try await Bench.make()
        bench.queue.change { $0.isDown = true }
        let seen = Notes<Int>()
        let worker = bench.worker(WorkerConfiguration(concurrency: 2, maxReconnectPause: .milliseconds(5))) {
            seen.add($0.attempt)
        }
        try await bench.publish(3)
        #expect(worker.status.problem == nil)
        try await bench.running(worker) {
            try await expectEventually { bench.queue.calls(.consume) >= 3 }
            #expect(worker.status.problem == "the broker is away")
            #expect(worker.status.sinceLastPoll == nil)
            bench.queue.change { $0.isDown = false }
            try await expectEventually { try await bench.isDone() && worker.status.problem == nil }
            #expect(worker.status.sinceLastPoll != nil)
        }
        #expect(seen.count == 3)
        let warnings = bench.log.entries.filter { $0.level >= .warning }
        #expect(warnings.count == 1, "one warning for the first failure, the rest below")
    }

    @Test("goes on when the broker was away in the middle")
    func awayInTheMiddle() async throws {
        let bench = try await Bench.make()
        let seen = Notes<Int>()
        let worker = bench.worker(WorkerConfiguration(concurrency: 2, maxReconnectPause: .milliseconds(5))) {
            seen.add($0.attempt)
        }
        try await bench.publish(3)
        try await bench.running(worker) {
            try await expectEventually { seen.count == 3 }
            bench.queue.change { $0.failures[.receive] = 4 }
            let before = bench.queue.calls(.receive)
            for number in 4...6 {
                try await bench.publish(1)
                try await expectEventually { seen.count == number }
            }
            try await expectEventually { bench.queue.calls(.receive) >= before + 4 }
            try await expectEventually { try await bench.isDone() && worker.status.problem == nil }
        }
        #expect(seen.all == Array(repeating: 1, count: 6))
    }

    @Test("ends with the error that waiting cannot mend")
    func permanentFailure() async throws {
        let bench = try await Bench.make()
        bench.queue.change { behaviour in
            behaviour.error = QueueError(.permissionDenied, "no")
            behaviour.failures[.receive] = 1
        }
        let error = await #expect(throws: QueueError.self) { try await bench.worker { _ in }.run() }
        #expect(error?.code == .permissionDenied)
        #expect(try await bench.figures().consumers == .exact(0))

        let elsewhere = Worker(
            queue: bench.queue,
            from: "nowhere",
            group: "g",
            consumer: "c",
            logger: bench.logger,
            handler: { _ in }
        )
        let missing = await #expect(throws: QueueError.self) { try await elsewhere.run() }
        #expect(missing?.code == .notFound)
    }

    @Test("settlements that fail are tried again, and the handler is not called again")
    func settleFailures() async throws {
        let bench = try await Bench.make()
        bench.queue.change { $0.failures[.settle] = 2 }
        let seen = Notes<Int>()
        let worker = bench.worker { seen.add($0.attempt) }
        try await bench.publish(1)
        try await bench.running(worker) { try await expectEventually { try await bench.isDone() } }
        #expect(seen.all == [1])
        #expect(bench.queue.calls(.settle) == 3)
    }

    @Test("a settlement that the broker reports as failed is tried again alone")
    func settleOutcomes() async throws {
        let bench = try await Bench.make()
        bench.queue.change { behaviour in
            behaviour.answer = { _ in .failed(QueueError(.unavailable, "later")) }
        }
        let seen = Notes<Int>()
        let worker = bench.worker { seen.add($0.attempt) }
        try await bench.publish(1)
        try await bench.running(worker) { try await expectEventually { try await bench.isDone() } }
        #expect(seen.all == [1])
        #expect(bench.queue.calls(.settle) == 2)
    }

    @Test("a settlement that can never be carried out is reported, and the worker goes on")
    func settleRefused() async throws {
        let bench = try await Bench.make()
        bench.queue.change { behaviour in
            behaviour.answer = { _ in .failed(QueueError(.permissionDenied, "no right to settle")) }
        }
        let seen = Notes<String>()
        let worker = bench.worker(WorkerConfiguration(concurrency: 1)) { seen.add($0.message.text ?? "") }
        try await bench.publish(2)
        try await bench.running(worker) {
            try await expectEventually { seen.count == 2 && worker.status.inFlight == 0 }
        }
        #expect(seen.all == ["0", "1"])
        let errors = bench.log.entries.filter { $0.level == .error }
        #expect(errors.count == 1)
        #expect(errors.first?.metadata["mq.error"]?.description.contains("no right to settle") == true)
    }

    @Test("a lost lease is logged")
    func leaseLost() async throws {
        let bench = try await Bench.make()
        bench.queue.change { $0.answer = { _ in .leaseLost } }
        let worker = bench.worker { _ in }
        try await bench.publish(1)
        try await bench.running(worker) {
            try await expectEventually {
                bench.log.entries.contains { $0.level == .warning && "\($0.message)".contains("lease was lost") }
            }
        }
    }
}
