#if Redis
import Messaging
import MessagingPipeline
import MessagingRedis

/// Statements in Redis.
///
/// Applying a judged statement is one script and can be repeated in any order.
///
/// Keys: `statements` (id → JSON), `members` (id → `order NUL id`), `texts` (id → text), `originals` (text → `order NUL id` of
/// its original), `copies:<text>` (the ids of its statements that are duplicates), `originated:<id>` (the other texts whose
/// original the statement is), the sorted sets `all` and `unique` of members, for listing, and the sorted set `positions` of
/// ids.
struct RedisStatementStore: StatementStore {
    private let redis: RedisCommands
    private let prefix: String

    init(_ redis: RedisCommands, prefix: String = RedisKeyspace.api) {
        self.redis = redis
        self.prefix = prefix
    }

    // KEYS as in `keys`   ARGV prefix id json order text {text, order, id}…   → 1 when the statement is new
    private static let apply =
        RedisKeyspace.less + """
            local statements, texts, originals, all, unique, members, positions = unpack(KEYS)
            local copies, originated = ARGV[1] .. 'copies:', ARGV[1] .. 'originated:'
            local id, json, text = ARGV[2], ARGV[3], ARGV[5]
            local function idOf(member) return string.match(member, '%z(.*)$') end
            local function place(i)
              local t, member = redis.call('HGET', texts, i), redis.call('HGET', members, i)
              if idOf(redis.call('HGET', originals, t)) == i then
                redis.call('SREM', copies .. t, i)
                redis.call('ZADD', unique, 0, member)
              else
                redis.call('SADD', copies .. t, i)
                redis.call('ZREM', unique, member)
              end
            end

            local known = redis.call('HGET', statements, id)
            -- Two contents under one id: the smaller one stays, whichever came first.
            local replaces = not known or less(json, known)
            if replaces then
              if known then
                local member, t = redis.call('HGET', members, id), redis.call('HGET', texts, id)
                redis.call('ZREM', all, member)
                redis.call('ZREM', unique, member)
                redis.call('SREM', copies .. t, id)
                if t ~= text and idOf(redis.call('HGET', originals, t)) == id then
                  redis.call('SADD', originated .. id, t)
                end
              end
              local member = ARGV[4] .. '\\0' .. id
              redis.call('HSET', statements, id, json)
              redis.call('HSET', members, id, member)
              redis.call('HSET', texts, id, text)
              redis.call('ZADD', all, 0, member)
            end
            for i = 6, #ARGV, 3 do
              local t, original, new = ARGV[i], ARGV[i + 1] .. '\\0' .. ARGV[i + 2], ARGV[i + 2]
              local before = redis.call('HGET', originals, t)
              if not before or less(original, before) then
                redis.call('HSET', originals, t, original)
                local old = before and idOf(before)
                if old ~= new then
                  if redis.call('HGET', texts, new) ~= t then redis.call('SADD', originated .. new, t) end
                  if old then
                    redis.call('SREM', originated .. old, t)
                    if redis.call('HGET', texts, old) == t then place(old) end
                    if redis.call('HGET', texts, new) == t then place(new) end
                  end
                end
              end
            end
            if replaces then place(id) end
            if not known then redis.call('ZADD', positions, redis.call('ZCARD', positions) + 1, id) end
            return known and 0 or 1
            """

    private var keys: [String] {
        ["statements", "texts", "originals", "all", "unique", "members", "positions"].map { "\(prefix):\($0)" }
    }

    func apply(_ judged: JudgedStatement) async throws -> StatementChange {
        let statement = judged.analysed.statement
        var arguments = [
            "\(prefix):", statement.id, String(decoding: try PipelineJSON.encode(judged.analysed), as: UTF8.self),
            statement.orderKey, judged.text,
        ]
        for mark in judged.marks { arguments += [mark.text, mark.order, mark.id] }
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
        // Without a filter one page is enough.
        let limit = query.topic == nil && query.text == nil ? query.limit + 1 : 200
        while true {
            let members = try await redis.run(["ZREVRANGEBYLEX", set, end, "-", "LIMIT", "0", "\(limit)"])
                .elements.compactMap(\.text)
            let ids = members.map { String($0.split(separator: "\u{0}", maxSplits: 1).last ?? "") }
            for item in try await stored(ids) {
                if query.isBelow(item.statement) { return StatementPage(items: items) }
                let analysed = AnalysedStatement(statement: item.statement, analysis: item.analysis)
                guard query.matches(analysed, isDuplicate: item.duplicateOf != nil) else { continue }
                if items.count == query.limit {
                    return StatementPage(items: items, nextCursor: last.map(StatementQuery.cursor(after:)))
                }
                items.append(item)
                last = item.statement.orderKey
            }
            guard members.count == limit, let lowest = members.last else { return StatementPage(items: items) }
            end = "(\(lowest)"
        }
    }

    func counts() async throws -> StatementCounts {
        let unique = try await redis.run(["ZCARD", "\(prefix):unique"]).integer ?? 0
        let all = try await redis.run(["ZCARD", "\(prefix):all"]).integer ?? 0
        return StatementCounts(unique: unique, duplicates: max(0, all - unique))
    }

    func changes(after position: Int64, limit: Int) async throws -> StatementChanges {
        guard limit > 0 else { return StatementChanges(items: []) }
        let words = ["ZRANGEBYSCORE", "\(prefix):positions", "(\(max(0, position))", "+inf"]
        // Positions have no gaps.
        let ids = try await redis.run(words + ["LIMIT", "0", "\(limit)"]).elements.compactMap(\.text)
        let items = try await stored(ids)
        guard items.count == ids.count else { throw Self.incomplete }
        return StatementChanges(
            items: items.enumerated().map { index, item in
                StatementChanges.Item(position: max(0, position) + Int64(index) + 1, statement: item)
            }
        )
    }

    private static let incomplete = QueueError(
        .undecodable,
        "the pipeline's statements in Redis have lost some of their keys; delete {mq:pipeline:*}* and run the input again"
    )

    func lastPosition() async throws -> Int64 {
        Int64(try await redis.run(["ZCARD", "\(prefix):positions"]).integer ?? 0)
    }

    // KEYS statements texts originals   ARGV prefix id…   → {json, original, duplicates…}…
    private static let read = """
        local rows = {}
        for i = 2, #ARGV do
          local id = ARGV[i]
          local json = redis.call('HGET', KEYS[1], id)
          if json then
            local text = redis.call('HGET', KEYS[2], id)
            local original = string.match(redis.call('HGET', KEYS[3], text), '%z(.*)$')
            local row, seen = {json, original}, {}
            local texts = redis.call('SMEMBERS', ARGV[1] .. 'originated:' .. id)
            if original == id then texts[#texts + 1] = text end
            for _, t in ipairs(texts) do
              if not seen[t] then
                seen[t] = true
                for _, d in ipairs(redis.call('SMEMBERS', ARGV[1] .. 'copies:' .. t)) do
                  if d ~= id then row[#row + 1] = d end
                end
              end
            end
            rows[#rows + 1] = row
          end
        end
        return rows
        """

    private func stored(_ ids: [String]) async throws -> [StoredStatement] {
        if ids.isEmpty { return [] }
        let rows = try await redis.evaluate(Self.read, keys: Array(keys.prefix(3)), arguments: ["\(prefix):"] + ids)
        return try rows.elements.compactMap { row in
            let values = row.elements
            guard values.count >= 2, case .bytes(let json) = values[0] else { return nil }
            let analysed = try PipelineJSON.decode(AnalysedStatement.self, from: json)
            let original = values[1].text
            return StoredStatement(
                analysed,
                duplicateOf: original == analysed.statement.id ? nil : original,
                duplicates: values.dropFirst(2).compactMap(\.text)
            )
        }
    }
}
#endif
