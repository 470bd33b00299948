import AsyncHTTPClient
import Logging
import Messaging

/// What a run of the pipeline does about sources.
struct SourceReading: Sendable {
    /// How often sources are read.
    enum Mode: Sendable {
        /// Each one once, whether it succeeds or not.
        case once
        /// By their schedules, until shutdown or, if so, until there is nothing to read again.
        case always(endsWhenRead: Bool)

        var isEndless: Bool {
            if case .always = self { true } else { false }
        }
    }

    let list: SourceList
    let states: any SourceStateStore
    let configuration: FetchConfiguration
    let mode: Mode

    /// Reads the sources and publishes what they have.
    func run(_ collector: Collector, clock: QueueClock, logger: Logger) async throws {
        if case .once = mode, list.sources.isEmpty { return }
        try await SourceFetcher.withClient(configuration) { client in
            let sources = SourceCollector(
                collector: collector,
                fetcher: SourceFetcher(client: client, configuration: configuration, clock: clock),
                states: states,
                clock: clock,
                logger: logger
            )
            switch mode {
            case .once: try await sources.readOnce(list.sources)
            case .always(let endsWhenRead): try await sources.follow(list, endsWhenRead: endsWhenRead)
            }
        }
    }
}
