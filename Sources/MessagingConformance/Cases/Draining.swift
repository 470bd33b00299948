import Logging
import Messaging
import Synchronization

extension Conformance {
    static let draining: [ConformanceCase] = [drain, drainLimit]

    /// A worker on the machine's clock, so that it runs beside a clock that only the case moves.
    private static func worker(
        _ stage: Stage,
        concurrency: Int,
        drainDeadline: Duration,
        _ handler: @escaping Worker.Handler
    ) -> Worker {
        Worker(
            queue: stage.queue,
            from: stage.name,
            group: "workers",
            consumer: "worker",
            configuration: WorkerConfiguration(concurrency: concurrency, drainDeadline: drainDeadline),
            logger: Logger(label: "conformance") { _ in SwiftLogNoOpLogHandler() },
            handler: handler
        )
    }

    private static let drain = ConformanceCase(
        "life.drain",
        .lifecycle,
        "a worker that stops starts nothing more, finishes what runs, and the rest goes to others on attempt 1"
    ) { harness in
        let stage = try await Stage(harness)
        let messages = try await stage.publish(10)
        let (started, startedSink) = AsyncStream.makeStream(of: MessageID.self)
        let (door, opener) = AsyncStream.makeStream(of: Void.self)
        let gate = Gate(door)
        let stopping = worker(stage, concurrency: 4, drainDeadline: .seconds(25)) { delivery in
            startedSink.yield(delivery.message.id)
            await gate.pass()
        }
        let handled = try await within("a worker that is stopped") {
            async let run: Void = stopping.run()
            var handled: [MessageID] = []
            for await id in started {
                handled.append(id)
                if handled.count == 4 { break }
            }
            stopping.stop()
            opener.finish()
            try await run
            startedSink.finish()
            for await id in started { handled.append(id) }
            return handled
        }
        try expectEqual(handled.count, 4, "the number of handlers that were started")
        try await stage.expectFigures(ready: 6, inFlight: 0, delayed: 0, dead: 0)
        // The control arm: a worker that is not stopped handles all the rest.
        let seen = Mutex<[Delivery]>([])
        let (done, doneSink) = AsyncStream.makeStream(of: Void.self)
        let going = worker(stage, concurrency: 4, drainDeadline: .seconds(25)) { delivery in
            if seen.withLock({
                $0.append(delivery); return $0.count
            }) >= 6 {
                doneSink.finish()
            }
        }
        try await within("a worker that goes on") {
            async let run: Void = going.run()
            for await _ in done {}
            going.stop()
            try await run
        }
        let rest = seen.withLock { $0 }
        try expectEqual(rest.map(\.attempt), Array(repeating: 1, count: 6), "the attempts of what was not started")
        try expectEqual(Set(rest.map(\.message.id) + handled), Set(messages.map(\.id)), "what was handled")
        let consumer = try await stage.consumer("after")
        try await stage.expectNothing(consumer)
        try await stage.expectFigures(ready: 0, inFlight: 0, delayed: 0, dead: 0)
    }

    private static let drainLimit = ConformanceCase(
        "life.drainLimit",
        .lifecycle,
        "a handler over the drain limit is cancelled, its message goes to others, and the worker ends in time"
    ) { harness in
        let stage = try await Stage(harness)
        let messages = try await stage.publish(2)
        let limit = Duration.milliseconds(600)
        let (events, sink) = AsyncStream.makeStream(of: String.self)
        let (door, opener) = AsyncStream.makeStream(of: Void.self)
        let gate = Gate(door)
        let stalls = StallWatch()
        let stopping = worker(stage, concurrency: 2, drainDeadline: limit) { delivery in
            let text = delivery.message.text ?? ""
            sink.yield("started")
            // The control arm: a handler that ends within the limit is not cut off.
            do {
                if text == "m-0" { await gate.pass() } else { try await Task.sleep(for: .seconds(600)) }
                try Task.checkCancellation()
            } catch {
                sink.yield("cancelled \(text)")
                throw error
            }
            sink.yield("finished \(text)")
        }
        let (ends, took) = try await within("a worker that is stopped") {
            async let run: Void = stopping.run()
            var running = 0
            for await _ in events {
                running += 1
                if running == 2 { break }
            }
            let start = ContinuousClock.now
            stopping.stop()
            opener.finish()
            try await run
            let took = ContinuousClock.now - start
            sink.finish()
            var ends: [String] = []
            for await event in events { ends.append(event) }
            return (ends, took)
        }
        let stall = await stalls.end()
        let other = try await stage.consumer("other")
        do {
            try expectEqual(Set(ends), ["finished m-0", "cancelled m-1"], "how the handlers ended")
            try expect(took >= limit - .milliseconds(1), "the worker ended after \(took), before its limit of \(limit)")
            // One second to close, and what a busy machine takes.
            try expect(took <= limit + .seconds(10), "the worker ended only after \(took), its limit is \(limit)")
            let again = try await stage.takeOne(from: other, within: harness.tolerance)
            try expectEqual(again.message.id, messages[1].id, "what came to the other consumer")
            try expectEqual(again.attempt, 1, "the attempt of what was cut off by the limit")
            try await other.acknowledge(again)
        } catch is ConformanceFailure where stall > limit / 2 {
            // Who cannot run for so long is cut off although it was let go on, or is not waited for.
            throw TooSlow(limit: limit / 2, took: stall)
        }
        try await stage.expectNothing(other)
        try await stage.expectFigures(ready: 0, inFlight: 0, delayed: 0, dead: 0)
    }
}

/// Sees for how long the machine let nothing run, by a task that only sleeps.
private final class StallWatch: Sendable {
    private let longest: Task<Duration, Never>

    init() {
        longest = Task {
            let step = Duration.milliseconds(10)
            var longest = Duration.zero
            while !Task.isCancelled {
                let before = ContinuousClock.now
                try? await Task.sleep(for: step)
                longest = max(longest, ContinuousClock.now - before - step)
            }
            return longest
        }
    }

    deinit { longest.cancel() }

    /// Ends the watch.
    ///
    /// - Returns: By how much the task overslept at most.
    func end() async -> Duration {
        longest.cancel()
        return await longest.value
    }
}

/// A door that many wait at, until it is opened once.
private final class Gate: Sendable {
    private let opened: Task<Void, Never>

    init(_ signal: AsyncStream<Void>) {
        opened = Task { for await _ in signal {} }
    }

    func pass() async { await opened.value }
}
