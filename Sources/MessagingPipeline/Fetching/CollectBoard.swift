import Foundation
import Synchronization

/// Adds up what all inputs and sources of a run come to.
final class CollectBoard: Sendable {
    private struct State {
        var total = CollectReport()
        var sources: [String: SourceReport] = [:]
    }

    private let state = Mutex(State())

    /// All figures as they are now.
    var report: CollectReport {
        state.withLock { state in
            var report = state.total
            report.sources = state.sources.values.sorted { ($0.name, $0.fetched) < ($1.name, $1.fetched) }
            return report
        }
    }

    /// Adds what a batch of statements has come to.
    func add(_ report: CollectReport, from source: RemoteSource? = nil) {
        state.withLock { state in
            state.total.add(report)
            if let source { state.sources[source.key]?.add(report) }
        }
    }

    /// Takes a source into the report.
    func begin(_ source: RemoteSource) {
        state.withLock { state in
            if state.sources[source.key]?.name != source.name {
                state.sources[source.key] = SourceReport(name: source.name)
            }
        }
    }

    /// Takes a source out of the report; what it has added stays in the sums.
    func end(_ source: RemoteSource) {
        state.withLock { _ = $0.sources.removeValue(forKey: source.key) }
    }

    /// Changes the figures of a source.
    func note(_ source: RemoteSource, _ change: (inout SourceReport) -> Void) {
        state.withLock { state in
            guard var report = state.sources[source.key] else { return }
            change(&report)
            state.sources[source.key] = report
        }
    }
}
