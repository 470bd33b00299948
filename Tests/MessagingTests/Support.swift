import InMemoryLogging
import Logging
import Messaging
import MessagingMemory
import Synchronization
import TestSupport
import Testing

/// What several tasks of a test note, in order.
final class Notes<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])
    var all: [Element] { elements.withLock { $0 } }
    var count: Int { elements.withLock { $0.count } }
    func add(_ element: Element) { elements.withLock { $0.append(element) } }
}

/// A door that is shut until a test opens it; who waits is let out by cancellation too.
final class Door: Sendable {
    private let state = Atomic(false)

    var isOpen: Bool { state.load(ordering: .acquiring) }

    func open() { state.store(true, ordering: .releasing) }

    /// Waits until the door is open.
    func pass() async throws {
        while !isOpen { try await Task.sleep(for: .milliseconds(1)) }
    }
}

/// Ends the test unless a condition comes to hold.
func expectEventually(
    sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () async throws -> Bool
) async throws {
    try #require(try await eventually(condition), "it did not come to hold", sourceLocation: sourceLocation)
}

/// How many handlers run at the same time, and how many did at most.
final class Gauge: Sendable {
    private let state = Mutex((now: 0, most: 0))
    var now: Int { state.withLock { $0.now } }
    var most: Int { state.withLock { $0.most } }

    func enter() {
        state.withLock { state in
            state.now += 1
            state.most = max(state.most, state.now)
        }
    }

    func leave() { state.withLock { $0.now -= 1 } }
}

/// A queue whose broker fails on demand, and whose settlements a test can look at or change.
final class FlakyQueue: QueueDecorator {
    enum Operation: Sendable, Hashable { case consume, receive, settle, renew, publish }

    struct Behaviour: Sendable {
        /// How often each operation still fails.
        var failures: [Operation: Int] = [:]
        /// What they fail with.
        var error = QueueError(.unavailable, "the broker is away")
        /// Whether everything fails until it is turned off.
        var isDown = false
        /// What becomes of a settlement on its way to the broker.
        var rewrite: @Sendable (SettleRequest) -> SettleRequest = { $0 }
        /// What is answered in place of the broker, once.
        var answer: (@Sendable (SettleRequest) -> SettleOutcome)?
    }

    let base: any MessageQueue
    private let behaviour = Mutex(Behaviour())
    private let counts = Mutex<[Operation: Int]>([:])

    init(_ base: any MessageQueue) { self.base = base }

    func change(_ body: @Sendable (inout Behaviour) -> Void) { behaviour.withLock { body(&$0) } }

    /// How often an operation was called, failed calls included.
    func calls(_ operation: Operation) -> Int { counts.withLock { $0[operation] ?? 0 } }

    fileprivate func check(_ operation: Operation) throws(QueueError) {
        counts.withLock { $0[operation, default: 0] += 1 }
        let error: QueueError? = behaviour.withLock { behaviour in
            if behaviour.isDown { return behaviour.error }
            guard let left = behaviour.failures[operation], left > 0 else { return nil }
            behaviour.failures[operation] = left - 1
            return behaviour.error
        }
        if let error { throw error }
    }

    fileprivate func takeAnswer() -> (@Sendable (SettleRequest) -> SettleOutcome)? {
        behaviour.withLock { behaviour in
            defer { behaviour.answer = nil }
            return behaviour.answer
        }
    }

    fileprivate func rewritten(_ requests: [SettleRequest]) -> [SettleRequest] {
        requests.map(behaviour.withLock { $0.rewrite })
    }

    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        try check(.publish)
        return try await base.publish(messages, to: queue)
    }

    func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        try check(.consume)
        return FlakyConsumer(
            base: try await base.consume(queue, group: group, consumer: consumer, options: options),
            owner: self
        )
    }
}

private struct FlakyConsumer: ConsumerDecorator {
    let base: any QueueConsumer
    let owner: FlakyQueue

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        try owner.check(.receive)
        return try await base.receive(max: max, wait: wait)
    }

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        try owner.check(.settle)
        if let answer = owner.takeAnswer() { return requests.map(answer) }
        return try await base.settle(owner.rewritten(requests))
    }

    func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] {
        try owner.check(.renew)
        return try await base.renew(receipts)
    }
}

/// A failure of a handler.
struct HandlerFailed: Error, CustomStringConvertible {
    let description: String
    init(_ description: String = "it went wrong") { self.description = description }
}

/// A declared queue with one group, and workers on it.
struct Bench: Sendable {
    static let name = "jobs"
    static let group = "workers"
    let clock: ManualClock?
    let memory: MemoryQueue
    let queue: FlakyQueue
    let log = InMemoryLogHandler()

    /// Declares the queue on a broker of its own; time stands still when it is manual.
    static func make(isManual: Bool = false, lease: Duration = .seconds(30)) async throws -> Bench {
        let clock = isManual ? ManualClock() : nil
        let bench = Bench(clock: clock, memory: MemoryQueue(clock: clock?.queueClock ?? .system))
        try await bench.memory.declare(
            QueueDefinition(name, groups: [GroupDefinition(group, lease: lease, maxAttempts: 50)])
        )
        return bench
    }

    private init(clock: ManualClock?, memory: MemoryQueue) {
        self.clock = clock
        self.memory = memory
        queue = FlakyQueue(memory)
    }

    var logger: Logger {
        var handler = log
        handler.logLevel = .trace
        return Logger(label: "test") { [handler] _ in handler }
    }

    func worker(
        _ configuration: WorkerConfiguration = WorkerConfiguration(concurrency: 4),
        on queue: (any MessageQueue)? = nil,
        handler: @escaping Worker.Handler
    ) -> Worker {
        Worker(
            queue: queue ?? self.queue,
            from: Self.name,
            group: Self.group,
            consumer: "worker-1",
            configuration: configuration,
            clock: clock?.queueClock ?? .system,
            logger: logger,
            handler: handler
        )
    }

    /// Runs a worker for the time of a closure, then stops it and waits for its end.
    func running<Result>(_ worker: Worker, _ body: () async throws -> Result) async throws -> Result {
        let task = Task { try await worker.run() }
        do {
            let result = try await body()
            worker.stop()
            try await task.value
            return result
        } catch {
            task.cancel()
            _ = await task.result
            throw error
        }
    }

    func publish(_ count: Int) async throws {
        let messages = (0..<count).map { Message(text: "\($0)") }
        _ = try await memory.publish(messages, to: Self.name)
    }

    func figures() async throws -> GroupStatistics {
        let statistics = try await memory.statistics(of: Self.name)
        guard let figures = statistics[Self.group] else { throw HandlerFailed("no figures") }
        return figures
    }

    func letters(_ filter: DeadLetterFilter = .all) async throws -> [DeadLetter] {
        try await memory.deadLetters(of: Self.name, matching: filter, after: nil, limit: 1000).elements
    }

    /// Whether nothing is left to do.
    func isDone() async throws -> Bool {
        let figures = try await figures()
        return figures.lag == .exact(0)
    }

    /// Lets time pass in steps of half a second until nothing waits for it; between the steps everything that is due
    /// is handled.
    func passTime() async throws {
        guard let clock else { return }
        while true {
            let isSettled = try await eventually {
                let figures = try await figures()
                return figures.ready == .exact(0) && figures.inFlight == .exact(0)
            }
            guard isSettled else { throw HandlerFailed("what is due was not handled") }
            if try await figures().delayed == .exact(0) { return }
            clock.advance(by: .milliseconds(500))
        }
    }
}
