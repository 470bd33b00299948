import Synchronization
import TestSupport
import Testing

@testable import Messaging

@Suite("A signal of changes", .timeLimit(.minutes(1)))
struct ChangeSignalTests {
    private let signal = ChangeSignal()
    private let clock = ManualClock()

    /// Waits in a task of its own, until the signal has it.
    private func waiting(until deadline: Duration = .seconds(10)) async throws -> Task<Void, Never> {
        let (signal, clock, mark, before) = (signal, clock, signal.mark, signal.waiters)
        let task = Task { await signal.wait(since: mark, until: deadline, clock: clock.queueClock) }
        try await expectEventually { signal.waiters == before + 1 }
        return task
    }

    @Test("a change ends every wait")
    func change() async throws {
        let tasks = [try await waiting(), try await waiting()]
        signal.raise()
        for task in tasks { await task.value }
        #expect(signal.waiters == 0)
        #expect(clock.now == .zero)
    }

    @Test("a change that came before the wait is not missed")
    func earlier() async {
        let mark = signal.mark
        signal.raise()
        await signal.wait(since: mark, until: .seconds(10), clock: clock.queueClock)
        #expect(clock.now == .zero)
    }

    @Test("a wait ends when its time has come, and not before")
    func deadline() async throws {
        let task = try await waiting(until: .seconds(10))
        await clock.waitForSleepers(1)
        clock.advance(by: .seconds(9))
        #expect(signal.waiters == 1)
        clock.advance(by: .seconds(1))
        await task.value
        #expect(signal.waiters == 0)
        // What is over before it begins does not wait at all.
        await signal.wait(since: signal.mark, until: .seconds(5), clock: clock.queueClock)
    }

    @Test("cancelling ends a wait, and one that is cancelled does not begin")
    func cancellation() async throws {
        let task = try await waiting()
        task.cancel()
        await task.value
        #expect(signal.waiters == 0)
        let (signal, clock) = (signal, clock)
        await Task {
            withUnsafeCurrentTask { $0?.cancel() }
            await signal.wait(since: signal.mark, until: .seconds(10), clock: clock.queueClock)
        }.value
        #expect(signal.waiters == 0)
    }

    @Test("looks again after each change until something is there")
    func looks() async throws {
        let looks = Mutex(0)
        let (signal, clock) = (signal, clock)
        let task = Task {
            try await signal.look(for: .seconds(10), clock: clock.queueClock) { () throws(QueueError) in
                let count = looks.withLock { looks in
                    looks += 1
                    return looks
                }
                return (count < 3 ? [] : ["found"], nil)
            }
        }
        for _ in 0..<2 {
            try await expectEventually { signal.waiters == 1 }
            signal.raise()
        }
        #expect(try await task.value == ["found"])
        #expect(looks.withLock { $0 } == 3)
    }

    @Test("looks at least once, and once more when its time is over")
    func looksInVain() async throws {
        let looks = Mutex(0)
        let (signal, clock) = (signal, clock)
        let look = { @Sendable (time: Duration, next: Duration?) async throws(QueueError) -> [Int] in
            try await signal.look(for: time, clock: clock.queueClock) { () throws(QueueError) in
                let count = looks.withLock { looks in
                    looks += 1
                    return looks
                }
                return ([], count == 2 ? next : nil)
            }
        }
        #expect(try await look(.zero, nil) == [])
        #expect(looks.withLock { $0 } == 1)
        let task = Task { try await look(.seconds(10), .seconds(4)) }
        for (step, count) in [(Duration.seconds(4), 3), (.seconds(6), 4)] {
            try await expectEventually { signal.waiters == 1 && clock.sleepers == 1 }
            clock.advance(by: step)
            try await expectEventually { looks.withLock { $0 } == count }
        }
        #expect(try await task.value == [])
    }
}
