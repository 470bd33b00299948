import Messaging
import Synchronization

/// A harness that remembers the clients it has made for one case, so that they end with it, and what they did.
final class HarnessClients: ConformanceHarness {
    private let base: any ConformanceHarness
    private let factor: Int
    private let made = Mutex<[RecordingQueue]>([])
    private let names = Mutex<[String]>([])
    private let breaking = Mutex<RecordingFaults?>(nil)
    /// What the clients of the case did.
    let history: History

    init(_ base: any ConformanceHarness, slowedBy factor: Int = 1) {
        self.base = base
        self.factor = factor
        history = History { base.now }
    }

    var timeUnit: Duration { base.timeUnit * factor }
    var tolerance: Duration { base.tolerance }
    var now: Duration { base.now }

    func makeQueue() async throws -> any MessageQueue { try await client() }

    private func client() async throws -> RecordingQueue { recorded(try await base.makeQueue()) }

    /// Makes a client part of the history; it is closed with the others.
    func record(_ client: any MessageQueue) -> any MessageQueue { recorded(client) }

    private func recorded(_ client: any MessageQueue) -> RecordingQueue {
        let queue = RecordingQueue(WatchedQueue(base: client, history: history), history)
        made.withLock { $0.append(queue) }
        return queue
    }

    /// The same for the whole case, so that it knows what is broken.
    var recordedFaults: RecordingFaults? {
        breaking.withLock { breaking in
            if breaking == nil, let faults = base.faults { breaking = RecordingFaults(faults, self) }
            return breaking
        }
    }

    var faults: (any FaultControl)? { recordedFaults }

    func uniqueName(_ prefix: String) -> String {
        let name = base.uniqueName(prefix)
        names.withLock { $0.append(name) }
        return name
    }

    func advance(by duration: Duration) async throws { try await base.advance(by: duration) }

    func injectForeign(body: [UInt8], into queue: String) async throws -> Bool {
        history.noteForeign(queue)
        return try await base.injectForeign(body: body, into: queue)
    }

    /// Deletes the queues of the case where the backend can, and closes the clients.
    func close() async {
        await breaking.withLock { $0 }?.mend()
        if let queue = try? await openClient(), let capabilities = try? await queue.capabilities(),
            capabilities[.deletion].isAvailable
        {
            for name in names.withLock({ $0 }) { _ = try? await queue.deleteQueue(name) }
        }
        for queue in made.withLock({ $0 }) { await queue.close() }
    }

    /// Judges what the clients did by the laws that every history keeps, and by the figures that are left.
    ///
    /// - Throws: ``ConformanceFailure`` with the law, the ids and their history; whatever keeps it from being judged.
    func checkHistory() async throws {
        guard !history.events.isEmpty else { return }
        let queue = try await openClient()
        let capabilities = try await queue.capabilities()
        let checker = HistoryChecker(
            isFenced: capabilities[.fencedSettle].isAvailable,
            isAtomic: capabilities[.atomicMove].isAvailable
        )
        let broken = checker.violations(of: history.events)
        if !broken.isEmpty { throw Self.failure(broken) }
        for name in checker.conservedQueues(of: history.events) {
            let end = now + tolerance
            while true {
                let statistics = try await queue.statistics(of: name)
                guard let violation = checker.conservation(of: history.events, statistics) else { break }
                guard now < end else { throw Self.failure([violation]) }
                try await advance(by: timeUnit / 20)
            }
        }
    }

    /// A client that is open, made anew when the case has closed all of its own; it is closed with the others.
    private func openClient() async throws -> any MessageQueue {
        if let open = made.withLock({ $0.first { !$0.isClosed } }) { return open.base }
        return try await client().base
    }

    private static func failure(_ violations: [HistoryViolation]) -> ConformanceFailure {
        ConformanceFailure(violations.map(\.description).joined(separator: "\n"))
    }
}
