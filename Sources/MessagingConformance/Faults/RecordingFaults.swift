import Messaging
import Synchronization

/// The fault control of a harness, as one case sees it: its clients and children are part of the history, and whatever
/// the case breaks is mended when it ends.
final class RecordingFaults: FaultControl {
    private struct State {
        var children: [RecordedChild] = []
        var proxy: (any FaultProxy)?
        var isDown = false
        var isPaused = false
        var isFull = false
    }

    private let base: any FaultControl
    private let clients: HarnessClients
    private let state = Mutex(State())

    init(_ base: any FaultControl, _ clients: HarnessClients) {
        self.base = base
        self.clients = clients
    }

    var patience: Duration { base.patience }
    var registrationLimit: Duration { base.registrationLimit }
    var chaosTime: Duration { base.chaosTime }
    var effort: Double { base.effort }
    var chaosSeed: UInt64? { base.chaosSeed }

    func proxy() async throws -> any FaultProxy {
        let proxy = RecordingProxy(base: try await base.proxy(), history: clients.history)
        state.withLock { $0.proxy = proxy }
        return proxy
    }

    func makeQueue() async throws -> any MessageQueue { clients.record(try await base.makeQueue()) }

    func broker(_ change: BrokerChange) async throws {
        state.withLock { state in
            switch change {
            case .stop, .kill: state.isDown = true
            case .pause: state.isPaused = true
            case .refuseWrites: state.isFull = true
            case .start, .resume, .acceptWrites: break
            }
        }
        switch change {
        case .stop, .kill, .pause: clients.history.noteDisturbance("\(change)")
        case .start, .resume, .refuseWrites, .acceptWrites: break
        }
        try await base.broker(change)
        state.withLock { state in
            switch change {
            case .start: (state.isDown, state.isPaused) = (false, false)
            case .resume: state.isPaused = false
            case .acceptWrites: state.isFull = false
            case .stop, .kill, .pause, .refuseWrites: break
            }
        }
    }

    func startChild(_ job: FaultChildJob) async throws -> any FaultChild { try await base.startChild(job) }

    /// Starts a child whose events are part of the history.
    func child(_ job: FaultChildJob, letters: [String] = [], lease: Duration) async throws -> RecordedChild {
        let child = try await RecordedChild(
            job,
            letters: letters,
            lease: lease,
            history: clients.history
        ) { try await base.startChild($0) }
        state.withLock { $0.children.append(child) }
        return child
    }

    /// Ends the children, and mends what the case has left broken.
    func mend() async {
        let left = state.withLock { $0 }
        for child in left.children { await child.kill() }
        try? await left.proxy?.apply(.none)
        if left.isPaused { try? await broker(.resume) }
        if left.isDown { try? await broker(.start) }
        if left.isFull { try? await broker(.acceptWrites) }
    }
}

/// A proxy whose faults are part of the history.
private struct RecordingProxy: FaultProxy {
    let base: any FaultProxy
    let history: History

    func apply(_ fault: ProxyFault) async throws {
        switch fault {
        case .none, .delay: break
        default: history.noteDisturbance("\(fault)")
        }
        try await base.apply(fault)
    }

    func traffic() async throws -> ProxyTraffic { try await base.traffic() }

    func resetConnections() async throws {
        history.noteDisturbance("connections are reset")
        try await base.resetConnections()
    }
}
