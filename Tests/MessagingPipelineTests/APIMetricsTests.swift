import Hummingbird
import HummingbirdTesting
import Logging
import Messaging
import Metrics
import NIOCore
import Testing

@testable import MessagingPipeline

@Suite("The metrics of the HTTP interface", .timeLimit(.minutes(1)))
struct APIMetricsTests {
    private let metrics = PrometheusMetrics()

    private func app() -> some ApplicationProtocol {
        StatementsAPI(
            store: MemoryStatementStore(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            metrics: metrics,
            queueFigures: {
                [
                    QueueStatistics(
                        queue: "queue:api",
                        groups: [
                            GroupStatistics(
                                group: "api-workers",
                                ready: .exact(7),
                                inFlight: .exact(0),
                                delayed: .exact(0),
                                dead: .exact(0),
                                consumers: .exact(0),
                                oldestAge: nil
                            )
                        ],
                        scheduled: .exact(0),
                        stored: .exact(7)
                    )
                ]
            }
        ) { StatementsAPI.Health(status: "ok", problems: []) }
        .application(host: "127.0.0.1", port: 0)
    }

    @Test("requests are counted by their route as it is declared, and never by what clients make up")
    func requests() async throws {
        try await app().test(.router) { client in
            for number in 0..<20 {
                _ = try await client.execute(uri: "/statements/\(number)", method: .get)
                _ = try await client.execute(uri: "/nowhere/\(number)", method: .get)
                let odd = try #require(HTTPRequest.Method("ODD\(number)"))
                _ = try await client.execute(uri: "/stats", method: odd)
            }
            let response = try await client.execute(uri: "/metrics", method: .get)
            #expect(response.headers[.contentType] == "text/plain; version=0.0.4; charset=utf-8")
            let lines = String(buffer: response.body).split(separator: "\n").map(String.init)
            let name = "http_server_request_duration_seconds_count"
            #expect(
                lines.filter { $0.hasPrefix(name) } == [
                    name
                        + #"{http_request_method="GET",http_response_status_code="404",http_route="/statements/{id}"} 20"#,
                    name + #"{http_request_method="GET",http_response_status_code="404",http_route="unknown"} 20"#,
                    name + #"{http_request_method="_OTHER",http_response_status_code="405",http_route="/stats"} 20"#,
                ]
            )
        }
    }

    @Test("what a program records through swift-metrics and the queues' figures are there, too")
    func everything() async throws {
        Counter(label: "messaging.client.sent.messages", dimensions: [("a", "b")], factory: metrics).increment(by: 3)
        try await app().test(.router) { client in
            let text = String(buffer: try await client.execute(uri: "/metrics", method: .get).body)
            #expect(text.contains("\nmessaging_client_sent_messages_total{a=\"b\"} 3\n"))
            #expect(text.contains("messaging_destination_name=\"queue:api\"} 7\n"))
            #expect(text.contains("\nmq_http_streams 0\n"))
            // Every family is announced once, and its lines stand together.
            let families = text.split(separator: "\n").filter { $0.hasPrefix("# TYPE ") }
            #expect(Set(families).count == families.count)
            #expect(text.hasSuffix("\n"))
        }
    }
}
