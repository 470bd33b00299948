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
final class Watchdog: Sendable {
    private struct State {
        var socket: Int32?
        var since: ContinuousClock.Instant?
        var hasFired = false
    }

    private let state: Mutex<State>
    private let limit: Duration
    /// Written once, in `init`; a source is safe to cancel from any thread.
    private nonisolated(unsafe) let timer: any DispatchSourceTimer

    init(_ socket: Int32, limit: Duration) {
        state = Mutex(State(socket: socket))
        self.limit = limit
        timer = DispatchSource.makeTimerSource(queue: .global())
        let period = DispatchTimeInterval.milliseconds(Int(limit.components.seconds * 500) + 250)
        timer.setEventHandler { [weak self] in self?.look() }
        timer.schedule(deadline: .now() + period, repeating: period)
        timer.resume()
    }

    /// Whether it has cut the socket off.
    var hasFired: Bool { state.withLock { $0.hasFired } }

    /// A call begins.
    func enter() { state.withLock { $0.since = .now } }

    /// The call has returned.
    func leave() { state.withLock { $0.since = nil } }

    /// The socket is about to be closed and its number to be somebody else's.
    func end() {
        state.withLock { $0.socket = nil }
        timer.cancel()
    }

    private func look() {
        state.withLock { state in
            guard let socket = state.socket, let since = state.since, since.duration(to: .now) > limit else { return }
            state.hasFired = true
            // The call returns with an error; the descriptor stays valid until its owner closes it.
            shutdown(socket, Int32(SHUT_RDWR))
        }
    }
}
#endif
