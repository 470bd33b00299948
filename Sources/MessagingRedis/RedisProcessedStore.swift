#if Redis
import Logging
import Messaging

/// Remembers processed messages in Redis, for workers in several processes.
public struct RedisProcessedStore: ProcessedStore {
    private let link: RedisLink

    /// Creates a store on the server of a queue.
    ///
    /// - Parameter queue: The queue's client; the store ends with it.
    public init(_ queue: RedisQueue) { link = queue.applicationLink }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func contains(_ id: MessageID, scope: String) async throws(QueueError) -> Bool {
        try await link.command(["EXISTS", Self.key(id, scope)]).integer == 1
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func insert(_ id: MessageID, scope: String, remember: Duration) async throws(QueueError) -> Bool {
        let milliseconds = String(max(1, remember.milliseconds))
        let reply = try await link.command(["SET", Self.key(id, scope), "1", "NX", "PX", milliseconds])
        return !reply.isNull
    }

    private static func key(_ id: MessageID, _ scope: String) -> String { "mq:processed:\(scope):\(id.rawValue)" }
}
#endif
