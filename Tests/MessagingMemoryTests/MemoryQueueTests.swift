import Messaging
import MessagingMemory
import Synchronization
import TestSupport
import Testing

/// What several tasks of a test note.
private final class Notes: Sendable {
    private let lines = Mutex<[String]>([])
    var all: [String] { lines.withLock { $0 } }
    func add(_ line: String) { lines.withLock { $0.append(line) } }
}

@Suite("The memory queue waits, wakes and gives back", .timeLimit(.minutes(3)))
struct MemoryQueueTests {
    private let clock = ManualClock()
    private let queue: MemoryQueue

    init() { queue = MemoryQueue(clock: clock.queueClock) }

    private func declare(_ change: (inout QueueDefinition) -> Void = { _ in }) async throws {
        var definition = QueueDefinition("q", groups: [GroupDefinition("g", lease: .seconds(10))])
        change(&definition)
        try await queue.declare(definition)
    }

    /// Starts a receive and returns once it sleeps.
    private func waiting(
        _ consumer: any QueueConsumer,
        max: Int = 10,
        wait: Duration = .seconds(1000)
    ) async -> Task<[Delivery], any Error> {
        let task = Task { try await consumer.receive(max: max, wait: wait) }
        await clock.waitForSleepers(1)
        return task
    }

    @Test("a waiting receive is woken by a publish, without time passing")
    func wokenByPublish() async throws {
        try await declare()
        let consumer = try await queue.consume("q", group: "g", consumer: "c")
        let task = await waiting(consumer)
        try await queue.publish(Message(text: "a"), to: "q")
        #expect(try await task.value.map(\.message.text) == ["a"])
        #expect(clock.now == .zero)
    }

    @Test("a waiting receive is woken by a due message, a retry, an expired lease, a release and a redrive")
    func wokenByTime() async throws {
        try await declare()
        let first = try await queue.consume("q", group: "g", consumer: "first")
        let second = try await queue.consume("q", group: "g", consumer: "second")
        try await queue.publish(Message(text: "a", due: .after(.seconds(5))), to: "q")
        var task = await waiting(first)
        clock.advance(by: .seconds(5))
        var delivery = try #require(try await task.value.first)

        try await first.settle(delivery, .retry(after: .seconds(7), error: nil))
        task = await waiting(first)
        clock.advance(by: .seconds(7))
        delivery = try #require(try await task.value.first)
        #expect(delivery.attempt == 2)

        task = await waiting(second)
        clock.advance(by: .seconds(10))
        delivery = try #require(try await task.value.first)
        #expect(delivery.attempt == 3)

        task = await waiting(first)
        try await second.settle(delivery, .release)
        delivery = try #require(try await task.value.first)
        #expect(delivery.attempt == 3)

        try await first.settle(delivery, .reject(reason: .rejected, error: nil))
        task = await waiting(first)
        let letters = try await queue.deadLetters(of: "q", matching: .all, after: nil, limit: 1)
        _ = try await queue.redrive(letters.elements.map(\.id), of: "q")
        #expect(try await task.value.map(\.attempt) == [1])
    }

    @Test("a receive gives up when its time has passed, and leaves nothing behind")
    func givesUp() async throws {
        try await declare()
        let consumer = try await queue.consume("q", group: "g", consumer: "c")
        let task = await waiting(consumer, wait: .seconds(3))
        clock.advance(by: .seconds(3))
        #expect(try await task.value.isEmpty)
        try await queue.publish(Message(text: "a"), to: "q")
        #expect(try await consumer.receive(max: 1, wait: .zero).map(\.attempt) == [1])
    }

    @Test("who waits longest is served first")
    func fair() async throws {
        let (base, alarms) = (clock.queueClock, Notes())
        let noting = QueueClock(now: base.now, date: base.date) { deadline in
            alarms.add("\(deadline)")
            try await base.sleep(until: deadline)
        }
        let queue = MemoryQueue(clock: noting)
        try await queue.declare(QueueDefinition("q", groups: [GroupDefinition("g", lease: .seconds(10))]))
        let consumer = try await queue.consume("q", group: "g", consumer: "c")
        let order = Notes()
        var tasks: [Task<Void, any Error>] = []
        for index in 0..<5 {
            tasks.append(
                Task {
                    let batch = try await consumer.receive(max: 1, wait: .seconds(1000 - index))
                    order.add("\(index) got \(batch.first?.message.text ?? "")")
                }
            )
            // The calls must come one after the other. Each gives up before those in front of it, so the queue sets its
            // alarm anew once the call stands in line.
            #expect(try await eventually { alarms.all.count == index + 1 })
        }
        for index in 0..<5 {
            try await queue.publish(Message(text: "\(index)"), to: "q")
            try await tasks[index].value
        }
        #expect(order.all == (0..<5).map { "\($0) got \($0)" })
    }

    @Test("a cancelled receive ends at once and leaves nothing leased")
    func cancelled() async throws {
        try await declare()
        let consumer = try await queue.consume("q", group: "g", consumer: "c")
        let task = await waiting(consumer)
        task.cancel()
        let error = await #expect(throws: QueueError.self) { try await task.value }
        #expect(error?.code == .cancelled)
        try await queue.publish(Message(text: "a"), to: "q")
        let figures = try await queue.statistics(of: "q")["g"]
        #expect(figures?.ready == .exact(1))
        #expect(figures?.inFlight == .exact(0))
    }

    @Test("closing wakes who waits, and only the consumers of that client")
    func closing() async throws {
        try await declare()
        let other = queue.makeClient()
        let mine = try await queue.consume("q", group: "g", consumer: "mine")
        let theirs = try await other.consume("q", group: "g", consumer: "theirs")
        let waiters = [await waiting(mine), await waiting(mine)]
        let open = await waiting(theirs)
        await queue.close()
        for waiter in waiters {
            let error = await #expect(throws: QueueError.self) { try await waiter.value }
            #expect(error?.code == .closed)
        }
        #expect(try await other.statistics(of: "q")["g"]?.consumers == .exact(1))
        try await other.publish(Message(text: "a"), to: "q")
        #expect(try await open.value.count == 1)
    }

    @Test("a consumer that is dropped leaves its group")
    func dropped() async throws {
        try await declare()
        try await queue.publish(Message(text: "a"), to: "q")
        do {
            let consumer = try await queue.consume("q", group: "g", consumer: "c")
            #expect(try await consumer.receive(max: 1, wait: .zero).count == 1)
            #expect(try await queue.statistics(of: "q")["g"]?.consumers == .exact(1))
        }
        let figures = try await queue.statistics(of: "q")["g"]
        #expect(figures?.consumers == .exact(0))
        #expect(figures?.ready == .exact(1))
    }

    @Test("after 100,000 messages to three groups nothing is left")
    func noGrowth() async throws {
        try await declare {
            $0.groups = ["a", "b", "c"].map { GroupDefinition($0, lease: .seconds(3000)) }
            $0.dedupeWindow = .seconds(60)
        }
        let count = 100_000
        for start in stride(from: 0, to: count, by: 1000) {
            _ = try await queue.publish((start..<start + 1000).map { Message(text: "\($0)") }, to: "q")
        }
        for group in ["a", "b", "c"] {
            let consumer = try await queue.consume("q", group: group, consumer: "c")
            var handled = 0
            while case let batch = try await consumer.receive(max: 1000, wait: .zero), !batch.isEmpty {
                if handled == 0 { #expect(batch.map(\.message.text) == (0..<1000).map { "\($0)" }) }
                handled += batch.count
                _ = try await consumer.settle(batch.map { SettleRequest($0.receipt, .acknowledge) })
            }
            #expect(handled == count)
        }
        clock.advance(by: .seconds(60))
        let statistics = try await queue.statistics(of: "q")
        #expect(statistics.stored == .exact(0))
        #expect(statistics.groups.map(\.lag) == [.exact(0), .exact(0), .exact(0)])
    }

    @Test("many producers and consumers at once lose and double nothing", arguments: [false, true])
    func concurrent(isKeyed: Bool) async throws {
        let queue = MemoryQueue()
        let count = 4000
        try await queue.declare(
            QueueDefinition("q", groups: [GroupDefinition("g")], ordering: isKeyed ? .keyed : .unordered)
        )
        let seen = Notes()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for producer in 0..<4 {
                group.addTask {
                    for index in 0..<count / 4 {
                        let key = isKeyed ? "\(index % 10)" : nil
                        try await queue.publish(Message(text: "\(producer)-\(index)", key: key), to: "q")
                    }
                }
            }
            for number in 0..<4 {
                group.addTask {
                    let consumer = try await queue.consume("q", group: "g", consumer: "c\(number)")
                    while seen.all.count < count {
                        let batch = try await consumer.receive(max: 7, wait: .milliseconds(20))
                        for delivery in batch {
                            seen.add(delivery.message.text ?? "")
                            try await consumer.acknowledge(delivery)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(Set(seen.all).count == count && seen.all.count == count)
        #expect(try await queue.statistics(of: "q").stored == .exact(0))
    }

    @Test("arguments outside their range are refused")
    func arguments() async throws {
        try await declare()
        let consumer = try await queue.consume("q", group: "g", consumer: "c")
        for max in [0, 1001] {
            let error = await #expect(throws: QueueError.self) { try await consumer.receive(max: max, wait: .zero) }
            #expect(error?.code == .invalidArgument)
        }
        let limit = await #expect(throws: QueueError.self) {
            try await queue.scheduled(of: "q", after: nil, limit: 0)
        }
        #expect(limit?.code == .invalidArgument)
        let cursor = await #expect(throws: QueueError.self) {
            try await queue.deadLetters(of: "q", matching: .all, after: "x", limit: 1)
        }
        #expect(cursor?.code == .invalidArgument)
        let name = await #expect(throws: QueueError.self) {
            try await queue.consume("q", group: "g", consumer: "a b")
        }
        #expect(name?.code == .invalidName)
    }

    @Test("capabilities name everything but persistence")
    func capabilities() async throws {
        let capabilities = try await MemoryQueue(maxBodyBytes: 5).capabilities()
        #expect(capabilities.maxBodyBytes == 5)
        for feature in Capabilities.Feature.allCases {
            #expect(capabilities[feature].isAvailable == (feature != .persistence))
        }
    }
}
