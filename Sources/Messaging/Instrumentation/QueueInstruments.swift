import Metrics
import Synchronization

/// The metrics of one queue client.
///
/// Each is made once per queue and kept: making one takes a registry's lock.
final class QueueInstruments: Sendable {
    private struct Made {
        var sent: [String: Counter] = [:]
        var consumed: [String: Counter] = [:]
        var durations: [String: Timer] = [:]
    }

    private let system: String
    private let made = Mutex(Made())

    init(system: String) { self.system = system }

    func sent(_ count: Int, _ queue: String) {
        made.withLock { made in
            made.sent.value(queue) {
                Counter(label: MetricNames.sent, dimensions: dimensions("send", queue))
            }
        }.increment(by: count)
    }

    func consumed(_ count: Int, _ queue: String) {
        made.withLock { made in
            made.consumed.value(queue) {
                Counter(label: MetricNames.consumed, dimensions: dimensions("receive", queue))
            }
        }.increment(by: count)
    }

    /// Times an operation, with the error's code as a dimension when it fails.
    func measure<Result>(
        _ operation: String,
        _ queue: String,
        _ body: () async throws(QueueError) -> Result
    ) async throws(QueueError) -> Result {
        let start = ContinuousClock.now
        do {
            let result = try await body()
            timer(operation, queue, nil).record(duration: ContinuousClock.now - start)
            return result
        } catch {
            timer(operation, queue, error.code.description).record(duration: ContinuousClock.now - start)
            throw error
        }
    }

    private func timer(_ operation: String, _ queue: String, _ error: String?) -> Timer {
        made.withLock { made in
            made.durations.value("\(operation) \(error ?? "") \(queue)") {
                Timer(
                    label: MetricNames.operationDuration,
                    dimensions: dimensions(operation, queue) + (error.map { [(MetricNames.errorType, $0)] } ?? [])
                )
            }
        }
    }

    private func dimensions(_ operation: String, _ queue: String) -> [(String, String)] {
        [(MetricNames.system, system), (MetricNames.operation, operation), (MetricNames.destination, queue)]
    }
}

extension Dictionary {
    fileprivate mutating func value(_ key: Key, _ make: () -> Value) -> Value {
        if let value = self[key] { return value }
        let value = make()
        self[key] = value
        return value
    }
}
