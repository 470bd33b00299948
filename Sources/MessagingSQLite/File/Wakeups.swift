#if SQLite
import Messaging
import Synchronization

/// The consumers of this process that wait for something to become available.
///
/// One waiter per group is woken at a time; it wakes the next one when it leaves something behind. A waiter registers
/// before it looks, so that nothing that becomes available between the look and the wait is missed.
final class Wakeups: Sendable {
    /// A place in the line of a group.
    struct Ticket: Sendable, Hashable {
        fileprivate let group: Int64
        fileprivate let number: UInt64
    }

    private struct Waiter {
        /// Whether something became available for this place.
        var isSignalled = false
        /// Whether its time has come or its task was cancelled.
        var isOver = false
        var continuation: CheckedContinuation<Void, Never>?
    }

    private struct Line {
        let queue: Int64
        var waiters: [UInt64: Waiter] = [:]
    }

    private struct State {
        var last: UInt64 = 0
        var lines: [Int64: Line] = [:]
        var isShut = false
    }

    private let state = Mutex(State())

    /// How many consumers have a place in a line.
    var count: Int { state.withLock { $0.lines.values.reduce(0) { $0 + $1.waiters.count } } }

    /// Takes a place in the line of a group.
    func register(group: Int64, queue: Int64) -> Ticket {
        state.withLock { state in
            state.last += 1
            state.lines[group, default: Line(queue: queue)].waiters[state.last] = Waiter()
            return Ticket(group: group, number: state.last)
        }
    }

    /// Waits until this place is woken, a moment has come, or the task is cancelled.
    func wait(_ ticket: Ticket, until moment: Duration, clock: QueueClock) async {
        let timer = Task {
            try? await clock.sleep(until: moment)
            giveUp(ticket)
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    guard !state.isShut, let waiter = state.lines[ticket.group]?.waiters[ticket.number],
                        !waiter.isSignalled, !waiter.isOver
                    else { return true }
                    state.lines[ticket.group]?.waiters[ticket.number]?.continuation = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            giveUp(ticket)
        }
        timer.cancel()
    }

    /// Leaves the line.
    ///
    /// - Returns: Whether the place had been woken.
    @discardableResult
    func leave(_ ticket: Ticket) -> Bool {
        state.withLock { state in
            let waiter = state.lines[ticket.group]?.waiters.removeValue(forKey: ticket.number)
            if state.lines[ticket.group]?.waiters.isEmpty == true { state.lines[ticket.group] = nil }
            return waiter?.isSignalled ?? false
        }
    }

    /// Wakes whoever has waited longest in the line of a group.
    func wake(group: Int64) {
        let continuation = state.withLock { Self.wakeFirst(in: &$0.lines[group]) }
        continuation?.resume()
    }

    /// Wakes whoever has waited longest in each line of some queues, by the low bytes of their numbers.
    func wake(queues: Set<UInt8>) {
        let continuations = state.withLock { state in
            state.lines.keys.compactMap { group -> CheckedContinuation<Void, Never>? in
                guard let queue = state.lines[group]?.queue, queues.contains(UInt8(truncatingIfNeeded: queue)) else {
                    return nil
                }
                return Self.wakeFirst(in: &state.lines[group])
            }
        }
        for continuation in continuations { continuation.resume() }
    }

    /// Wakes whoever has waited longest in every line.
    func wakeAll() { wake(queues: Set(UInt8.min...UInt8.max)) }

    /// Wakes everybody, for good.
    func shut() {
        let continuations = state.withLock { state in
            state.isShut = true
            var all: [CheckedContinuation<Void, Never>] = []
            for group in state.lines.keys {
                for number in state.lines[group]?.waiters.keys.map({ $0 }) ?? [] {
                    state.lines[group]?.waiters[number]?.isSignalled = true
                    if let continuation = state.lines[group]?.waiters[number]?.continuation.take() {
                        all.append(continuation)
                    }
                }
            }
            return all
        }
        for continuation in continuations { continuation.resume() }
    }

    /// Ends the wait at a place, or keeps it from beginning.
    func giveUp(_ ticket: Ticket) {
        let continuation = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.lines[ticket.group]?.waiters[ticket.number]?.isOver = true
            return state.lines[ticket.group]?.waiters[ticket.number]?.continuation.take()
        }
        continuation?.resume()
    }

    private static func wakeFirst(in line: inout Line?) -> CheckedContinuation<Void, Never>? {
        let next = line?.waiters.filter { !$0.value.isSignalled }.keys.min()
        guard let next else { return nil }
        line?.waiters[next]?.isSignalled = true
        return line?.waiters[next]?.continuation.take()
    }
}
#endif
