import Messaging
import Synchronization

/// A harness that remembers the clients it has made for one case, so that they end with it, and what they did.
final class HarnessClients: ConformanceHarness {
    private let base: any ConformanceHarness
    private let made = Mutex<[RecordingQueue]>([])
    private let breaking = Mutex<RecordingFaults?>(nil)
    /// What the clients of the case did.
    let history: History

    init(_ base: any ConformanceHarness) {
        self.base = base
        history = History { base.now }
    }

    var timeUnit: Duration { base.timeUnit }
    var tolerance: Duration { base.tolerance }
    var now: Duration { base.now }

    func makeQueue() async throws -> any MessageQueue { record(try await base.makeQueue()) }

    /// Makes a client part of the history; it is closed with the others.
    func record(_ client: any MessageQueue) -> any MessageQueue {
        let queue = RecordingQueue(client, history)
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

    func uniqueName(_ prefix: String) -> String { base.uniqueName(prefix) }
    func advance(by duration: Duration) async throws { try await base.advance(by: duration) }

    func injectForeign(body: [UInt8], into queue: String) async throws -> Bool {
        history.noteForeign(queue)
        return try await base.injectForeign(body: body, into: queue)
    }

    func close() async {
        await breaking.withLock { $0 }?.mend()
        for queue in made.withLock({ $0 }) { await queue.close() }
    }

    /// Judges what the clients did by the laws that every history keeps, and by the figures that are left.
    ///
    /// - Throws: ``ConformanceFailure`` with the law, the ids and their history; whatever keeps it from being judged.
    func checkHistory() async throws {
        guard !history.events.isEmpty else { return }
        let queue: any MessageQueue
        if let open = made.withLock({ $0.first { !$0.isClosed } }) {
            queue = open.base
        } else {
            // It is closed with the others.
            let client = RecordingQueue(try await base.makeQueue(), history)
            made.withLock { $0.append(client) }
            queue = client.base
        }
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

    private static func failure(_ violations: [HistoryViolation]) -> ConformanceFailure {
        ConformanceFailure(violations.map(\.description).joined(separator: "\n"))
    }
}
