import Messaging
import Synchronization

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

#if canImport(Darwin)
import Darwin
#elseif canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Looks at the figures again and again until a signal, or a number of times.
struct StatusWatch: Sendable {
    /// The most queues that one look asks for.
    static let maxQueues = 200

    let queue: any MessageQueue
    let backend: String
    /// The one queue to watch; `nil` means all.
    let name: String?
    let every: Duration
    let count: Int?
    let output: Output
    /// Where to draw; looked at for each frame, because a window can be resized.
    let screen: @Sendable () -> Screen

    /// A place to draw.
    struct Screen: Sendable {
        var terminal: Terminal
        var rows: Int?

        /// Whether frames can replace each other; a dumb terminal gets one block after the other.
        var isLive: Bool { terminal.isTerminal && rows != nil }
    }

    private struct Look {
        var queues: [QueueStatistics] = []
        var total = 0
    }

    /// Runs until the count or a signal.
    func run() async throws {
        let isLive = screen().isLive && !output.isJSON
        let view = Mutex(StatusView(backend: backend, every: every))
        if isLive { try put(StatusScreen.enter) }
        defer { if isLive { try? put(StatusScreen.leave) } }
        // A resized window is drawn anew at once, with the figures that are there.
        let resizes = SignalWatch(isLive ? [SIGWINCH] : []) { _ in
            try? draw(view.withLock { $0 }, isLive: true)
        }
        defer { resizes.cancel() }
        if isLive { try draw(view.withLock { $0 }, isLive: true) }
        try await loop(view, isLive)
    }

    private func loop(_ view: borrowing Mutex<StatusView>, _ isLive: Bool) async throws {
        let clock = ContinuousClock()
        let start = clock.now
        var last: StatusRates.Sample?
        var ticks = 0
        while !Task.isCancelled {
            let begun = clock.now
            do throws(QueueError) {
                let look = try await look()
                let sample = StatusRates.Sample(queues: look.queues, at: start.duration(to: begun))
                let rates = last.map { StatusRates(from: $0, to: sample) } ?? StatusRates()
                last = sample
                view.withLock { view in
                    view.date = Date()
                    view.queues = look.queues
                    view.total = look.total
                    view.rates = rates
                    view.problem = nil
                }
            } catch {
                if error.code == .cancelled || Task.isCancelled { return }
                // What is wrong from the start and does not pass by itself is for the caller; the rest is tried again.
                if last == nil, !error.isRetryable { throw error }
                let since = last.map { start.duration(to: clock.now) - $0.at } ?? .zero
                view.withLock { view in
                    view.date = Date()
                    view.problem = (CLIErrors.text(error), since)
                }
            }
            try draw(view.withLock { $0 }, isLive: isLive)
            ticks += 1
            if let count, ticks >= count { return }
            do {
                // From the beginning of the look, so that a slow broker does not stretch the rhythm.
                try await clock.sleep(until: max(begun + every, clock.now + every / 10))
            } catch { return }
        }
    }

    private func look() async throws(QueueError) -> Look {
        if let name { return Look(queues: [try await queue.statistics(of: name)], total: 1) }
        let names = try await queue.queues()
        var look = Look(total: names.count)
        for name in names.prefix(Self.maxQueues) {
            do throws(QueueError) {
                look.queues.append(try await queue.statistics(of: name))
            } catch {
                // A queue may go between the list and its figures.
                guard error.code == .notFound else { throw error }
                look.total -= 1
            }
        }
        return look
    }

    private func draw(_ view: StatusView, isLive: Bool) throws {
        if output.isJSON { return try output.document(view.members) }
        let screen = screen()
        if isLive { return try put(StatusScreen.frame(view.lines(screen.terminal, rows: screen.rows))) }
        for line in view.lines(screen.terminal) + [""] { try output.line(line) }
    }

    private func put(_ text: String) throws { try output.write(Array(text.utf8), POSIX.standardOutput) }
}
