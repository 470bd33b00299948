#if Redis
import Messaging
import MessagingPipeline
import MessagingRedis

/// Fingerprints in Redis, shared by the dedup workers of all processes.
///
/// An insert and its answer are one script.
struct RedisDeduplicationStore: DeduplicationStore {
    private let redis: RedisCommands
    private let prefix: String

    init(_ redis: RedisCommands, prefix: String = "{mq:pipeline:dedup}") {
        self.redis = redis
        self.prefix = prefix
    }

    // KEYS numbers fingerprints {bucket}…   ARGV id json   → the fingerprints that were inserted before and share one
    private static let insert = """
        local n = tonumber(redis.call('HGET', KEYS[1], ARGV[1]))
        if not n then
          n = redis.call('HLEN', KEYS[2])
          redis.call('HSET', KEYS[2], n, ARGV[2])
          redis.call('HSET', KEYS[1], ARGV[1], n)
          for i = 3, #KEYS do redis.call('RPUSH', KEYS[i], n) end
        end
        local seen, found = {}, {}
        for i = 3, #KEYS do
          for _, m in ipairs(redis.call('LRANGE', KEYS[i], 0, -1)) do
            m = tonumber(m)
            if m >= n then break end
            if not seen[m] then
              seen[m] = true
              found[#found + 1] = redis.call('HGET', KEYS[2], m)
            end
          end
        end
        return found
        """

    func insert(_ fingerprint: Fingerprint) async throws -> [Fingerprint] {
        let json = String(decoding: try PipelineJSON.encode(fingerprint), as: UTF8.self)
        let keys = ["\(prefix):numbers", "\(prefix):fingerprints"] + fingerprint.buckets.map { "\(prefix):\($0)" }
        let answer = try await redis.evaluate(Self.insert, keys: keys, arguments: [fingerprint.id, json])
        return try answer.elements.compactMap { value in
            guard case .bytes(let bytes) = value else { return nil }
            return try PipelineJSON.decode(Fingerprint.self, from: bytes)
        }
    }

    func count() async throws -> Int {
        try await redis.run(["HLEN", "\(prefix):fingerprints"]).integer ?? 0
    }
}
#endif
