import BrokerSupport
import Messaging
import MessagingConformance
import MessagingRedis
import Testing

/// The shipped Lua scripts, each broken in one way, and the case of the suite that must see it.
@Suite(
    "A mistake in a Redis script is found",
    .enabled(if: PrivateRedis.isInstalled, "redis-server is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(5))
)
struct RedisBreakageTests {
    typealias RedisBreakage = Breakage<RedisScriptChange>

    private static func breakage(
        _ name: String,
        _ script: String?,
        _ find: String,
        _ replacement: String,
        foundBy id: String
    ) -> RedisBreakage {
        RedisBreakage(name, RedisScriptChange(script, find, replacement), foundBy: id)
    }

    private static let unfenced = "if not mine(KEYS[1], group, id, consumer) then return 0 end"
    private static let all = "{} for _, id in ipairs(ids) do found[id] = true end"

    static let breakages: [RedisBreakage] = [
        breakage(
            "acknowledge-without-owner-check",
            "acknowledge",
            "if all then",
            "if true then",
            foundBy: "lease.fence"
        ),
        breakage("retry-without-owner-check", "retry", unfenced, "", foundBy: "crash.halfOpen"),
        breakage("reject-without-owner-check", "reject", unfenced, "", foundBy: "crash.halfOpen"),
        breakage(
            "release-without-owner-check",
            "release",
            "local found, result = owned(KEYS[1], group, consumer, ids), {}",
            "local found, result = {}, \(all)",
            foundBy: "crash.halfOpen"
        ),
        breakage(
            "renew-does-nothing",
            "renew",
            "redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(kept))",
            "",
            foundBy: "lease.extend"
        ),
        breakage(
            "trim-past-what-is-pending",
            nil,
            "if g.pending > 0 then return redis.call('XPENDING', stream, group)[2] end",
            "",
            foundBy: "crash.kill9"
        ),
        breakage(
            "trim-at-the-fastest-group",
            nil,
            "if not floor or less(floors[name], floor) then",
            "if not floor or less(floor, floors[name]) then",
            foundBy: "crash.halfOpen"
        ),
        breakage("retry-at-once", "retry", "elseif delay <= 0 then", "elseif true then", foundBy: "retry.schedule"),
        breakage("delay-skipped", "publish", "if when == '' then", "if true then", foundBy: "delay.precision"),
        breakage(
            "due-not-announced",
            nil,
            "redis.pcall('PUBLISH', wake, string.format('%d', at))",
            "",
            foundBy: "delay.precision"
        ),
        breakage(
            "takeover-not-counted",
            "tick",
            "note(fields, attempt, p[2], err, t)",
            "",
            foundBy: "crash.kill9"
        ),
        breakage(
            "takeover-for-ever",
            "tick",
            "if attempt >= max_attempts then",
            "if false then",
            foundBy: "crash.loop"
        ),
        breakage(
            "dedupe-window-ignored",
            "publish",
            "local seen, code = fresh[id] or known[k], nil",
            "local seen, code = nil, nil",
            foundBy: "pub.retryAmbiguous"
        ),
        breakage(
            "refused-marked-as-known",
            "publish",
            "elseif room and room <= 0 then code = 'F'",
            "elseif room and room <= 0 then code = 'F' marks[marked + 1], marks[marked + 2] = id, until_ms .. digest marked = marked + 2",
            foundBy: "pub.queueFull"
        ),
        breakage(
            "digest-ignored",
            "publish",
            "code = (mark == digest or mark == '*') and 'D' or 'C'",
            "code = 'D'",
            foundBy: "pub.idConflict"
        ),
        breakage(
            "bound-ignored",
            "publish",
            "elseif room and room <= 0 then",
            "elseif false then",
            foundBy: "pub.queueFull"
        ),
        breakage(
            "redrive-keeps-the-letter",
            "redrive",
            "redis.call('XDEL', KEYS[3], ARGV[i])",
            "",
            foundBy: "dlq.redrive"
        ),
        breakage("redrive-only-removes", "redrive", "      add(target, fields)\n", "", foundBy: "dlq.redrive"),
        breakage(
            "reject-only-removes",
            "reject",
            "bury(KEYS[2], KEYS[3], group, fields, attempt, ARGV[5], ARGV[6], t)",
            "",
            foundBy: "dlq.cutSweep"
        ),
        breakage("letter-without-reason", nil, "put(fields, 'mq-reason', reason)", "", foundBy: "dlq.reason"),
        breakage(
            "dead-consumer-with-its-messages",
            "tick",
            "if #redis.call('XPENDING', log, group, '-', '+', 1, name) == 0",
            "if true",
            foundBy: "crash.reaper"
        ),
        breakage(
            "registrations-for-ever",
            "tick",
            "redis.call('ZRANGEBYSCORE', KEYS[9], '-inf', t - tonumber(ARGV[3]), 'LIMIT', 0, 100)",
            "{}",
            foundBy: "crash.reaper"
        ),
        breakage(
            "release-counts",
            "release",
            "local counted, t, attempt = ARGV[4] == '1',",
            "local counted, t, attempt = true,",
            foundBy: "settle.release"
        ),
        breakage(
            "finished-retries-stay",
            "acknowledge",
            "if ARGV[3] == '1' then redis.call('XDEL', stream, unpack(ARGV, 4)) end",
            "",
            foundBy: "settle.retry"
        ),
    ]

    /// Mistakes in what moves a queue elsewhere.
    static let transfers: [RedisBreakage] = [
        breakage(
            "reserve-does-nothing",
            "transfer",
            "redis.call('ZADD', due, string.format('%d', at + reserved_from), member)",
            "",
            foundBy: "transfer.reserve"
        ),
        breakage(
            "reserve-keeps-the-letter",
            "transfer",
            "redis.call('XDEL', dlq, entry)",
            "",
            foundBy: "transfer.reserve"
        ),
        breakage(
            "reserved-can-be-cancelled",
            "cancel",
            "at and at < reserved_from and 1 or 0",
            "at and 1 or 0",
            foundBy: "transfer.reserve"
        ),
        breakage(
            "reserved-not-counted",
            "statistics",
            " + redis.call('HLEN', KEYS[5])",
            "",
            foundBy: "transfer.reserve"
        ),
        breakage(
            "reserved-comes-when-due",
            "tick",
            "redis.call('ZRANGEBYSCORE', due, '-inf', t, 'LIMIT', 0, limit)",
            "redis.call('ZRANGEBYSCORE', due, '-inf', reserved_from + t, 'LIMIT', 0, limit)",
            foundBy: "transfer.reserve"
        ),
        breakage(
            "remove-only-forgets-the-time",
            "transfer",
            "redis.call('ZREM', due, member)",
            "",
            foundBy: "transfer.reserve"
        ),
        breakage(
            "put-back-loses-the-letter",
            "transfer",
            "then\n    add(dlq, fields)",
            "then",
            foundBy: "transfer.putBack"
        ),
        breakage(
            "put-back-at-another-time",
            "transfer",
            "redis.call('ZADD', due, string.format('%d', at - reserved_from), member)",
            "redis.call('ZADD', due, string.format('%d', at), member)",
            foundBy: "transfer.putBack"
        ),
        breakage(
            "page-begins-at-the-cursor's-time",
            "stored",
            "if found and precedes(member, found) then high = middle",
            "if true then high = middle",
            foundBy: "transfer.pages"
        ),
        breakage(
            "restore-to-all-groups",
            "restore",
            "kind == 'q' and log or ARGV[1] .. group .. ':retry'",
            "log",
            foundBy: "transfer.restore"
        ),
        breakage(
            "restore-at-once",
            "restore",
            "local later = due and due > t",
            "local later = false",
            foundBy: "transfer.later"
        ),
        breakage(
            "restore-not-noted",
            "restore",
            "redis.pcall('SADD', KEYS[6], unpack(fresh))",
            "",
            foundBy: "transfer.once"
        ),
        breakage(
            "intake-stays-open",
            "publish",
            "if closed then code = 'X'",
            "if false then code = 'X'",
            foundBy: "transfer.intake"
        ),
        breakage(
            "closed-before-known",
            "publish",
            "local seen, code = fresh[id] or known[k], nil",
            "local seen, code = not closed and (fresh[id] or known[k]) or nil, nil",
            foundBy: "transfer.intake"
        ),
        breakage("carried-id-conflicts", "publish", " or mark == '*'", "", foundBy: "transfer.remember"),
        breakage(
            "carried-id-for-ever",
            "remember",
            "math.min(tonumber(ARGV[2 * k]), last)",
            "t + 3600000",
            foundBy: "transfer.remember"
        ),
    ]

    @Test("by the case that is named", arguments: breakages + transfers)
    func isFound(_ breakage: RedisBreakage) async throws {
        try #require(breakage.change.count == 1, "the text is not in the script any more: \(breakage.change.find)")
        let law = try #require(Conformance.find(breakage.foundBy))
        let broker = try await RedisFaults(changes: [breakage.change])
        let report = try await ConformanceRunner(RedisFaultHarness(broker: broker)).run([law])
        await broker.close()
        let result = try #require(report.results.first)
        let said = result.outcome == .failed ? result.reason ?? "" : nil
        print(breakage.row(said))
        #expect(said != nil, "\(breakage): \(law) is \(result.outcome) \(result.reason ?? "")")
        // A script that cannot run proves nothing.
        #expect(said?.contains("user_script") != true && said?.contains("compiling script") != true, "\(said ?? "")")
    }
}
