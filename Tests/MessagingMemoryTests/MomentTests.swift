import Messaging
import MessagingMemory
import Synchronization
import Testing

#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// A clock whose reader loses the processor just before it reads the calendar, as often as a test says.
private final class StallingClock: Sendable {
    private let state = Mutex((now: Duration.zero, stalls: 0))
    private let start = Date(timeIntervalSince1970: 1_800_000_000)

    /// Stands still for 50 ms each of the next times.
    func stall(_ count: Int) { state.withLock { $0.stalls = count } }

    func advance(by duration: Duration) { state.withLock { $0.now += duration } }

    /// What the calendar shows at a time of the clock.
    func date(at time: Duration) -> Date { start.addingTimeInterval(time / .seconds(1)) }

    var queueClock: QueueClock {
        QueueClock(
            now: { self.state.withLock { $0.now } },
            date: {
                let now = self.state.withLock { state in
                    if state.stalls > 0 {
                        state.stalls -= 1
                        state.now += .milliseconds(50)
                    }
                    return state.now
                }
                return self.date(at: now)
            },
            sleepUntil: { _ in throw CancellationError() }
        )
    }
}

@Suite("The memory queue reads its two clocks as one moment")
struct MomentTests {
    private let clock = StallingClock()
    private let queue: MemoryQueue

    init() { queue = MemoryQueue(clock: clock.queueClock) }

    private func retry(due time: Duration) -> StoredMessage {
        StoredMessage(
            id: "old-1",
            state: .waiting,
            group: "g",
            message: Message(text: "a"),
            due: clock.date(at: time),
            attempts: 1
        )
    }

    /// How much later than that the queue says a retry is due.
    private func listedDelay(to time: Duration) async throws -> Double {
        let page = try await queue.stored(in: "q", state: .waiting, group: "g", after: nil, limit: 10)
        let due = try #require(page.elements.first?.due)
        return due.timeIntervalSince(clock.date(at: time))
    }

    @Test("a thread that stands still between the readings makes a restored retry neither early nor late")
    func oneStall() async throws {
        try await queue.declare(QueueDefinition("q", groups: [GroupDefinition("g")]))
        clock.stall(1)
        for outcome in try await queue.restore([retry(due: .seconds(1))], to: "q") { #expect(outcome.isConfirmed) }
        clock.stall(1)
        #expect(abs(try await listedDelay(to: .seconds(1))) < 0.001)
        let consumer = try await queue.consume("q", group: "g", consumer: "c")
        // Two stalls have taken 100 ms of the second.
        clock.advance(by: .milliseconds(899))
        #expect(try await consumer.receive(max: 1, wait: .zero).isEmpty)
        // A date is no finer than a part of a microsecond.
        clock.advance(by: .milliseconds(2))
        #expect(try await consumer.receive(max: 1, wait: .zero).map(\.attempt) == [2])
    }

    @Test("one that stands still at each try does not make it early either")
    func everyStall() async throws {
        try await queue.declare(QueueDefinition("q", groups: [GroupDefinition("g")]))
        clock.stall(.max)
        for outcome in try await queue.restore([retry(due: .seconds(1))], to: "q") { #expect(outcome.isConfirmed) }
        clock.stall(0)
        #expect(try await listedDelay(to: .seconds(1)) > -0.001)
    }
}
