import BrokerSupport
import Foundation
import Logging
import Messaging
import MessagingRedis
import Synchronization
import TestSupport
import Testing

/// What goes wrong around a queue: servers that stop, hang, forget or are full.
@Suite(
    "Redis under faults",
    .enabled(if: PrivateRedis.isInstalled, "redis-server is not installed; make test installs it"),
    .serialized,
    .timeLimit(.minutes(5))
)
struct RedisFaultTests {
    /// Publishes numbered messages one after the other until told to stop; keeps which ones were confirmed.
    private final class Publisher: Sendable {
        private struct State {
            var confirmed: Set<MessageID> = []
            var stopped = false
        }
        private let state = Mutex(State())

        var confirmed: Set<MessageID> { state.withLock(\.confirmed) }
        func stop() { state.withLock { $0.stopped = true } }

        func run(_ queue: any MessageQueue, to name: String) async {
            var number = 0
            while !state.withLock(\.stopped) {
                let message = Message(text: "\(number)", id: MessageID("m\(number)"))
                number += 1
                // The same id until the outcome is known, as the contract asks.
                while !state.withLock(\.stopped) {
                    if let outcome = try? await queue.publish([message], to: name).first, outcome.isConfirmed {
                        state.withLock { _ = $0.confirmed.insert(message.id) }
                        break
                    }
                    try? await Task.sleep(for: .milliseconds(5))
                }
            }
        }
    }

    /// Whether a publish is confirmed, also when the connection has to be made anew.
    private func confirms(_ queue: RedisQueue, _ message: Message) async -> Bool {
        let outcomes = try? await queue.publish([message], to: "orders")
        return outcomes?.first?.isConfirmed ?? false
    }

    /// Stops a server's process, and waits until it stands still as far as the system tells.
    private func suspend(_ server: PrivateRedis) async throws {
        server.signal(SIGSTOP)
        guard ProcessFigures.areThere else { return }
        let isStopped = try await eventually {
            let stat = try String(contentsOfFile: "/proc/\(server.processID)/stat", encoding: .utf8)
            // The state follows the name, which may contain anything.
            return stat[(stat.lastIndex(of: ")") ?? stat.startIndex)...].split(separator: " ").dropFirst().first == "T"
        }
        #expect(isStopped, "the server goes on")
    }

    /// fault.restart and fault.kill9Broker: with appendfsync always nothing that was confirmed is lost.
    @Test(arguments: [SIGTERM, SIGKILL])
    func restart(signal: Int32) async throws {
        let server = try PrivateRedis(["--appendfsync", "always"])
        let queue = try server.makeQueue()
        #expect(try await queue.capabilities().durability == .disk)
        try await queue.declare(definition())
        let publisher = Publisher()
        let publishing = Task { await publisher.run(queue, to: "orders") }
        let seen = Mutex<Set<MessageID>>([])
        let worker = Worker(
            queue: queue,
            from: "orders",
            group: "g",
            consumer: "worker-1",
            configuration: WorkerConfiguration(maxReconnectPause: .milliseconds(200)),
            logger: .init(label: "test")
        ) { delivery in seen.withLock { _ = $0.insert(delivery.message.id) } }
        let working = Task { try await worker.run() }
        for _ in 0..<2 {
            let before = publisher.confirmed.count
            #expect(try await eventually(within: .seconds(60)) { publisher.confirmed.count > before + 100 })
            if signal == SIGKILL { server.crash() } else { server.stop() }
            try await Task.sleep(for: .milliseconds(100))
            try server.start()
        }
        let before = seen.withLock(\.count)
        // The worker really consumes again, by itself.
        #expect(try await eventually(within: .seconds(60)) { seen.withLock(\.count) > before + 100 })
        publisher.stop()
        await publishing.value
        let confirmed = publisher.confirmed
        #expect(try await eventually(within: .seconds(60)) { seen.withLock { confirmed.isSubset(of: $0) } })
        worker.stop()
        try await working.value
        await queue.close()
    }

    /// A server that hangs is found within the deadline, and what was asked of it is unknown, not failed.
    @Test func hangingServer() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue {
            $0.commandTimeout = .seconds(2)
            $0.connectTimeout = .seconds(2)
        }
        // A patient client does what has nothing to do with the deadline.
        let other = try server.makeQueue()
        try await other.declare(definition())
        #expect(try await eventually(within: .seconds(30)) { (try? await queue.definition(of: "orders")) != nil })
        try await suspend(server)
        let start = ContinuousClock.now
        let outcomes = try await queue.publish([Message(text: "x", id: "x")], to: "orders")
        guard case .indeterminate(let error)? = outcomes.first else {
            Issue.record("the outcome is \(outcomes), not indeterminate")
            return
        }
        #expect(error.isRetryable && error.code == .indeterminate)
        #expect(ContinuousClock.now - start < .seconds(10))
        server.signal(SIGCONT)
        // The same id again: one message exists, whatever became of the first attempt.
        #expect(try await eventually(within: .seconds(30)) { await confirms(queue, Message(text: "x", id: "x")) })
        #expect(try await other.statistics(of: "orders")["g"]?.ready.value == 1)
        await queue.close()
        await other.close()
    }

    /// The connection dies under a blocked read, a publish and a settle: all go on with new ones.
    @Test func cutConnections() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        // What was sent over a connection that died comes again after its lease.
        try await queue.declare(definition(lease: .seconds(3)))
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        for number in 0..<20 {
            async let delivery = consumer.take(1)
            try await Task.sleep(for: .milliseconds(20))
            try server.cli("CLIENT", "KILL", "TYPE", "normal")
            try server.cli("CLIENT", "KILL", "TYPE", "pubsub")
            #expect(
                try await eventually(within: .seconds(20)) {
                    await confirms(queue, Message(text: "x", id: MessageID("\(number)")))
                }
            )
            let taken = try await delivery
            #expect(taken.first?.message.id.rawValue == "\(number)")
            try await consumer.acknowledge(all: taken)
        }
        let figures = try await queue.statistics(of: "orders")["g"]
        #expect(figures?.ready.value == 0 && figures?.inFlight.value == 0)
        await queue.close()
    }

    /// The server forgets its scripts while they are in use.
    @Test func scriptFlush() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition(lease: .seconds(30)))
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        for round in 0..<20 {
            try server.cli("SCRIPT", "FLUSH")
            let messages = (0..<250).map { Message(text: "\($0)", id: MessageID("\(round)-\($0)")) }
            let outcomes = try await queue.publish(messages, to: "orders")
            #expect(outcomes.count { $0.isConfirmed } == outcomes.count)
            try server.cli("SCRIPT", "FLUSH")
            let taken = try await consumer.take(250)
            #expect(Set(taken.map(\.message.id)) == Set(messages.map(\.id)))
            try await consumer.acknowledge(all: taken)
        }
        await queue.close()
    }

    /// The group is destroyed, then everything is flushed: consuming goes on, and nothing unread is skipped.
    @Test func missingGroup() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        // A long lease: what is taken one after the other is settled together.
        try await queue.declare(definition(lease: .seconds(30)))
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        _ = try await queue.publish((0..<10).map { Message(text: "\($0)", id: MessageID("a\($0)")) }, to: "orders")
        try await consumer.acknowledge(all: try await consumer.take(5))
        try server.cli("XGROUP", "DESTROY", "orders", "g")
        var rest: [Delivery] = []
        // At least once: the five that were not read come, those that were acknowledged since the last trim may.
        #expect(
            try await eventually(within: .seconds(20)) {
                rest += try await consumer.receive(max: 10, wait: .milliseconds(500))
                return Set(rest.map(\.message.id.rawValue)).isSuperset(of: (5..<10).map { "a\($0)" })
            }
        )
        try await consumer.acknowledge(all: rest)

        try server.cli("FLUSHALL")
        let outcomes = try await queue.publish([Message(text: "after", id: "after")], to: "orders")
        #expect(outcomes.count { $0.isConfirmed } == outcomes.count)
        #expect(try await consumer.take(1).first?.message.id == "after")
        await queue.close()
    }

    /// A group that starts at a time is lost before it has read anything: it begins there again.
    @Test func missingGroupWithAStart() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try server.cli("XADD", "orders", "1000-1", "payload", "old")
        try server.cli("XADD", "orders", "2000000000000-1", "payload", "new")
        let start = GroupDefinition.Start.at(Date(timeIntervalSince1970: 1_900_000_000))
        try await queue.declare(QueueDefinition("orders", groups: [GroupDefinition("g", start: start)]))
        #expect(try await queue.statistics(of: "orders")["g"]?.ready == .exact(1))
        try server.cli("XGROUP", "DESTROY", "orders", "g")
        try await queue.declare(QueueDefinition("orders", groups: [GroupDefinition("g", start: start)]))
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        #expect(try await consumer.take(1).map(\.message.text) == ["new"])
        await queue.close()
    }

    /// Closing is bounded when the server hangs.
    @Test func closingWhileTheServerHangs() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition())
        var consumers: [any QueueConsumer] = []
        for number in 0..<4 {
            consumers.append(try await queue.consume("orders", group: "g", consumer: "c\(number)"))
        }
        try await suspend(server)
        let start = ContinuousClock.now
        await queue.close()
        #expect(ContinuousClock.now - start < .seconds(20))
        server.signal(SIGCONT)
    }

    /// A full server refuses what is new and lets consumers go on; a refused id is not taken for known afterwards.
    @Test func outOfMemory() async throws {
        let server = try PrivateRedis(["--maxmemory-policy", "noeviction"])
        let queue = try server.makeQueue()
        try await queue.declare(definition(lease: .seconds(30)))
        _ = try await queue.publish((0..<10).map { Message(text: "\($0)", id: MessageID("a\($0)")) }, to: "orders")
        let consumer = try await queue.consume("orders", group: "g", consumer: "c")
        let taken = try await consumer.take(4)
        try server.cli("CONFIG", "SET", "maxmemory", "1000000")
        let refused = try await queue.publish(
            [Message(text: "x", id: "x"), Message(text: "y", id: "y", due: .after(.seconds(1)))],
            to: "orders"
        )
        for outcome in refused {
            guard case .refused(let error) = outcome else {
                Issue.record("the outcome is \(outcome), not refused")
                continue
            }
            #expect(error.code == .unavailable && error.isRetryable)
        }
        // Acknowledging, renewing and reading need no memory.
        try await consumer.acknowledge(taken[0])
        #expect(try await consumer.renew([taken[1].receipt]) == [true])
        #expect(try await consumer.take(6).count == 6)
        // A consumer can be opened, and what is finished is given back, so that the server empties itself.
        let other = try server.makeQueue()
        let second = try await other.consume("orders", group: "g", consumer: "d")
        #expect(try await eventually { try server.cli("XLEN", "orders") == "9" })
        await second.close()
        await other.close()
        // A retry needs some: it fails, and the delivery stays with its consumer.
        let retried = try await consumer.settle([SettleRequest(taken[1].receipt, .retry(after: .zero, error: "e"))])
        #expect(retried[0].error?.code == .unavailable)
        try server.cli("CONFIG", "SET", "maxmemory", "0")
        try await consumer.settle(taken[1], .retry(after: .zero, error: "e"))
        let outcomes = try await queue.publish([Message(text: "x", id: "x")], to: "orders")
        guard case .accepted? = outcomes.first else {
            Issue.record("a refused message was taken for known: \(outcomes)")
            return
        }
        await queue.close()
    }

    /// A replica that cannot write.
    @Test func readOnly() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try await queue.declare(definition())
        try server.cli("REPLICAOF", "127.0.0.1", String(try PrivateRedis.freePort()))
        let error = await #expect(throws: QueueError.self) {
            try await queue.publish(Message(text: "x", id: "x"), to: "orders")
        }
        #expect(error?.code == .unavailable && error?.isRetryable == true)
        try server.cli("REPLICAOF", "NO", "ONE")
        try await queue.publish(Message(text: "x", id: "x"), to: "orders")
        await queue.close()
    }

    /// A key of another type is in the way: one clear error, nothing changed.
    @Test func wrongType() async throws {
        let server = try PrivateRedis()
        let queue = try server.makeQueue()
        try server.cli("SET", "orders", "mine")
        let conflict = await #expect(throws: QueueError.self) { try await queue.declare(definition()) }
        #expect(conflict?.code == .topologyConflict)
        #expect(conflict?.message.contains("string") == true)
        #expect(try server.cli("GET", "orders") == "mine")
        #expect(try server.cli("DBSIZE") == "1")
        await queue.close()
    }
}
