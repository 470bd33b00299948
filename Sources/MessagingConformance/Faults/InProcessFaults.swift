import Messaging
import Synchronization

/// Faults without a socket or a process: what clients of a broker in this process would see of them.
///
/// It proves that the cases of the fault tier can fail, on mutants of the memory queue and a clock of the test's own; it
/// proves nothing about a backend's own connections. Every client of the harness must be one of ``client(_:isRemote:)``.
package final class InProcessFaults: FaultControl {
    private struct State {
        var isDown = false
        var isPaused = false
        var isFull = false
        var fault = ProxyFault.none
        var traffic = ProxyTraffic()
    }

    /// What a request and its answer would be on a wire, for cuts in the middle.
    static let requestBytes = 64
    static let replyBytes = 16

    private let makeClient: @Sendable () async throws -> any MessageQueue
    private let state = Mutex(State())

    /// Creates the control of a broker.
    ///
    /// - Parameter makeClient: Makes a client of the broker.
    package init(_ makeClient: @escaping @Sendable () async throws -> any MessageQueue) { self.makeClient = makeClient }

    package var patience: Duration { .zero }
    package var registrationLimit: Duration { .seconds(8) }
    package var chaosTime: Duration { .seconds(60) }

    package func proxy() async throws -> any FaultProxy { InProcessProxy(faults: self) }
    package func makeQueue() async throws -> any MessageQueue { try await client(isRemote: true) }

    /// Returns a client that the faults happen to.
    ///
    /// - Parameter isRemote: Whether it goes through the proxy.
    /// - Returns: The client.
    /// - Throws: What making a client throws.
    package func client(isRemote: Bool) async throws -> any MessageQueue {
        if isRemote {
            state.withLock {
                $0.traffic.connections += 1; $0.traffic.open += 1
            }
        }
        return InProcessClient(base: try await makeClient(), faults: self, isRemote: isRemote)
    }

    package func broker(_ change: BrokerChange) async throws {
        state.withLock { state in
            switch change {
            case .stop, .kill: state.isDown = true
            case .start: (state.isDown, state.isPaused) = (false, false)
            case .pause: state.isPaused = true
            case .resume: state.isPaused = false
            case .refuseWrites: state.isFull = true
            case .acceptWrites: state.isFull = false
            }
        }
    }

    package func startChild(_ job: FaultChildJob) async throws -> any FaultChild {
        try await startChild(job) { $0 }
    }

    /// Starts a task that does what a child would do; at its end the broker sees that its connection is gone.
    func startChild(
        _ job: FaultChildJob,
        wrapping wrap: (any MessageQueue) -> any MessageQueue
    ) async throws -> any FaultChild {
        let connection = try await client(isRemote: false)
        return InProcessChild(job, wrap(connection), connection)
    }

    func apply(_ fault: ProxyFault) { state.withLock { $0.fault = fault } }
    var traffic: ProxyTraffic { state.withLock { $0.traffic } }
    func closed() { state.withLock { $0.traffic.open -= 1 } }

    /// What becomes of one call.
    struct Passage {
        /// Whether the broker carries it out.
        var isDone = true
        /// What the client is told instead of the answer.
        var failure: QueueError?
    }

    /// Decides what becomes of a call.
    func pass(isWrite: Bool, isRemote: Bool) -> Passage {
        state.withLock { state in
            if state.isDown { return Passage(isDone: false, failure: Self.unreachable) }
            if state.isPaused { return Passage(isDone: false, failure: Self.unanswered) }
            var passage = isRemote ? Self.pass(&state) : Passage()
            if passage.isDone, state.isFull, isWrite {
                passage = Passage(isDone: false, failure: passage.failure ?? Self.full)
            }
            return passage
        }
    }

    private static func pass(_ state: inout State) -> Passage {
        state.traffic.requests += 1
        switch state.fault {
        case .none, .delay, .halfClose: break
        case .refuse: return Passage(isDone: false, failure: unreachable)
        case .silence(let directions):
            // What is held back is carried out when the silence is over, or never: here never.
            return Passage(isDone: !directions.contains(.requests), failure: unanswered)
        case .drop(.requests): return Passage(isDone: false, failure: unanswered)
        case .drop(.replies): return Passage(isDone: true, failure: unanswered)
        case .cut(.requests, let left):
            if left <= requestBytes {
                state.fault = .none
                state.traffic.cuts += 1
                return Passage(isDone: left == requestBytes, failure: unanswered)
            }
            state.fault = .cut(.requests, after: left - requestBytes)
        case .cut(.replies, let left):
            if left < replyBytes {
                state.fault = .none
                state.traffic.cuts += 1
                return Passage(isDone: true, failure: unanswered)
            }
            state.fault = .cut(.replies, after: left - replyBytes)
        }
        state.traffic.requestBytes += requestBytes
        state.traffic.replyBytes += replyBytes
        return Passage()
    }

    private static let unreachable = QueueError(.unavailable, "the broker cannot be reached")
    private static let unanswered = QueueError(.indeterminate, "the answer did not come")
    private static let full = QueueError(.unavailable, "the broker takes nothing new")
}

private struct InProcessProxy: FaultProxy {
    let faults: InProcessFaults

    func apply(_ fault: ProxyFault) async throws { faults.apply(fault) }
    func traffic() async throws -> ProxyTraffic { faults.traffic }
    func resetConnections() async throws {}
}

/// A child that is a task of this process.
private final class InProcessChild: FaultChild {
    let lines: AsyncStream<String>
    private let task: Task<Void, Never>

    init(_ job: FaultChildJob, _ queue: any MessageQueue, _ connection: any MessageQueue) {
        let (lines, end) = AsyncStream.makeStream(of: String.self)
        self.lines = lines
        task = Task {
            do {
                try await job.run(on: queue) { line in
                    end.yield(line)
                } die: {
                    throw CancellationError()
                }
            } catch {
                // Killed, or nothing is left to do.
            }
            await connection.close()
            end.finish()
        }
    }

    func kill() async {
        task.cancel()
        await task.value
    }
}
