import BrokerSupport
import Foundation
import Messaging
import MessagingKafka
import TestSupport
import Testing

@Suite(
    "Members of a Kafka group",
    .enabled(if: PrivateKafka.isInstalled, "\(PrivateKafka.unwanted)"),
    .serialized,
    .timeLimit(.minutes(5))
)
struct KafkaMemberTests {
    private func open(_ server: PrivateKafka, _ options: String = "") throws -> KafkaQueue {
        KafkaQueue(try KafkaConfiguration(url: server.url + options), logger: silent)
    }

    private func take(_ count: Int, from consumer: any QueueConsumer) async throws -> [Delivery] {
        var taken: [Delivery] = []
        let deadline = ContinuousClock.now + .seconds(30)
        while taken.count < count, ContinuousClock.now < deadline {
            taken += try await consumer.receive(max: min(500, count - taken.count), wait: .seconds(1))
        }
        return taken
    }

    /// Takes and acknowledges one at a time, as what a refused commit left behind must be.
    private func handle(_ count: Int, with consumer: any QueueConsumer) async throws -> [Delivery] {
        var handled: [Delivery] = []
        let deadline = ContinuousClock.now + .seconds(30)
        while handled.count < count, ContinuousClock.now < deadline {
            for delivery in try await consumer.receive(max: 1, wait: .seconds(1)) {
                handled.append(delivery)
                _ = try await consumer.settle([SettleRequest(delivery.receipt, .acknowledge)])
            }
        }
        return handled
    }

    @Test("members that join, leave and are dropped lose nothing, and repeat only what was in flight")
    func churn() async throws {
        let server = try PrivateKafka()
        let producer = try open(server)
        try await producer.declare(QueueDefinition("work", groups: [GroupDefinition("g")]))
        let messages = (0..<600).map { Message(text: "\($0)", key: "\($0 % 50)") }
        let handled = Handled()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for start in stride(from: 0, to: messages.count, by: 20) {
                    for outcome in try await producer.publish(Array(messages[start..<start + 20]), to: "work") {
                        #expect(outcome.isConfirmed)
                    }
                    try await Task.sleep(for: .milliseconds(50))
                }
            }
            for member in 0..<3 {
                group.addTask {
                    // Each comes and goes some times while messages flow.
                    for round in 0..<3 {
                        let client = try self.open(server)
                        let consumer = try await client.consume("work", group: "g", consumer: "\(member)-\(round)")
                        let end = ContinuousClock.now + .milliseconds(700 + 200 * member)
                        while ContinuousClock.now < end {
                            for delivery in try await consumer.receive(max: 5, wait: .milliseconds(100)) {
                                await handled.add(delivery.message.id)
                                _ = try await consumer.settle([SettleRequest(delivery.receipt, .acknowledge)])
                            }
                        }
                        await client.close()
                    }
                }
            }
            try await group.waitForAll()
        }
        let last = try await producer.consume("work", group: "g", consumer: "last")
        let deadline = ContinuousClock.now + .seconds(30)
        while await handled.ids.count < messages.count, ContinuousClock.now < deadline {
            for delivery in try await last.receive(max: 100, wait: .milliseconds(500)) {
                await handled.add(delivery.message.id)
                _ = try await last.settle([SettleRequest(delivery.receipt, .acknowledge)])
            }
        }
        #expect(await handled.ids == Set(messages.map(\.id)))
        // The stand-in refuses commits as soon as somebody leaves, which Apache Kafka takes until the group has a new
        // generation: so what was settled since the last commit comes again, too.
        let repeats = await handled.repeats
        print("members that come and go: \(repeats) of \(messages.count) messages came again")
        #expect(repeats < messages.count)
        await producer.close()
    }

    private actor Handled {
        private(set) var ids: Set<MessageID> = []
        private(set) var repeats = 0

        func add(_ id: MessageID) { if !ids.insert(id).inserted { repeats += 1 } }
    }

    @Test(
        "a client that leaves while another joins does not make it wait for a session",
        // Before it has heard of the other, and while the rebalance waits for what its consumer holds: it hears within 1.5 s
        // and waits for 3 s.
        arguments: [300, 2000]
    )
    func leaving(_ pause: Int) async throws {
        let server = try PrivateKafka()
        let first = try open(server)
        try await first.declare(QueueDefinition("work", groups: [GroupDefinition("g")]))
        _ = try await first.publish((0..<10).map { Message(text: "\($0)", key: "\($0)") }, to: "work")
        let leaver = try await first.consume("work", group: "g", consumer: "first")
        #expect(try await take(10, from: leaver).count == 10)
        // The stand-in takes no commit once another joins, and an attempt that was never committed does not count.
        let isCommitted = try await eventually(within: .seconds(10)) {
            try await first.statistics(of: "work").groups.first?.inFlight.value == 10
        }
        #expect(isCommitted)
        let second = try open(server)
        async let joining = second.consume("work", group: "g", consumer: "second")
        try await Task.sleep(for: .milliseconds(pause))
        let start = ContinuousClock.now
        await first.close()
        let consumer = try await joining
        let handled = try await handle(10, with: consumer)
        #expect(handled.count == 10 && handled.allSatisfy { $0.attempt == 2 })
        #expect(ContinuousClock.now - start < .seconds(6), "that is a session")
        await second.close()
    }

    @Test(
        "messages that nobody here asks for go to the other members, and come here again when somebody asks",
        // Without a rebalance under way, and while one waits for what the consumer holds.
        arguments: [1, 2]
    )
    func neglected(_ limit: Int) async throws {
        let server = try PrivateKafka()
        let idle = try open(server, "&poll_timeout=\(limit)&partitions=1")
        try await idle.declare(QueueDefinition("work", groups: [GroupDefinition("g")]))
        _ = try await idle.publish((0..<6).map { Message(text: "\($0)") }, to: "work")
        let sleeper = try await idle.consume("work", group: "g", consumer: "sleeper")
        #expect(try await take(1, from: sleeper).count == 1)
        let busy = try open(server, "&partitions=1")
        let worker = try await busy.consume("work", group: "g", consumer: "worker")
        // The lease is far longer than this test takes.
        let handled = try await handle(6, with: worker)
        #expect(Set(handled.compactMap(\.message.text)).count == 6)
        await busy.close()
        _ = try await idle.publish([Message(text: "again")], to: "work")
        let again = try await take(1, from: sleeper)
        #expect(again.map(\.message.text) == ["again"])
        await idle.close()
    }

    @Test("a member hears that another client deletes its queue")
    func deletion() async throws {
        let server = try PrivateKafka()
        let queue = try open(server)
        try await queue.declare(QueueDefinition("work", groups: [GroupDefinition("g")]))
        let consumer = try await queue.consume("work", group: "g", consumer: "c")
        _ = try await queue.publish((0..<3).map { Message(text: "\($0)") }, to: "work")
        let held = try await take(1, from: consumer)
        let other = try open(server)
        #expect(try await other.deleteQueue("work"))
        #expect(try await other.queues().isEmpty)
        let error = await #expect(throws: QueueError.self) {
            _ = try await consumer.settle(held.map { SettleRequest($0.receipt, .acknowledge) })
        }
        #expect(error?.code == .topologyLost)
        await other.close()
        await queue.close()
    }

    @Test("a topic that was deleted by hand is told, and one that was made anew is read from its beginning")
    func madeAnew() async throws {
        let server = try PrivateKafka()
        let program = try #require(PrivateKafka.python, "confluent-kafka is not installed; make test-kafka installs it")
        func administer(_ call: String) throws {
            let script = """
                import sys
                from confluent_kafka.admin import AdminClient, NewTopic
                admin = AdminClient({"bootstrap.servers": sys.argv[1]})
                print([future.result(10) for future in \(call).values()])
                """
            _ = try PrivateKafka.run(program, ["-c", script, "127.0.0.1:\(server.port)"])
        }
        let definition = QueueDefinition("work", groups: [GroupDefinition("g")])
        let first = try open(server, "&partitions=1")
        try await first.declare(definition)
        _ = try await first.publish((0..<20).map { Message(text: "old \($0)") }, to: "work")
        let consumer = try await first.consume("work", group: "g", consumer: "c")
        #expect(try await handle(20, with: consumer).count == 20)
        await first.close()
        try administer("admin.delete_topics(['work'])")
        let second = try open(server, "&partitions=1")
        let error = await #expect(throws: QueueError.self) { try await second.declare(definition) }
        #expect(error?.code == .topologyLost && error?.message.contains("delete the queue") == true, "\(error as Any)")
        try administer("admin.create_topics([NewTopic('work', 1, 1)])")
        let publisher = try open(server, "&partitions=1")
        for outcome in try await publisher.publish((0..<5).map { Message(text: "new \($0)") }, to: "work") {
            #expect(outcome.error == nil)
        }
        let next = try await publisher.consume("work", group: "g", consumer: "c")
        #expect(try await handle(5, with: next).compactMap(\.message.text) == (0..<5).map { "new \($0)" })
        await publisher.close()
        await second.close()
    }

    @Test("a topic that loses messages by its settings is no queue")
    func drift() async throws {
        let server = try PrivateKafka()
        let program = try #require(PrivateKafka.python, "confluent-kafka is not installed; make test-kafka installs it")
        let script = """
            import sys
            from confluent_kafka.admin import AdminClient, NewTopic
            admin = AdminClient({"bootstrap.servers": sys.argv[1]})
            topic = NewTopic("work", 1, 1, config={"retention.ms": "60000"})
            print([future.result(10) for future in admin.create_topics([topic]).values()])
            """
        _ = try PrivateKafka.run(program, ["-c", script, "127.0.0.1:\(server.port)"])
        let queue = try open(server)
        let error = await #expect(throws: QueueError.self) { try await queue.declare(QueueDefinition("work")) }
        #expect(
            error?.code == .topologyConflict && error?.message.contains("retention.ms=60000") == true,
            "\(error as Any)"
        )
        #expect(try await queue.queues().isEmpty)
        await queue.close()
    }

    @Test("what every group has finished is removed, what one still needs stays")
    func retention() async throws {
        let server = try PrivateKafka()
        let queue = try open(server, "&clean_interval=0.3&partitions=1")
        try await queue.declare(QueueDefinition("work", groups: [GroupDefinition("a"), GroupDefinition("b")]))
        _ = try await queue.publish((0..<50).map { Message(text: "\($0)") }, to: "work")
        let fast = try await queue.consume("work", group: "a", consumer: "a")
        let slow = try await queue.consume("work", group: "b", consumer: "b")
        for delivery in try await take(50, from: fast) { try await fast.acknowledge(delivery) }
        for delivery in try await take(20, from: slow) { try await slow.acknowledge(delivery) }
        let isTrimmed = try await eventually(within: .seconds(20)) {
            try await queue.statistics(of: "work").stored.value == 30
        }
        let stored = try await queue.statistics(of: "work").stored
        #expect(isTrimmed, "\(stored)")
        #expect(try await take(30, from: slow).count == 30)
        await queue.close()
    }

    @Test("a server that stops and starts again costs time and no confirmed message")
    func restart() async throws {
        let server = try PrivateKafka()
        let queue = try open(server)
        try await queue.declare(QueueDefinition("work", groups: [GroupDefinition("g")]))
        let consumer = try await queue.consume("work", group: "g", consumer: "c")
        _ = try await queue.publish((0..<20).map { Message(text: "\($0)") }, to: "work")
        for delivery in try await take(10, from: consumer) { try await consumer.acknowledge(delivery) }
        server.stop()
        async let published = queue.publish((20..<40).map { Message(text: "\($0)") }, to: "work")
        try await Task.sleep(for: .seconds(1))
        try server.start()
        for outcome in try await published { #expect(outcome.isConfirmed, "\(outcome)") }
        var seen = Set<String>()
        let later = Set((20..<40).map { "\($0)" })
        let deadline = ContinuousClock.now + .seconds(60)
        // What was acknowledged when the server stopped may come again, so a count alone says nothing.
        while !seen.isSuperset(of: later) || seen.count < 30, ContinuousClock.now < deadline {
            // While the server is away, receive may say so.
            guard let batch = try? await consumer.receive(max: 50, wait: .seconds(2)) else { continue }
            for delivery in batch {
                seen.insert(delivery.message.text ?? "")
                _ = try await consumer.settle([SettleRequest(delivery.receipt, .acknowledge)])
            }
        }
        #expect(seen.isSuperset(of: later) && seen.count >= 30)
        await queue.close()
    }
}

#if os(Linux)
extension KafkaMemberTests {
    /// The threads of librdkafka in this process.
    private func threads() -> Int {
        let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
        return tasks.count { task in
            let name = try? String(contentsOfFile: "/proc/self/task/\(task)/comm", encoding: .utf8)
            return name?.hasPrefix("rdk:") == true
        }
    }

    @Test("a client that was closed leaves no thread behind, though the topics that it read were deleted")
    func leavesNoThread() async throws {
        let server = try PrivateKafka()
        let before = threads()
        for round in 0..<4 {
            let queue = try open(server)
            let name = "work-\(round)"
            try await queue.declare(QueueDefinition(name, groups: [GroupDefinition("g")]))
            _ = try await queue.publish([Message(text: "a"), Message(text: "b")], to: name)
            let consumer = try await queue.consume(name, group: "g", consumer: "c")
            let rejected = try await take(2, from: consumer).map { delivery in
                SettleRequest(delivery.receipt, .reject(reason: .rejected, error: "no"))
            }
            _ = try await consumer.settle(rejected)
            let letters = try await queue.deadLetters(of: name, matching: DeadLetterFilter(), after: nil, limit: 10)
            #expect(letters.elements.count == 2)
            if round.isMultiple(of: 2) { await consumer.close() }
            _ = try await queue.deleteQueue(name)
            // librdkafka before 2.4 may keep a partition, and its threads, of a client that ends right after the deletion.
            try await Task.sleep(for: .seconds(2))
            await queue.close()
        }
        // A client that stays has four at the least.
        #expect(try await eventually(within: .seconds(20)) { threads() < before + 8 }, "threads that never end")
    }
}
#endif
