import Messaging
import ServiceLifecycle
import Synchronization

#if canImport(Darwin)
import Darwin
#elseif canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Carries signals to a service that starts, runs or drains.
///
/// The first SIGINT or SIGTERM drains, the second one ends the process, SIGHUP reads the configuration file again.
final class ServiceControl: Sendable {
    private struct State {
        var decision = SignalDecision()
        var startup: Task<Void, any Error>?
        var group: ServiceGroup?
    }

    private let state = Mutex(State())
    private let output: Output
    private let drain: Duration
    private let unfinished: @Sendable () -> Int
    private let reload: @Sendable () -> Void

    /// Creates the control.
    ///
    /// - Parameters:
    ///   - output: Where it says what it does.
    ///   - drain: How long a drain takes at most.
    ///   - unfinished: How many deliveries are being handled.
    ///   - reload: Reads the configuration file again.
    init(
        output: Output,
        drain: Duration,
        unfinished: @escaping @Sendable () -> Int,
        reload: @escaping @Sendable () -> Void
    ) {
        self.output = output
        self.drain = drain
        self.unfinished = unfinished
        self.reload = reload
    }

    /// Whether a signal has asked for the end.
    var isStopping: Bool { state.withLock { $0.decision.isStopping } }

    /// Watches the signals while it works.
    ///
    /// - Parameters:
    ///   - prepare: Work before the services start; a signal cancels it.
    ///   - group: The services.
    ///   - begun: Told before the services start, when a signal already drains them.
    /// - Throws: What the work or the services throw, `CancellationError` when a signal came before they ran.
    func run(
        _ prepare: @escaping @Sendable () async throws -> Void,
        then group: ServiceGroup,
        begun: () -> Void = {}
    ) async throws {
        let watch = SignalWatch([SIGINT, SIGTERM, SIGHUP]) { [self] in received($0) }
        defer { watch.cancel() }
        let startup = Task { try await prepare() }
        let wasStopped = state.withLock { state in
            state.startup = startup
            return state.decision.isStopping
        }
        if wasStopped { startup.cancel() }
        do {
            try await startup.value
        } catch {
            guard isStopping else { throw error }
            throw CancellationError()
        }
        let isLate = state.withLock { state in
            state.startup = nil
            state.group = group
            return state.decision.isStopping
        }
        if isLate { throw CancellationError() }
        begun()
        try await group.run()
    }

    private func received(_ number: Int32) {
        let (action, startup, group) = state.withLock { state in
            (state.decision.received(number == SIGHUP ? .hangUp : .end), state.startup, state.group)
        }
        let name = number == SIGINT ? "SIGINT" : number == SIGTERM ? "SIGTERM" : "SIGHUP"
        switch action {
        case .nothing: output.note("\(name): ignored, the process is about to end")
        case .reload: reload()
        case .drain:
            output.progress(nil)
            output.note(
                "\(name): intake has stopped; what is running may go on for \(Format.age(drain)), a second signal ends at once"
            )
            startup?.cancel()
            if let group { Task { await group.triggerGracefulShutdown() } }
        case .endNow:
            let open = unfinished()
            let what =
                open == 0
                ? "nothing was being handled"
                : "\(Format.count(open, "message")) not finished; delivered again when the lease ends"
            output.error("\(name) again: ended before the drain was over; \(what)")
            POSIX.die(by: number)
        }
    }
}
