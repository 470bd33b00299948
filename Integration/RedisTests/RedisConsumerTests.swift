import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingRedis
import Synchronization
import TestSupport
import Testing

/// Consumers that die, linger or are slow, and what is left of them.
@Suite(
    "Redis consumers",
    .enabled(if: PrivateRedis.isInstalled, "redis-server is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(5))
)
struct RedisConsumerTests {
    /// A deleted queue leaves one key that ends by itself; a client that knew the queue does not make it again.
    @Test func deletedQueue() async throws {
        let server = try PrivateRedis()
        let (queue, other) = (try server.makeQueue(), try server.makeQueue())
        try await queue.declare(definition())
        let consumer = try await queue.consume("orders", group: "g", consumer: "alive")
        _ = try await queue.publish([Message(text: "1", id: "1"), Message(text: "2", id: "2")], to: "orders")
        _ = try await queue.publish([Message(text: "3", due: .after(.seconds(900)))], to: "orders")
        let held = try await consumer.take(1)
        try await consumer.settle(held[0], .retry(after: .seconds(900), error: "later"))
        #expect(try await other.deleteQueue("orders"))
        #expect(try await !other.deleteQueue("orders"))
        // The keeper of the first client ticks on meanwhile.
        try await Task.sleep(for: .seconds(1))
        let keys = try server.cli("KEYS", "*orders*").split(separator: "\n")
        #expect(keys == ["{orders}:meta"])
        #expect((Int(try server.cli("TTL", "{orders}:meta")) ?? 0) > 80_000)
        #expect(try server.cli("SMEMBERS", "mq:queues").isEmpty)
        let lost = await #expect(throws: QueueError.self) { try await consumer.take(1) }
        #expect(lost?.code == .topologyLost || lost?.code == .notFound)
        let refused = await #expect(throws: QueueError.self) {
            try await queue.publish(Message(text: "x"), to: "orders")
        }
        #expect(refused?.code == .notFound)
        try await other.declare(definition())
        #expect((Int(try server.cli("TTL", "{orders}:meta")) ?? 0) == -1)
        // The ids of the old queue are not known to the new one, and its own are.
        let again = [Message(text: "1", id: "1"), Message(text: "2", id: "2")]
        for outcome in try await other.publish(again, to: "orders") {
            guard case .accepted = outcome else { Issue.record("\(outcome)"); continue }
        }
        guard case .duplicate? = try await other.publish([again[0]], to: "orders").first else {
            Issue.record("the new queue does not know its own ids")
            return
        }
        await queue.close()
        await other.close()
    }

    /// crash.kill9 and crash.reaper: what a dead process held comes to a survivor with attempt 2, and the dead one's
    /// registration goes only when it holds nothing.
    @Test func deadConsumer() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition(lease: .seconds(5)))
        _ = try await queue.publish((0..<20).map { Message(text: "\($0)", id: MessageID("\($0)")) }, to: "orders")
        // Any other client is a consumer that will never settle.
        try server.cli("XREADGROUP", "GROUP", "g", "dead", "COUNT", "10", "STREAMS", "orders", ">")
        let consumer = try await queue.consume("orders", group: "g", consumer: "alive")
        let first = try await consumer.take(10)
        #expect(first.allSatisfy { $0.attempt == 1 })
        try await consumer.acknowledge(all: first)
        let second = try await consumer.take(10)
        #expect(Set(second.map(\.message.id)) == Set((0..<10).map { MessageID("\($0)") }))
        #expect(second.allSatisfy { $0.attempt == 2 && $0.history.first?.consumer == "dead" })
        try await consumer.acknowledge(all: second)
        // A foreign consumer was never announced to us: its name stays, it may be idle and alive.
        #expect(try server.cli("XINFO", "CONSUMERS", "orders", "g").contains("dead"))
        await consumer.close()
        let registered = try server.cli("XINFO", "CONSUMERS", "orders", "g")
        #expect(!registered.contains("alive"))
        await queue.close()
    }

    /// A stale receipt is refused, whoever has the message now: one of ours, or a foreign client that claimed it.
    @Test func staleReceipts() async throws {
        let server = try PrivateRedis()
        let (one, two) = (try server.makeQueue(), try server.makeQueue())
        try await one.declare(definition(lease: .seconds(4)))
        let slow = try await one.consume("orders", group: "g", consumer: "slow")
        let quick = try await two.consume("orders", group: "g", consumer: "quick")
        try await one.publish(Message(text: "x", id: "x"), to: "orders")
        let stale = try await slow.take(1)
        let taken = try await quick.take(1)
        #expect(taken.first?.attempt == 2)
        for settlement in [Settlement.acknowledge, .discard, .release, .retry(after: .zero, error: nil)] {
            let outcomes = try await slow.settle([SettleRequest(stale[0].receipt, settlement)])
            #expect(outcomes[0].error?.code == .leaseLost)
        }
        try await quick.acknowledge(all: taken)
        #expect(try await one.statistics(of: "orders")["g"]?.lag.value == 0)

        try await one.publish(Message(text: "y", id: "y"), to: "orders")
        let second = try await slow.take(1)
        let id = try server.cli("XPENDING", "orders", "g", "-", "+", "1").split(separator: "\n").first.map(String.init)
        try server.cli("XCLAIM", "orders", "g", "foreign", "0", id ?? "")
        let outcomes = try await slow.settle([SettleRequest(second[0].receipt, .acknowledge)])
        #expect(outcomes[0].error?.code == .leaseLost)
        await one.close()
        await two.close()
    }

    /// lease.prefetchAging: most handlers take longer than a lease, and further messages come meanwhile; every message
    /// is handled once, because all that is held is renewed, and renewed before anything is taken over.
    @Test func slowHandlersKeepTheirLeases() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition(lease: .seconds(5)))
        let counts = Mutex<[MessageID: Int]>([:])
        _ = try await queue.publish((0..<8).map { Message(text: "\($0)", id: MessageID("\($0)")) }, to: "orders")
        let worker = Worker(
            queue: queue,
            from: "orders",
            group: "g",
            consumer: "w",
            configuration: WorkerConfiguration(concurrency: 6),
            logger: .init(label: "test")
        ) { delivery in
            counts.withLock { $0[delivery.message.id, default: 0] += 1 }
            // Two slots are free again while the others are held.
            let isShort = delivery.message.id == "0" || delivery.message.id == "1"
            try await Task.sleep(for: isShort ? .seconds(3) : .seconds(6))
        }
        let working = Task { try await worker.run() }
        #expect(
            try await eventually(within: .seconds(60)) {
                try await queue.statistics(of: "orders")["g"]?.lag.value == 0
            }
        )
        worker.stop()
        try await working.value
        #expect(counts.withLock { $0.count == 8 && $0.values.allSatisfy { $0 == 1 } })
        await queue.close()
    }

    /// An answer of "nothing" means that neither stream has anything, also with a single slot.
    @Test func oneSlotLooksEverywhere() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition(lease: .seconds(30)))
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        for number in 0..<6 {
            try await queue.publish(Message(text: "\(number)"), to: "orders")
            let fresh = try #require(try await consumer.receive(max: 1, wait: .zero).first)
            try await consumer.settle(fresh, .release)
            let released = try #require(try await consumer.receive(max: 1, wait: .zero).first)
            #expect(released.message.id == fresh.message.id && released.attempt == 1)
            try await consumer.acknowledge(released)
            #expect(try await consumer.receive(max: 1, wait: .zero).isEmpty)
        }
        await queue.close()
    }

    /// rt.foreign and dlq.poison: entries that no counter, history or script can take end in the dead letters or are
    /// delivered; they neither end a process nor keep what is behind them waiting.
    @Test func hostileEntries() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition(lease: .seconds(4)))
        let poison: [[String]] = [
            ["payload", "a", "retry_count", "nan"], ["payload", "b", "retry_count", "9223372036854775807"],
            ["payload", "c", "mq-history", "[1e999]"], ["payload", "d", "retry_count", "inf", "mq-id", ""],
            ["payload", "e"] + (0..<4500).flatMap { ["f\($0)", "v"] },
        ]
        for fields in poison { try PrivateRedis.cli(port: server.port, ["XADD", "orders", "*"] + fields) }
        try await queue.publish(Message(text: "good", id: "good"), to: "orders")
        // A client that dies with all of it.
        try server.cli("XREADGROUP", "GROUP", "g", "dead", "STREAMS", "orders", ">")
        let consumer = try await queue.consume("orders", group: "g", consumer: "alive")
        var texts: Set<String> = []
        #expect(
            try await eventually(within: .seconds(30)) {
                for delivery in try await consumer.receive(max: 10, wait: .milliseconds(200)) {
                    texts.insert(delivery.message.text ?? "")
                    try await consumer.acknowledge(delivery)
                }
                return try await queue.statistics(of: "orders")["g"]?.lag.value == 0
            }
        )
        #expect(texts.contains("good"))
        let dead = try await queue.deadLetters(of: "orders", matching: .all, after: nil, limit: 100).elements
        let seen = texts.union(dead.compactMap(\.message.text))
        #expect(seen == ["a", "b", "c", "d", "e", "good"], "\(seen)")
        await queue.close()
    }

    /// At most once with a single slot: one delivery at a time, and none is lost between the two streams.
    @Test func atMostOnceWithOneSlot() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition(lease: .seconds(30)))
        _ = try await queue.publish((0..<6).map { Message(text: "\($0)", id: MessageID("\($0)")) }, to: "orders")
        let giver = try await queue.consume("orders", group: "g", consumer: "giver")
        for delivery in try await giver.take(3) { try await giver.settle(delivery, .release) }
        var seen: [String] = []
        for _ in 0..<6 {
            // A new consumer each time: its first read looks at both streams at once.
            let consumer = try await queue.consume(
                "orders",
                group: "g",
                consumer: "c",
                options: ConsumerOptions(mode: .atMostOnce)
            )
            let taken = try await consumer.receive(max: 1, wait: .seconds(5))
            #expect(taken.count == 1)
            seen += taken.map(\.message.id.rawValue)
            await consumer.close()
        }
        #expect(Set(seen) == Set((0..<6).map { "\($0)" }) && seen.count == 6)
        await queue.close()
    }

    /// crash.loop: a message that ends its consumer every time goes to the dead letters, with the reason.
    @Test func crashLoop() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition(lease: .milliseconds(150), maxAttempts: 3))
        try await queue.publish(Message(text: "poison", id: "poison"), to: "orders")
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        var attempts: [Int] = []
        for _ in 0..<3 { attempts += try await consumer.take(1).map(\.attempt) }
        #expect(attempts == [1, 2, 3])
        #expect(
            try await eventually(within: .seconds(20)) {
                try await queue.statistics(of: "orders")["g"]?.dead.value == 1
            }
        )
        #expect(try await consumer.take(1, within: .seconds(1)).isEmpty)
        let letters = try await queue.deadLetters(of: "orders", matching: .all, after: nil, limit: 10).elements
        #expect(letters.count == 1)
        #expect(letters.first?.reason == .attemptsExhausted && letters.first?.attempts == 3)
        #expect(letters.first?.history.count == 3)
        await queue.close()
    }

    /// A retry planned by one process and a message scheduled by another are on time everywhere, without polling: the
    /// due time is announced.
    @Test func announcedDueTimes() async throws {
        let server = try PrivateRedis()
        let (producer, queue) = (try server.makeQueue(), try server.makeQueue())
        // A long lease: nothing but the announcement can wake the consumer in time.
        try await queue.declare(definition(lease: .seconds(600)))
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        async let waiting = consumer.receive(max: 1, wait: .seconds(20))
        try await Task.sleep(for: .milliseconds(100))
        let start = ContinuousClock.now
        try await producer.publish(Message(text: "x", id: "x", due: .after(.milliseconds(400))), to: "orders")
        let received = try await waiting
        let elapsed = ContinuousClock.now - start
        let taken = try #require(received.first)
        #expect(taken.message.id == "x")
        // The server counts whole milliseconds, by a clock of its own.
        #expect(elapsed >= .milliseconds(398))
        // Without the announcement nothing comes before the wait is over.
        #expect(elapsed < .seconds(15))
        let before = ContinuousClock.now
        try await consumer.settle(taken, .retry(after: .milliseconds(300), error: "again"))
        let again = try await consumer.receive(max: 1, wait: .seconds(20))
        let paused = ContinuousClock.now - before
        #expect(again.first?.attempt == 2)
        #expect(paused >= .milliseconds(298))
        #expect(paused < .seconds(15))
        await producer.close()
        await queue.close()
    }

    /// Pitfall 4: whatever is trimmed, what one group still owes stays.
    @Test func trimKeepsTheUnfinished() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        var settings = definition(lease: .seconds(60), dedupe: .zero)
        settings.groups.append(GroupDefinition("slow", lease: .seconds(60)))
        try await queue.declare(settings)
        let quick = try await queue.consume("orders", group: "g", consumer: "c")
        let slow = try await queue.consume("orders", group: "slow", consumer: "c")
        for round in 0..<20 {
            _ = try await queue.publish(
                (0..<500).map { Message(text: "\(round)", id: MessageID("\(round)-\($0)")) },
                to: "orders"
            )
            try await quick.acknowledge(all: try await quick.take(500))
        }
        #expect(try server.cli("XLEN", "orders") == "10000")
        let held = try await slow.take(1)
        try await slow.acknowledge(all: try await slow.take(9_999))
        #expect(Int(try server.cli("XLEN", "orders")) ?? 0 >= 1)
        #expect(try await slow.renew(held.map(\.receipt)) == [true])
        try await slow.acknowledge(all: held)
        await quick.close()
        await slow.close()
        // The last tick of a group that opens again gives the rest back.
        let last = try await queue.consume("orders", group: "slow", consumer: "d")
        #expect(try await eventually { try server.cli("XLEN", "orders") == "0" })
        await last.close()
        await queue.close()
    }

    /// A retention keeps finished messages for a group that comes later.
    @Test func foreignGroupsAndPlainClients() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        // A plain client was here first: its message and its group stay as they are.
        try server.cli("XADD", "orders", "*", "payload", "first", "source", "shell")
        try server.cli("XGROUP", "CREATE", "orders", "theirs", "0")
        try await queue.declare(definition(lease: .seconds(30)))
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        let taken = try await consumer.take(1)
        #expect(taken.first?.message.text == "first" && taken.first?.message.headers["source"] == "shell")
        #expect(taken.first?.attempt == 1)
        try await consumer.acknowledge(all: taken)
        // Their group has not read it, so trimming leaves it.
        #expect(try server.cli("XREADGROUP", "GROUP", "theirs", "x", "STREAMS", "orders", ">").contains("first"))
        // A worker in another language shares the group and settles with XACK alone.
        try await queue.publish(Message(text: "for them", id: "t", headers: ["a": "b"]), to: "orders")
        let entry = try server.cli("XREADGROUP", "GROUP", "g", "python-1", "STREAMS", "orders", ">")
        #expect(entry.contains("for them"))
        let id = entry.split(separator: "\n").first { $0.contains("-") && $0.first?.isNumber == true }.map(String.init)
        #expect(try server.cli("XACK", "orders", "g", id ?? "") == "1")
        #expect(try await queue.statistics(of: "orders")["g"]?.lag.value == 0)
        // retry_count of a foreign program is the number of attempts before.
        try server.cli("XADD", "orders", "*", "payload", "again", "retry_count", "2")
        #expect(try await consumer.take(1).first?.attempt == 3)
        await queue.close()
    }
}
