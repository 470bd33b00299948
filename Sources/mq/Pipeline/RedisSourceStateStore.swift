#if Redis
import Messaging
import MessagingPipeline
import MessagingRedis

/// What the collector remembers of its sources, in one hash in Redis.
struct RedisSourceStateStore: SourceStateStore {
    private let redis: RedisCommands
    private let key: String

    init(_ redis: RedisCommands, prefix: String = RedisKeyspace.collect) {
        self.redis = redis
        key = "\(prefix):sources"
    }

    func state(of source: String) async throws -> SourceState? {
        guard case .bytes(let json) = try await redis.run(["HGET", key, source]) else { return nil }
        return try PipelineJSON.decode(SourceState.self, from: json)
    }

    func save(_ state: SourceState, of source: String) async throws {
        let json = String(decoding: try PipelineJSON.encode(state), as: UTF8.self)
        _ = try await redis.run(["HSET", key, source, json])
    }
}
#endif
