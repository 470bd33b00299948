#if Redis
import Messaging
import MessagingPipeline
import MessagingRedis

/// Texts in Redis, shared by the dedup workers of all processes.
///
/// An insert with its search is one script.
///
/// Keys: `numbers` (text → number), `earliest` (number → fingerprint of its earliest statement), `orders` (number → order of
/// that), `originals` (number → order of the earliest statement known to say the same), and for each bucket a sorted set of
/// numbers by the time of the earliest statement.
struct RedisDeduplicationStore: DeduplicationStore {
    private let redis: RedisCommands
    private let prefix: String

    init(_ redis: RedisCommands, prefix: String = RedisKeyspace.deduplication) {
        self.redis = redis
        self.prefix = prefix
    }

    // KEYS numbers earliest orders originals {bucket}…   ARGV text order json allowed-differences   → fingerprints
    private static let insert =
        RedisKeyspace.less + """
            local numbers, earliest, orders, originals = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
            local order, json, allowed = ARGV[2], ARGV[3], tonumber(ARGV[4])
            local n = redis.call('HGET', numbers, ARGV[1])
            if n then
              if less(redis.call('HGET', orders, n), order) then return {redis.call('HGET', earliest, n)} end
            else
              n = tostring(redis.call('HLEN', earliest))
              redis.call('HSET', numbers, ARGV[1], n)
              redis.call('HSET', originals, n, order)
            end
            local function time(order) return tonumber(string.sub(order, 1, 15)) end
            for i = 5, #KEYS do redis.call('ZADD', KEYS[i], time(order), n) end
            redis.call('HSET', earliest, n, json)
            redis.call('HSET', orders, n, order)

            -- The signature is the last member of the JSON: 64 numbers of 8 digits.
            local function signature(json) return string.sub(json, -514, -3) end
            local own = signature(json)
            local function similar(other)
              local differences = 0
              for i = 1, 505, 8 do
                if string.sub(own, i, i + 7) ~= string.sub(other, i, i + 7) then
                  differences = differences + 1
                  if differences > allowed then return false end
                end
              end
              return true
            end

            local seen, best, original, found = {[n] = true}, order, nil, {}
            local function look(m)
              if seen[m] then return end
              seen[m] = true
              local first = redis.call('HGET', orders, m)
              if less(first, best) then
                local candidate = redis.call('HGET', earliest, m)
                if similar(signature(candidate)) then best, original = first, candidate end
              elseif less(order, first) and not less(redis.call('HGET', originals, m), order) then
                local candidate = redis.call('HGET', earliest, m)
                if similar(signature(candidate)) then
                  redis.call('HSET', originals, m, order)
                  found[#found + 1] = candidate
                end
              end
            end
            -- From the earliest text on until none can be the original, then those that may be superseded.
            for i = 5, #KEYS do
              local offset, isCut = 0, false
              repeat
                local part = redis.call('ZRANGE', KEYS[i], offset, offset + 49, 'WITHSCORES')
                for j = 1, #part, 2 do
                  isCut = tonumber(part[j + 1]) > time(best)
                  if isCut then break end
                  look(part[j])
                end
                offset = offset + 50
              until isCut or #part < 100
              if isCut then
                for _, m in ipairs(redis.call('ZRANGEBYSCORE', KEYS[i], time(order), '+inf')) do look(m) end
              end
            end
            if less(best, redis.call('HGET', originals, n)) then redis.call('HSET', originals, n, best) end
            if original then found[#found + 1] = original end
            return found
            """

    func insert(_ fingerprint: Fingerprint) async throws -> [Fingerprint] {
        let json = String(decoding: try PipelineJSON.encode(fingerprint), as: UTF8.self)
        let keys = ["numbers", "earliest", "orders", "originals"] + fingerprint.buckets.map { String($0, radix: 36) }
        let answer = try await redis.evaluate(
            Self.insert,
            keys: keys.map { "\(prefix):\($0)" },
            arguments: [fingerprint.exact, fingerprint.order, json, "\(Fingerprint.allowedDifferences)"]
        )
        return try answer.elements.compactMap { value in
            guard case .bytes(let bytes) = value else { return nil }
            return try PipelineJSON.decode(Fingerprint.self, from: bytes)
        }
    }

    func count() async throws -> Int {
        try await redis.run(["HLEN", "\(prefix):earliest"]).integer ?? 0
    }
}
#endif
