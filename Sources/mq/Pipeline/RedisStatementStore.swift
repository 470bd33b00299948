#if Redis
import Messaging
import MessagingPipeline
import MessagingRedis

/// Statements in Redis.
///
/// Applying a judged statement is one script and can be repeated in any order.
///
/// Keys: `statements` (id → JSON), `originals` (id → order and id of its earliest original), `duplicates:<id>` (the ids
/// whose original it is), and the sorted sets `all` and `unique` of `order NUL id`, for listing.
struct RedisStatementStore: StatementStore {
    private let redis: RedisCommands
    private let prefix: String

    init(_ redis: RedisCommands, prefix: String = "{mq:pipeline:api}") {
        self.redis = redis
        self.prefix = prefix
    }

    // KEYS statements originals all unique   ARGV duplicates-prefix id json order {duplicate, original, order}…
    private static let apply = """
        local statements, originals, all, unique = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
        local id, json, order = ARGV[2], ARGV[3], ARGV[4]
        local known = redis.call('HGET', statements, id)
        -- Two contents under one id: the smaller one stays, whichever came first.
        if not known or json < known then
          if known then
            for _, m in ipairs({redis.call('HGET', KEYS[5], id)}) do
              redis.call('ZREM', all, m) redis.call('ZREM', unique, m)
            end
          end
          local member = order .. '\\0' .. id
          redis.call('HSET', statements, id, json)
          redis.call('HSET', KEYS[5], id, member)
          redis.call('ZADD', all, 0, member)
          if redis.call('HEXISTS', originals, id) == 0 then redis.call('ZADD', unique, 0, member) end
        end
        for i = 5, #ARGV, 3 do
          local duplicate, original = ARGV[i], ARGV[i + 2] .. '\\0' .. ARGV[i + 1]
          local before = redis.call('HGET', originals, duplicate)
          if not before or original < before then
            if before then
              redis.call('SREM', ARGV[1] .. string.match(before, '%z(.*)$'), duplicate)
            end
            redis.call('HSET', originals, duplicate, original)
            redis.call('SADD', ARGV[1] .. ARGV[i + 1], duplicate)
            local member = redis.call('HGET', KEYS[5], duplicate)
            if member then redis.call('ZREM', unique, member) end
          end
        end
        return known and 0 or 1
        """

    private var keys: [String] {
        ["statements", "originals", "all", "unique", "members"].map { "\(prefix):\($0)" }
    }

    func apply(_ judged: JudgedStatement) async throws -> StatementChange {
        let statement = judged.analysed.statement
        let verdict = judged.verdict
        var arguments = [
            "\(prefix):duplicates:", statement.id,
            String(decoding: try PipelineJSON.encode(judged.analysed), as: UTF8.self), statement.orderKey,
        ]
        if let original = verdict.duplicateOf {
            arguments += [statement.id, original, verdict.duplicateOfOrder ?? ""]
        }
        for superseded in verdict.supersedes { arguments += [superseded, statement.id, verdict.order] }
        let answer = try await redis.evaluate(Self.apply, keys: keys, arguments: arguments)
        return answer.integer == 1 ? .added : .unchanged
    }

    func statement(id: String) async throws -> StoredStatement? {
        try await stored([id]).first
    }

    func list(_ query: StatementQuery) async throws -> StatementPage {
        let set = query.includesDuplicates ? "\(prefix):all" : "\(prefix):unique"
        var items: [StoredStatement] = []
        var last: String?
        var end = query.before.map { "(\($0)\u{0}" } ?? "+"
        while true {
            let members = try await redis.run(["ZREVRANGEBYLEX", set, end, "-", "LIMIT", "0", "200"])
                .elements.compactMap(\.text)
            let ids = members.map { String($0.split(separator: "\u{0}", maxSplits: 1).last ?? "") }
            for (member, item) in zip(members, try await stored(ids)) {
                let analysed = AnalysedStatement(statement: item.statement, analysis: item.analysis)
                guard query.matches(analysed, isDuplicate: item.duplicateOf != nil) else { continue }
                if items.count == query.limit {
                    return StatementPage(items: items, nextCursor: last.map(StatementQuery.cursor(after:)))
                }
                items.append(item)
                last = String(member.split(separator: "\u{0}", maxSplits: 1).first ?? "")
            }
            guard members.count == 200, let lowest = members.last else { return StatementPage(items: items) }
            end = "(\(lowest)"
        }
    }

    func counts() async throws -> StatementCounts {
        let unique = try await redis.run(["ZCARD", "\(prefix):unique"]).integer ?? 0
        let all = try await redis.run(["ZCARD", "\(prefix):all"]).integer ?? 0
        return StatementCounts(unique: unique, duplicates: max(0, all - unique))
    }

    // KEYS statements originals   ARGV duplicates-prefix id…   → {json, original, duplicates…}…
    private static let read = """
        local rows = {}
        for i = 2, #ARGV do
          local json = redis.call('HGET', KEYS[1], ARGV[i])
          if json then
            local row = {json, redis.call('HGET', KEYS[2], ARGV[i]) or ''}
            for _, d in ipairs(redis.call('SMEMBERS', ARGV[1] .. ARGV[i])) do
              if redis.call('HEXISTS', KEYS[1], d) == 1 then row[#row + 1] = d end
            end
            rows[#rows + 1] = row
          end
        end
        return rows
        """

    private func stored(_ ids: [String]) async throws -> [StoredStatement] {
        if ids.isEmpty { return [] }
        let rows = try await redis.evaluate(
            Self.read,
            keys: Array(keys.prefix(2)),
            arguments: ["\(prefix):duplicates:"] + ids
        )
        return try rows.elements.compactMap { row in
            let values = row.elements
            guard values.count >= 2, case .bytes(let json) = values[0] else { return nil }
            let original = values[1].text.flatMap { $0.split(separator: "\u{0}", maxSplits: 1).last }.map { String($0) }
            return StoredStatement(
                try PipelineJSON.decode(AnalysedStatement.self, from: json),
                duplicateOf: original,
                duplicates: values.dropFirst(2).compactMap(\.text)
            )
        }
    }
}
#endif
