import Messaging

#if canImport(Darwin)
import Darwin
#elseif canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

extension Conformance {
    static let idling: [ConformanceCase] = [idle]

    private static let idle = ConformanceCase(
        "life.idle",
        .lifecycle,
        "a consumer that waits costs next to nothing, and is woken by a publish",
        tier: .full,
        isAlone: true
    ) { harness in
        let stage = try await Stage(harness)
        // What the process does anyway, such as what earlier cases have left behind. As it may end meanwhile, it
        // excuses only what is far below a consumer that asks all the time.
        let others = min(try await quietest(enough: 0.005), 0.1)
        let consumer = try await stage.consumer()
        let (arrivals, arrived) = AsyncStream.makeStream(
            of: ContinuousClock.Instant.self,
            bufferingPolicy: .bufferingOldest(wakeUps + 1)
        )
        async let count = received(by: consumer, arrived)
        try await quietly(beside: others)
        try await wakesUp(stage, arrivals)
        try await stage.publish(1, prefix: "last")
        try expectEqual(try await count, wakeUps + 1, "what the consumer got")
    }

    private static let wakeUps = 7

    /// Takes what comes until the last message is among it; returns how many it took.
    private static func received(
        by consumer: any QueueConsumer,
        _ arrived: AsyncStream<ContinuousClock.Instant>.Continuation
    ) async throws -> Int {
        defer { arrived.finish() }
        var count = 0
        let end = ContinuousClock.now + .seconds(40)
        while ContinuousClock.now < end {
            for delivery in try await consumer.receive(max: 1, wait: .seconds(5)) {
                arrived.yield(.now)
                count += 1
                try await consumer.acknowledge(delivery)
                if Stage.text(delivery).hasPrefix("last") { return count }
            }
        }
        throw ConformanceFailure("a waiting consumer was not woken in 40 seconds")
    }

    /// Fails when the process takes more of a processor than it did without the consumer.
    private static func quietly(beside others: Double) async throws {
        let limit = others + 0.02
        let share = try await quietest(enough: limit)
        let percent = ((share - others) * 1000).rounded() / 10
        try expect(share <= limit, "a waiting consumer takes \(percent) % of a processor, expected at most 2 %")
    }

    /// Measures the share of a processor that this process takes, in the quietest of a few windows: whatever happens by
    /// chance adds to it, and never takes away.
    ///
    /// - Parameter enough: What is quiet enough to look no further.
    /// - Returns: The share; 1 is a whole processor.
    /// - Throws: `CancellationError`.
    private static func quietest(enough: Double) async throws -> Double {
        var least = Double.infinity
        for _ in 0..<10 where least > enough {
            let (start, spent) = (ContinuousClock.now, processorTime())
            try await Task.sleep(for: .milliseconds(500))
            least = min(least, (processorTime() - spent) / (ContinuousClock.now - start))
        }
        return least
    }

    /// A publish wakes the waiting consumer within the tolerance, at the median.
    private static func wakesUp(_ stage: Stage, _ arrivals: AsyncStream<ContinuousClock.Instant>) async throws {
        var delays: [Duration] = []
        var arrival = arrivals.makeAsyncIterator()
        for _ in 0..<wakeUps {
            // So that it waits again, and does not just come round.
            try await Task.sleep(for: .milliseconds(30))
            let start = ContinuousClock.now
            try await stage.publish(1)
            guard let end = await arrival.next() else { throw ConformanceFailure("a publish woke nobody") }
            delays.append(end - start)
        }
        let median = delays.sorted()[wakeUps / 2]
        let limit = max(stage.harness.tolerance, .milliseconds(250))
        try expect(median <= limit, "the median of what it took from a publish to the delivery is \(median)")
    }

    /// The processor time of this process so far.
    private static func processorTime() -> Duration {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}
