#if RabbitMQ
import Dispatch
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Cuts a socket off when a call into librabbitmq does not return: it can wait for ever for a peer that does not read.
///
/// Looks four times in the limit, so a call is cut off after at most one and a half times the limit and a second.
final class Watchdog: Sendable {
    private struct State {
        var socket: Int32?
        /// The call that was under way at the last looks, and since when.
        var seen: (call: UInt64, since: ContinuousClock.Instant)?
        var hasFired = false
    }

    private let state: Mutex<State>
    /// Odd while a call is under way; another number with each.
    private let calls = Atomic<UInt64>(0)
    private let limit: Duration
    /// Written once, in `init`; a source is safe to cancel from any thread.
    private nonisolated(unsafe) let timer: any DispatchSourceTimer

    init(_ socket: Int32, limit: Duration) {
        state = Mutex(State(socket: socket))
        self.limit = limit
        timer = DispatchSource.makeTimerSource(queue: .global())
        let period = DispatchTimeInterval.milliseconds(Int(limit.components.seconds * 250) + 250)
        timer.setEventHandler { [weak self] in self?.look() }
        timer.schedule(deadline: .now() + period, repeating: period)
        timer.resume()
    }

    /// Whether it has cut the socket off.
    var hasFired: Bool { state.withLock { $0.hasFired } }

    /// A call begins.
    func enter() { calls.add(1, ordering: .relaxed) }

    /// The call has returned.
    func leave() { calls.add(1, ordering: .relaxed) }

    /// The socket is about to be closed and its number to be somebody else's.
    func end() {
        state.withLock { $0.socket = nil }
        timer.cancel()
    }

    private func look() {
        state.withLock { state in
            let call = calls.load(ordering: .relaxed)
            guard let socket = state.socket, call % 2 == 1 else { return state.seen = nil }
            guard let seen = state.seen, seen.call == call else { return state.seen = (call, .now) }
            guard seen.since.duration(to: .now) > limit else { return }
            state.hasFired = true
            // The call returns with an error; the descriptor stays valid until its owner closes it.
            shutdown(socket, Int32(SHUT_RDWR))
        }
    }
}
#endif
