#if Redis
import Messaging
import TestSupport
import Testing

@testable import MessagingRedis

@Suite("What Redis answers")
struct AnswerTests {
    private func reply(_ words: [String]) throws -> RedisReply { try RedisReply.parsed(.array(words.map(Tree.text))) }

    @Test("a definition is read from its hash")
    func definition() throws {
        let words = [
            "format", "1", "dedupe_ms", "60000", "retention_ms", "5", "max_ready", "7", "ordering", "unordered",
            "group:b:lease_ms", "2500", "group:b:max_attempts", "3", "group:a:x:lease_ms", "1000", "group:a:x:floor",
            "0-1",
            "group:b:dead", "4",
        ]
        let definition = try #require(try RedisDefinition.read(reply(words), queue: "q"))
        #expect(
            definition
                == QueueDefinition(
                    "q",
                    groups: [
                        GroupDefinition("a:x", lease: .seconds(1), maxAttempts: 10),
                        GroupDefinition("b", lease: .milliseconds(2500), maxAttempts: 3),
                    ],
                    dedupeWindow: .seconds(60),
                    retention: .milliseconds(5),
                    maxReady: 7
                )
        )
        #expect(try RedisDefinition.read(reply(["format", "1", "max_ready", "0"]), queue: "q")?.maxReady == nil)
        #expect(try RedisDefinition.read(reply([]), queue: "q") == nil)
        #expect(try RedisDefinition.read(reply(["other", "1"]), queue: "q") == nil)
        let newer = #expect(throws: QueueError.self) {
            try RedisDefinition.read(reply(["format", "2"]), queue: "q")
        }
        #expect(newer?.code == .topologyConflict)
        #expect(newer?.message.contains("format 2") == true)
    }

    @Test("what declare sends is what a definition is read from")
    func declare() throws {
        let definition = QueueDefinition(
            "q",
            groups: [
                GroupDefinition("a", lease: .seconds(2), maxAttempts: 4),
                GroupDefinition("b", start: .latest),
                GroupDefinition("c", start: .at(UnixTime.date(1000))),
                GroupDefinition("d", start: .at(UnixTime.date(-5))),
            ],
            dedupeWindow: .seconds(9),
            retention: .seconds(8),
            maxReady: 7
        )
        let call = RedisDefinition.declareCall(definition)
        #expect(call.keys == ["q", "{q}:meta", "q:dlq", "mq:queues"])
        var writer = RESPWriter()
        writer.command(call.arguments)
        call.write(&writer)
        let sent = try RedisReply.parsed(writer.bytes).strings
        #expect(
            sent == [
                "0", "9000", "8000", "7", "unordered", "a", "2000", "4", "0-0", "{q}:g:a:retry", "b", "30000", "10",
                "$",
                "{q}:g:b:retry", "c", "30000", "10", "999-18446744073709551615", "{q}:g:c:retry", "d", "30000", "10",
                "0-0",
                "{q}:g:d:retry",
            ]
        )
    }

    @Test("a conflict names both settings")
    func conflict() throws {
        let error = try #require(
            RedisDefinition.refusal(try reply(["CONFLICT", "dedupe_ms", "1", "2"]), of: QueueDefinition("q"))
        )
        #expect(error.code == .topologyConflict)
        #expect(error.message.contains("dedupe_ms is 2, wanted is 1; nothing was changed"))
        #expect(RedisDefinition.refusal(try RedisReply.parsed(.text("OK")), of: QueueDefinition("q")) == nil)
    }

    @Test(
        "errors have the code that tells what to do",
        arguments: [
            ("WRONGPASS invalid username-password pair", QueueError.Code.authentication, false),
            ("NOAUTH Authentication required.", .authentication, false),
            ("ERR AUTH <password> called without any password configured for the default user", .authentication, false),
            ("NOPERM this user has no permissions to run the 'xadd' command", .permissionDenied, false),
            (
                "ERR The user executing the script can't run this command or subcommand script: x", .permissionDenied,
                false
            ),
            ("ERR max number of clients reached", .unavailable, true),
            ("LOADING Redis is loading the dataset in memory", .unavailable, true),
            ("BUSY Redis is busy running a script", .unavailable, true),
            ("READONLY You can't write against a read only replica.", .unavailable, true),
            ("OOM command not allowed when used memory > 'maxmemory'.", .unavailable, true),
            ("MISCONF Redis is configured to save RDB snapshots", .unavailable, true),
            ("NOREPLICAS Not enough good replicas to write.", .unavailable, true),
            ("CLUSTERDOWN The cluster is down", .unavailable, true),
            ("TRYAGAIN Multiple keys request during rehashing of slot", .unavailable, true),
            ("MASTERDOWN Link with MASTER is down", .unavailable, true),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", .topologyConflict, false),
            ("NOGROUP No such key 'q' or consumer group 'g'", .topologyLost, true),
            ("NOTFOUND the queue is not declared", .notFound, false),
            ("ERR invalid DB index", .invalidArgument, false),
            ("ERR DB index is out of range", .invalidArgument, false),
            ("ERR user_script:7: WRONGTYPE Operation against a key", .topologyConflict, false),
            ("ERR Error running script: NOGROUP No such key", .topologyLost, true),
            ("ERR user_script:1: OOM command not allowed when used memory > 'maxmemory'.", .unavailable, true),
            ("ERR unknown command 'XADD'", .brokerError, false),
            ("", .brokerError, false),
        ]
    )
    func errors(_ reply: String, _ code: QueueError.Code, _ isRetryable: Bool) {
        let error = RedisErrors.error(reply, queue: "q")
        #expect(error.code == code)
        #expect(error.isRetryable == isRetryable)
        #expect(error.queue == "q")
    }

    @Test("an error reply is thrown, another shape is undecodable")
    func checked() throws {
        let failed = try RedisReply.parsed(.error("NOPERM no"))
        #expect(throws: QueueError.self) { try failed.checked("q") }
        let odd = #expect(throws: QueueError.self) {
            try RedisReply.parsed(.integer(1)).read("q") { (cursor) throws(RedisReplyCursor.Unexpected) in
                try cursor.string()
            }
        }
        #expect(odd?.code == .undecodable)
    }

    // MARK: The probe

    private static let sound = [
        "appendfsync": "always", "no-appendfsync-on-rewrite": "no", "maxmemory-policy": "noeviction", "save": "",
    ]

    private func judge(_ info: [String: String] = [:], _ config: [String: String] = [:]) -> Capabilities {
        let base = ["redis_version": "7.2.4", "aof_enabled": "1", "cluster_enabled": "0"]
        return RedisProbe.judge(
            info: base.merging(info) { $1 },
            config: Self.sound.merging(config) { $1 },
            maxBodyBytes: 5
        )
    }

    @Test("a server that fsyncs every write keeps everything on disk, and there is nothing to find")
    func soundServer() {
        let capabilities = judge()
        #expect(capabilities.system == "redis")
        #expect(capabilities.version == "7.2.4")
        #expect(capabilities.durability == .disk)
        #expect(capabilities.findings.isEmpty)
        #expect(capabilities.maxBodyBytes == 5)
        for feature in Capabilities.Feature.allCases where feature != .keyedOrder {
            #expect(capabilities[feature].isAvailable)
        }
        let error = #expect(throws: QueueError.self) { try capabilities.require(.keyedOrder, queue: "q") }
        #expect(error?.code == .unsupported)
    }

    @Test(
        "settings grade the durability",
        arguments: [
            (["appendfsync": "everysec"], [:], Capabilities.Durability.window(.seconds(2)), []),
            (["appendfsync": "no"], [:], .window(.seconds(30)), ["appendfsync is no"]),
            (["no-appendfsync-on-rewrite": "yes"], [:], .window(.seconds(30)), ["no-appendfsync-on-rewrite"]),
            (["save": "3600 1"], ["aof_enabled": "0"], .memory, ["only snapshots"]),
            (["save": ""], ["aof_enabled": "0"], .memory, ["persistence is off"]),
            (["maxmemory-policy": "allkeys-lru"], [:], .disk, ["maxmemory-policy is allkeys-lru"]),
            ([:], ["redis_version": "6.2.1"], .disk, ["older than 7.0"]),
            ([:], ["redis_version": "10.0.0"], .disk, []),
            ([:], ["cluster_enabled": "1"], .disk, ["cluster"]),
            (
                ["appendfsync": "no", "maxmemory-policy": "volatile-ttl"], ["redis_version": "5.0"],
                .window(.seconds(30)),
                ["appendfsync", "maxmemory-policy", "older"]
            ),
        ] as [([String: String], [String: String], Capabilities.Durability, [String])]
    )
    func grades(
        _ config: [String: String],
        _ info: [String: String],
        _ durability: Capabilities.Durability,
        _ findings: [String]
    ) {
        let capabilities = judge(info, config)
        #expect(capabilities.durability == durability)
        #expect(capabilities.findings.count == findings.count)
        for (found, expected) in zip(capabilities.findings, findings) { #expect(found.contains(expected)) }
    }

    @Test("what may not be asked is unknown, not assumed")
    func unknown() {
        let blind = RedisProbe.judge(info: [:], config: [:], maxBodyBytes: 1)
        #expect(blind.version == "unknown")
        guard case .unknown = blind.durability else {
            Issue.record("\(blind.durability)")
            return
        }
        #expect(blind.findings.isEmpty)
        let halfBlind = RedisProbe.judge(info: ["aof_enabled": "1"], config: [:], maxBodyBytes: 1)
        guard case .unknown = halfBlind.durability else {
            Issue.record("\(halfBlind.durability)")
            return
        }
        #expect(RedisProbe.judge(info: ["aof_enabled": "0"], config: [:], maxBodyBytes: 1).durability == .memory)
    }
}

@Suite("Plans")
struct PlanTests {
    private func items(log: Int, retry: Int) -> [GroupReader.Item] {
        let id = EntryID(milliseconds: 1, sequence: 1)
        return [(log, GroupReader.logSource), (retry, GroupReader.privateSource)].flatMap { count, source in
            Array(repeating: GroupReader.Item(id: id, receipt: id.receipt(source), entry: .init()), count: count)
        }
    }

    @Test("an idle reader blocks on both streams, a busy one does not")
    func blocks() {
        var plan = ReadPlan()
        #expect(plan.next(max: 10, mayBlock: true) == .init(log: 5, retry: 5, blocks: true))
        #expect(plan.next(max: 1, mayBlock: true) == .init(log: 1, retry: 1, blocks: true))
        let step = plan.next(max: 16, mayBlock: false)
        #expect(step == .init(log: 15, retry: 1, blocks: false))
        plan.found(items(log: 3, retry: 1), by: step)
        // A full retry stream gets half.
        let busy = plan.next(max: 16, mayBlock: true)
        #expect(busy == .init(log: 8, retry: 8, blocks: false))
        plan.found(items(log: 1, retry: 0), by: busy)
        #expect(plan.next(max: 16, mayBlock: true) == .init(log: 15, retry: 1, blocks: false))
        plan.found([], by: busy)
        #expect(plan.next(max: 16, mayBlock: true).blocks)
    }

    @Test("with one slot the streams are asked in turn")
    func alternates() {
        var plan = ReadPlan()
        plan.found(items(log: 1, retry: 0), by: plan.next(max: 1, mayBlock: true))
        let first = plan.next(max: 1, mayBlock: true)
        #expect(first == .init(log: 0, retry: 1, blocks: false))
        #expect(first.rest == .init(log: 1, retry: 0, blocks: false))
        plan.found(items(log: 0, retry: 1), by: first)
        let second = plan.next(max: 1, mayBlock: true)
        #expect(second == .init(log: 1, retry: 0, blocks: false))
        #expect(second.rest == first)
        plan.found([], by: first)
        let last = plan.next(max: 1, mayBlock: true)
        #expect(last.blocks && last.rest == nil)
    }

    @Test("never asks for more than there is room for, and starves no stream")
    func fuzz() {
        var generator = SeededGenerator(seed: 7)
        var plan = ReadPlan()
        var sinceLog = 0
        var sinceRetry = 0
        for _ in 0..<20_000 {
            let max = Int.random(in: 1...(Bool.random(using: &generator) ? 3 : 1000), using: &generator)
            let mayBlock = Bool.random(using: &generator)
            let step = plan.next(max: max, mayBlock: mayBlock)
            #expect(mayBlock || !step.blocks)
            #expect(step.log >= 0 && step.retry >= 0 && step.log + step.retry > 0)
            #expect(step.log + step.retry <= (step.blocks && max == 1 ? 2 : max))
            sinceLog = step.log > 0 ? 0 : sinceLog + 1
            sinceRetry = step.retry > 0 ? 0 : sinceRetry + 1
            #expect(sinceLog < 8 && sinceRetry < 8)
            let isEmpty = Int.random(in: 0..<3, using: &generator) == 0
            plan.found(
                isEmpty
                    ? []
                    : items(
                        log: .random(in: 0...step.log, using: &generator),
                        retry: .random(in: 0...step.retry, using: &generator)
                    ),
                by: step
            )
        }
    }

    private func request(_ sequence: UInt64, _ settlement: Settlement, source: UInt32 = 0) -> SettleRequest {
        SettleRequest(EntryID(milliseconds: 5, sequence: sequence).receipt(source), settlement)
    }

    @Test("settlements are batched by kind and stream, in ascending order")
    func settlePlan() {
        var plan = SettlePlan()
        #expect(plan.isEmpty)
        plan.add(0, request(9, .acknowledge))
        plan.add(1, request(10, .discard))
        plan.add(2, request(1, .acknowledge))
        plan.add(3, request(4, .acknowledge, source: 1))
        plan.add(4, request(8, .release))
        plan.add(5, request(7, .release, source: 1))
        plan.add(6, request(6, .retry(after: .seconds(1), error: "e")))
        plan.add(7, request(3, .reject(reason: .rejected, error: nil), source: 1))
        plan.add(8, request(2, .release))
        #expect(!plan.isEmpty)
        #expect(plan.acknowledgements == 3)
        #expect(plan.items.map(\.index).sorted() == Array(0...8))
        #expect(Set(plan.items.map(\.receipt)).count == 9)
        let steps = plan.steps()
        #expect(
            steps.map(\.kind) == [
                .acknowledge, .acknowledge, .release, .release, .retry(.seconds(1), "e"), .reject(.rejected, nil),
            ]
        )
        #expect(steps.map(\.isPrivate) == [false, true, false, true, false, true])
        #expect(steps.map { $0.items.map(\.index) } == [[2, 0, 1], [3], [8, 4], [5], [6], [7]])
    }

    @Test("large batches are cut and lose nothing")
    func settleBatches() {
        var generator = SeededGenerator(seed: 8)
        var plan = SettlePlan()
        for index in 0..<2500 { plan.add(index, request(.random(in: 0...1000, using: &generator), .acknowledge)) }
        for index in 2500..<2750 { plan.add(index, request(.random(in: 0...1000, using: &generator), .release)) }
        let steps = plan.steps()
        #expect(steps.map(\.items.count) == [1000, 1000, 500, 100, 100, 50])
        #expect(steps.flatMap { $0.items.map(\.index) }.sorted() == Array(0..<2750))
        #expect(plan.items.map(\.index).sorted() == Array(0..<2750))
        for kind in [SettlePlan.Kind.acknowledge, .release] {
            let ids = steps.filter { $0.kind == kind }.flatMap { $0.items.map { EntryID($0.receipt) } }
            #expect(ids == ids.sorted())
        }
    }
}

@Suite("Scripts")
struct ScriptTests {
    @Test(
        "a key is from KEYS, a name made from it, or made of a prefix that was passed in",
        arguments: RedisScript.allCases
    )
    func keys(_ script: RedisScript) throws {
        let source = String(decoding: script.source, as: UTF8.self)
        // What follows the command, and the subcommand of those that have one, is the key.
        let calls = source.matches(of: /redis\.p?call\('(?:(?:XGROUP|XINFO)', '[A-Z]+|[A-Z]+)', ?([^,)]+)/)
        #expect(!calls.isEmpty)
        for call in calls {
            let key = call.output.1
            #expect(!key.hasPrefix("'") && !key.hasPrefix("\""), "\(script): \(call.output.0)")
        }
        // No literal looks like a key of ours.
        #expect(source.firstMatch(of: /'\{|'mq:|'queue:/) == nil)
    }
}
#endif
