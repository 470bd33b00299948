#if Redis
import DequeModule
import NIOConcurrencyHelpers

/// Lets one task in at a time, in the order they came.
///
/// A task that is cancelled while it waits leaves the line.
final class Gate: Sendable {
    private struct State {
        var isTaken = false
        var isShut = false
        var line = Deque<(UInt64, CheckedContinuation<Bool, Never>)>()
        var cancelled: Set<UInt64> = []
        var next: UInt64 = 0
    }

    private let state = NIOLockedValueBox(State())

    /// How many stand in line.
    var waiting: Int { state.withLockedValue { $0.line.count } }

    /// Returns `true` once inside, or `false` when the task was cancelled or the gate closed first.
    func enter() async -> Bool { await enter(isLast: false) }

    private func enter(isLast: Bool) async -> Bool {
        let number = state.withLockedValue { state in
            state.next += 1
            return state.next
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Bool? = state.withLockedValue { state in
                    if state.cancelled.remove(number) != nil || (state.isShut && !isLast) { return false }
                    if state.isTaken {
                        state.line.append((number, continuation))
                        return nil
                    }
                    state.isTaken = true
                    return true
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let waiting = state.withLockedValue { state -> CheckedContinuation<Bool, Never>? in
                guard let index = state.line.firstIndex(where: { $0.0 == number }) else {
                    // Not in line yet, or already inside; inside it does no harm.
                    state.cancelled.insert(number)
                    return nil
                }
                return state.line.remove(at: index).1
            }
            waiting?.resume(returning: false)
        }
    }

    func leave() {
        let next = state.withLockedValue { state -> CheckedContinuation<Bool, Never>? in
            if let next = state.line.popFirst() { return next.1 }
            state.isTaken = false
            // Marks of tasks that were cancelled inside are of no more use.
            if state.cancelled.count > 64 { state.cancelled.removeAll() }
            return nil
        }
        next?.resume(returning: true)
    }

    /// Waits for the one inside, sends away those in line, and stays shut.
    func close() async {
        let line = state.withLockedValue { state in
            defer { state.line = [] }
            state.isShut = true
            return state.line
        }
        for (_, continuation) in line { continuation.resume(returning: false) }
        // In a task of its own, so that cancelling the caller cannot skip the one inside.
        _ = await Task { await self.enter(isLast: true) }.value
    }
}
#endif
