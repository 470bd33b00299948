import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

/// The management plugin of a RabbitMQ: a client that knows nothing of this library.
package struct Management: Sendable {
    /// The URL has no `management=…`.
    package struct Missing: Error {}

    package let base: String

    /// Finds the plugin.
    ///
    /// - Parameter url: The URL of the broker, with the option `management`.
    /// - Throws: `Missing`.
    package init(_ url: String) throws {
        let options = URLComponents(string: url)?.queryItems ?? []
        guard let base = options.first(where: { $0.name == "management" })?.value else { throw Missing() }
        self.base = base
    }

    package func get<Answer: Decodable>(_ path: String, as type: Answer.Type) async throws -> Answer {
        try JSONDecoder().decode(Answer.self, from: try await send("GET", path, nil))
    }

    /// Publishes through the default exchange.
    ///
    /// - Returns: Whether a queue took it.
    package func publish(
        _ body: [UInt8],
        to queue: String,
        properties: [String: any Sendable] = [:]
    ) async throws -> Bool {
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

    /// Removes everything that is ready in a queue, if there is one.
    package func purge(_ queue: String) async throws {
        _ = try await send("DELETE", "/api/queues/%2f/\(Self.escaped(queue))/contents", nil)
    }

    /// How many messages are ready in a queue, at most a thousand; each counts as handed over once more.
    package func count(_ queue: String) async throws -> Int {
        struct Message: Decodable {}
        let request: [String: Any] = [
            "count": 1000, "ackmode": "ack_requeue_true", "encoding": "auto", "truncate": 1,
        ]
        let body = try JSONSerialization.data(withJSONObject: request)
        let data = try await send("POST", "/api/queues/%2f/\(Self.escaped(queue))/get", body)
        return try JSONDecoder().decode([Message].self, from: data).count
    }

    private static func escaped(_ name: String) -> String {
        name.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? name
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
