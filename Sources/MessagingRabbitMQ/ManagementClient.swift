#if RabbitMQ
import AsyncHTTPClient
import Messaging
import NIOCore
import NIOHTTP1

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

/// Asks the management plugin for what AMQP does not tell.
struct ManagementClient: Sendable {
    private struct Totals: Decodable {
        var messages_unacknowledged: Int?
    }

    private static let limit: Duration = .seconds(2)
    private static let maxAnswerBytes = 1 << 20

    private let base: String
    private let virtualHost: String
    private let authorization: String

    init?(_ configuration: RabbitMQConfiguration) {
        guard let url = configuration.managementURL else { return nil }
        base = url
        virtualHost = configuration.virtualHost
        let credentials = Data("\(configuration.username):\(configuration.password)".utf8)
        authorization = "Basic \(credentials.base64EncodedString())"
    }

    /// How many messages of a queue consumers hold.
    func unacknowledged(_ queue: String) async throws(QueueError) -> Int {
        let path = "/api/queues/\(Self.encoded(virtualHost))/\(Self.encoded(queue))"
        var request = HTTPClientRequest(url: base + path + "?columns=messages_unacknowledged")
        request.headers.add(name: "Authorization", value: authorization)
        // The shared client takes a small answer that compresses well for an attack.
        request.headers.add(name: "Accept-Encoding", value: "identity")
        do {
            let response = try await HTTPClient.shared.execute(
                request,
                timeout: .milliseconds(Self.limit.milliseconds)
            )
            let body = try await response.body.collect(upTo: Self.maxAnswerBytes)
            guard response.status == .ok else {
                throw QueueError(.unavailable, "the management plugin at \(base) answered \(response.status.code)")
            }
            let totals = try JSONDecoder().decode(Totals.self, from: Data(body.readableBytesView))
            guard let count = totals.messages_unacknowledged else {
                throw QueueError(.unavailable, "the management plugin at \(base) has no figures of the queue yet")
            }
            return count
        } catch let error as QueueError {
            throw error
        } catch {
            throw QueueError(.unavailable, "the management plugin at \(base) cannot be asked", underlying: error)
        }
    }

    private static func encoded(_ text: String) -> String {
        text.utf8.map { byte in
            let scalar = UnicodeScalar(byte)
            let isPlain =
                scalar.isASCII
                && (("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar)
                    || ("0"..."9").contains(scalar) || scalar == "-" || scalar == "_" || scalar == ".")
            return isPlain ? String(scalar) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }.joined()
    }
}
#endif
