import AsyncHTTPClient
import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingConformance
import MessagingRabbitMQ
import NIOCore
import NIOHTTP1
import Synchronization
import TestSupport

/// The broker that most tests share: that of `Integration/with-brokers`, or one of this process.
enum SharedRabbitMQ {
    private static let own = Mutex<PrivateRabbitMQ?>(nil)

    static func url() throws -> String {
        if let url = ProcessInfo.processInfo.environment["MQ_TEST_RABBITMQ_URL"] { return url }
        return try own.withLock { own in
            let server = try own ?? PrivateRabbitMQ()
            if own == nil {
                own = server
                // A value that lives as long as the process is never deinitialized.
                atexit { SharedRabbitMQ.end() }
            }
            return server.url
        }
    }

    private static func end() { own.withLock { $0 = nil } }
}

/// A client that reports nothing.
func makeQueue(
    _ url: String,
    _ change: (inout RabbitMQConfiguration) -> Void = { _ in }
) throws -> RabbitMQQueue {
    var configuration = try RabbitMQConfiguration(url: url)
    change(&configuration)
    return RabbitMQQueue(configuration, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
}

/// A queue with one group of a name that nothing else has.
func definition(
    _ prefix: String = "orders",
    lease: Duration = .seconds(30),
    maxAttempts: Int = 10
) -> QueueDefinition {
    QueueDefinition(
        "\(prefix)-\(MessageID.make())",
        groups: [GroupDefinition("g", lease: lease, maxAttempts: maxAttempts)]
    )
}

/// The management plugin: a client that knows nothing of this library.
struct Management {
    let base: String

    init(_ url: String) throws {
        let configuration = try RabbitMQConfiguration(url: url)
        base = configuration.management ?? ""
    }

    func get<Answer: Decodable>(_ path: String, as type: Answer.Type) async throws -> Answer {
        try JSONDecoder().decode(Answer.self, from: try await send("GET", path, nil))
    }

    /// Publishes through the default exchange.
    ///
    /// - Returns: Whether a queue took it.
    func publish(_ body: [UInt8], to queue: String, properties: [String: any Sendable] = [:]) async throws -> Bool {
        struct Answer: Decodable {
            var routed: Bool
        }
        let request: [String: Any] = [
            "properties": properties, "routing_key": queue, "payload": Data(body).base64EncodedString(),
            "payload_encoding": "base64",
        ]
        let data = try await send(
            "POST",
            "/api/exchanges/%2f/amq.default/publish",
            try JSONSerialization.data(withJSONObject: request)
        )
        return try JSONDecoder().decode(Answer.self, from: data).routed
    }

    private func send(_ method: String, _ path: String, _ body: Data?) async throws -> Data {
        var request = HTTPClientRequest(url: base + path)
        request.method = HTTPMethod(rawValue: method)
        request.headers.add(name: "Authorization", value: "Basic Z3Vlc3Q6Z3Vlc3Q=")
        request.headers.add(name: "Accept-Encoding", value: "identity")
        if let body { request.body = .bytes(ByteBuffer(bytes: body)) }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
        return Data(try await response.body.collect(upTo: 16 << 20).readableBytesView)
    }
}

extension QueueConsumer {
    /// Receives until so many deliveries have come or the time is over.
    func take(_ count: Int, within limit: Duration = .seconds(20)) async throws -> [Delivery] {
        var taken: [Delivery] = []
        let deadline = ContinuousClock.now + limit
        while taken.count < count, ContinuousClock.now < deadline {
            taken += try await receive(max: min(1000, count - taken.count), wait: .milliseconds(500))
        }
        return taken
    }

    func acknowledge(all deliveries: [Delivery]) async throws {
        for outcome in try await settle(deliveries.map { SettleRequest($0.receipt, .acknowledge) }) {
            if let error = outcome.error { throw error }
        }
    }
}
