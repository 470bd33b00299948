import Messaging
import Synchronization

/// A harness that remembers the clients it has made for one case, so that they end with it.
final class HarnessClients: ConformanceHarness {
    private let base: any ConformanceHarness
    private let made = Mutex<[any MessageQueue]>([])

    init(_ base: any ConformanceHarness) { self.base = base }

    var timeUnit: Duration { base.timeUnit }
    var tolerance: Duration { base.tolerance }
    var now: Duration { base.now }

    func makeQueue() async throws -> any MessageQueue {
        let queue = try await base.makeQueue()
        made.withLock { $0.append(queue) }
        return queue
    }

    func uniqueName(_ prefix: String) -> String { base.uniqueName(prefix) }
    func advance(by duration: Duration) async throws { try await base.advance(by: duration) }

    func close() async {
        for queue in made.withLock({ $0 }) { await queue.close() }
    }
}
