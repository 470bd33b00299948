import Hummingbird
import Logging
import Messaging
import NIOCore

/// Serves the statements over HTTP.
///
/// `GET /statements` lists unique statements, newest first; `GET /statements/{id}` shows one; `GET /statements/stream` is
/// a live stream of Server-Sent Events; `GET /stats` counts; `GET /live` answers while the process runs, and
/// `GET /health` tells whether the pipeline is connected and has polled recently; `GET /metrics` is for Prometheus.
/// `GET /openapi.json` describes all of it exactly.
public struct StatementsAPI: Sendable {
    /// Whether the pipeline is well, and what is wrong if it is not.
    public struct Health: Sendable, Hashable, Codable {
        /// `ok` or `unhealthy`.
        public var status: String
        /// One line for each thing that is wrong.
        public var problems: [String]
    }

    private let responder: APIResponder

    /// Creates the service.
    ///
    /// - Parameters:
    ///   - store: The statements; a ``NotifyingStatementStore``, which the pipeline applies to as well, brings what this
    ///     process applies into the stream at once, and not within a second.
    ///   - logger: Where failures are reported.
    ///   - metrics: What `/metrics` shows, together with the service's own metrics; hand in what
    ///     `MetricsSystem.bootstrap(_:)` got.
    ///   - queueFigures: Asks for the figures of the queues, which `/metrics` shows; asked at most every five seconds.
    ///   - streamLimit: The most streams at the same time; 100 by default.
    ///   - clock: The time for pauses and measurements.
    ///   - health: Tells whether the pipeline is well.
    public init(
        store: any StatementStore,
        logger: Logger,
        metrics: PrometheusMetrics = PrometheusMetrics(),
        queueFigures: (@Sendable () async -> [QueueStatistics])? = nil,
        streamLimit: Int = 100,
        clock: QueueClock = .system,
        health: @escaping @Sendable () async -> Health
    ) {
        let instruments = HTTPInstruments(metrics)
        responder = APIResponder(
            store: store,
            health: health,
            feed: StatementFeed(
                store: store,
                streamLimit: max(0, streamLimit),
                clock: clock,
                logger: logger,
                onCount: { instruments.streams($0) }
            ),
            metrics: metrics,
            instruments: instruments,
            figures: queueFigures.map { QueueFigures(clock: clock, ask: $0) },
            clock: clock,
            logger: logger
        )
    }

    /// How many streams are open.
    var openStreams: Int { responder.feed.streams }

    /// Creates an HTTP server for the routes.
    ///
    /// It takes at most 1024 connections; further clients wait. A connection on which nothing happens for a minute, or
    /// whose client does not read what it asked for within 30 seconds, is closed.
    ///
    /// - Parameters:
    ///   - host: The address to listen on.
    ///   - port: The port; 0 lets the system choose.
    ///   - onListening: Called with the port once the server listens.
    /// - Returns: A service to run.
    public func application(
        host: String,
        port: Int,
        onListening: @escaping @Sendable (Int) -> Void = { _ in }
    ) -> some ApplicationProtocol {
        Application(
            responder: responder,
            server: .http1(
                configuration: .init(
                    additionalChannelHandlers: [ConnectionGuard(limit: .seconds(30))],
                    idleTimeout: .seconds(60),
                    httpDecoderConfiguration: .init(
                        // More than the service takes, so that it can say so.
                        maxHeaderFieldSize: 80 * 1024,
                        maxHeaderListSize: 80 * 1024,
                        maxHeaderFieldCount: 100
                    )
                )
            ),
            configuration: .init(
                address: .hostname(host, port: port),
                serverName: "mq",
                availableConnectionsDelegate: .maximum(1024, logger: responder.logger)
            ),
            onServerRunning: { channel in onListening(channel.localAddress?.port ?? port) },
            logger: responder.logger
        )
    }
}
