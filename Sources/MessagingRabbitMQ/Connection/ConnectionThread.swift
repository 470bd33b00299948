#if RabbitMQ
import Foundation
import Messaging
import Synchronization

/// What runs on the thread of one connection.
protocol ConnectionRole: AnyObject, SendableMetatype {
    /// Does everything that can be done now.
    ///
    /// - Parameter now: The time.
    /// - Returns: What to wait for; `nil` when the role has ended.
    func turn(_ now: Duration) -> ConnectionWait?
}

/// What a thread waits for, besides new jobs.
struct ConnectionWait {
    /// A socket that may become readable.
    var socket: Int32?
    /// When to look again at the latest.
    var until: Duration?
}

/// A thread that owns a connection: librabbitmq's state belongs to one thread, and its calls block.
///
/// Jobs come through a mailbox, as many as there are callers that wait for one. The thread sleeps until its socket has
/// something to read, a job comes or a time is reached.
final class ConnectionThread<Role: ConnectionRole>: Sendable {
    typealias Job = @Sendable (Role) -> Void

    private struct State {
        var jobs: [Job] = []
        var isAwake = false
        var hasEnded = false
    }

    private let state = Mutex(State())
    private let wake: WakePipe?

    /// Starts the thread.
    ///
    /// It ends when a turn of the role returns `nil`.
    init(_ make: @escaping @Sendable () -> Role) {
        wake = WakePipe()
        if wake == nil { state.withLock { $0.hasEnded = true } }
        // Outside of the pool that Swift's tasks share: its calls may block.
        Thread { [self] in run(make()) }.start()
    }

    /// Hands a job to the thread.
    ///
    /// - Returns: Whether it will be done; not when the thread has ended.
    @discardableResult
    func submit(_ job: @escaping Job) -> Bool {
        let (isTaken, wakes) = state.withLock { state in
            if state.hasEnded { return (false, false) }
            state.jobs.append(job)
            defer { state.isAwake = true }
            return (true, !state.isAwake)
        }
        if wakes { wake?.ring() }
        return isTaken
    }

    private func run(_ role: Role) {
        guard let wake else { return }
        while true {
            work(role)
            let now = QueueClock.system.now()
            guard let wait = role.turn(now) else { break }
            // What came during the turn is done before the thread sleeps.
            let sleeps = state.withLock { state in
                guard state.jobs.isEmpty else { return false }
                state.isAwake = false
                return true
            }
            if sleeps { wake.wait(socket: wait.socket, atMost: wait.until.map { $0 - QueueClock.system.now() }) }
        }
        // Jobs that came too late find a role that has ended, and say so.
        state.withLock { $0.hasEnded = true }
        work(role)
    }

    private func work(_ role: Role) {
        let jobs = state.withLock { state in
            defer { state.jobs = [] }
            state.isAwake = true
            return state.jobs
        }
        for job in jobs { job(role) }
    }
}

/// A pipe by which other threads end the sleep of one.
private final class WakePipe: Sendable {
    private let readEnd: Int32
    private let writeEnd: Int32

    init?() {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return nil }
        for end in ends {
            _ = fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK)
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
        }
        (readEnd, writeEnd) = (ends[0], ends[1])
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }

    func ring() {
        var byte: UInt8 = 1
        // A full pipe wakes as well as a byte more.
        _ = write(writeEnd, &byte, 1)
    }

    /// Sleeps until the socket has something, somebody rings or the time is over.
    func wait(socket: Int32?, atMost limit: Duration?) {
        var polls = [pollfd(fd: readEnd, events: Int16(POLLIN), revents: 0)]
        if let socket { polls.append(pollfd(fd: socket, events: Int16(POLLIN), revents: 0)) }
        let milliseconds = limit.map { Int32(clamping: max(0, $0.milliseconds)) } ?? -1
        _ = poll(&polls, nfds_t(polls.count), milliseconds)
        guard polls[0].revents != 0 else { return }
        var bytes = [UInt8](repeating: 0, count: 64)
        while read(readEnd, &bytes, bytes.count) == bytes.count {}
    }
}
#endif
