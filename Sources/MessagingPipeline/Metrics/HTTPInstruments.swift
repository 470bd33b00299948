import Hummingbird
import Metrics
import Synchronization

/// The metrics of the HTTP server, named as in the OpenTelemetry semantic conventions for HTTP.
///
/// Their labels are routes as they are declared, known methods and status codes, so their number is bounded.
final class HTTPInstruments: Sendable {
    static let duration = "http.server.request.duration"
    static let streams = "mq.http.streams"

    private struct Key: Hashable {
        let route: String
        let method: String
        let status: Int
    }

    private static let methods: Set<String> = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]

    private let metrics: PrometheusMetrics
    private let timers = Mutex<[Key: any TimerHandler]>([:])
    private let openStreams: any MeterHandler

    init(_ metrics: PrometheusMetrics) {
        self.metrics = metrics
        openStreams = metrics.makeMeter(label: Self.streams, dimensions: [])
    }

    func record(_ route: String, _ method: HTTPRequest.Method, _ status: HTTPResponse.Status, _ duration: Duration) {
        let method = Self.methods.contains(method.rawValue) ? method.rawValue : "_OTHER"
        let key = Key(route: route, method: method, status: status.code)
        let timer = timers.withLock { timers in
            if let known = timers[key] { return known }
            let timer = metrics.makeTimer(
                label: Self.duration,
                dimensions: [
                    ("http.route", route), ("http.request.method", method),
                    ("http.response.status_code", String(status.code)),
                ]
            )
            timers[key] = timer
            return timer
        }
        let (seconds, attoseconds) = duration.components
        timer.recordNanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }

    func streams(_ count: Int) { openStreams.set(Int64(count)) }
}
