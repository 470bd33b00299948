import Messaging
import Synchronization

/// Random work under random faults, both decided by a seed.
///
/// What the clients meet depends on the machine as well, so a seed repeats the work and not the run.
struct FaultChaos {
    private let stage: FaultStage
    private let seed: UInt64

    init(_ harness: any ConformanceHarness, seed: UInt64) async throws {
        stage = try await FaultStage(harness) { $0.groups[0].maxAttempts = 1000 }
        self.seed = seed
    }

    func run() async throws {
        var generator = SeededGenerator(seed: seed)
        let workers = 4
        let course = ChaosCourse()
        var faults = FaultBag(try await possibleFaults())
        let problems = try await withThrowingTaskGroup(of: [String].self) { group in
            for number in 0..<workers {
                let queue = try await number.isMultiple(of: 2) ? stage.faults.makeQueue() : stage.harness.makeQueue()
                let workerSeed = generator.next()
                let stage = stage
                group.addTask {
                    let worker = ChaosWorker(
                        stage: stage,
                        queue: queue,
                        name: "chaos-\(number)",
                        isRemote: number.isMultiple(of: 2)
                    )
                    return try await worker.run(SeededGenerator(seed: workerSeed), course)
                }
            }
            let start = stage.harness.now
            while stage.harness.now - start < stage.faults.chaosTime {
                course.reach((stage.harness.now - start) / stage.faults.chaosTime)
                let fault = faults.draw(&generator)
                try await fault?(Int.random(in: 0...400, using: &generator), course)
                try await pass(Int.random(in: 1...4, using: &generator), course)
                try await stage.faults.proxy().apply(.none)
                try await pass(Int.random(in: 0...4, using: &generator), course)
            }
            course.end()
            var problems: [String] = []
            for try await found in group { problems += found }
            return problems
        }
        try expect(problems.isEmpty, problems.prefix(5).joined(separator: "\n"))
        let judge = try await stage.consumer("judge")
        _ = try await stage.drain(judge, within: .seconds(60))
        await judge.close()
        // Figures leave room for what is unknown; that each confirmed message came at least once does not.
        let letters = Set(try await stage.stage.deadLetters(page: 100).map(\.message.id))
        let lost = stage.history.accepted.subtracting(stage.history.delivered).subtracting(letters)
        try expect(lost.isEmpty, "\(lost.count) confirmed messages never came: \(lost.prefix(5).map(\.rawValue))")
        // Here, so that a failure names the seed.
        try await stage.checkHistory()
    }

    /// Lets some time pass, in which the workers get something done also on a manual clock.
    private func pass(_ steps: Int, _ course: ChaosCourse) async throws {
        // Where a call fails at once, only a busy machine keeps the workers from their steps: a fault must not be over
        // before they have met it. Elsewhere what is broken keeps them, and the time has passed already.
        // Bounded in all, so that the case still ends in time where nothing works.
        let patience: Duration = stage.faults.patience == .zero ? .seconds(2) : .zero
        for _ in 0..<steps {
            let met = course.met
            try await stage.harness.advance(by: stage.stage.unit / 2)
            let now = ContinuousClock.now
            let end = max(now + .milliseconds(50), min(now + patience, course.begun + .seconds(10)))
            while course.met < met + 4, !course.isHeld, ContinuousClock.now < end {
                try await Task.sleep(for: .milliseconds(1))
            }
        }
    }

    /// What can be broken here, each with a number that says where or how long.
    private func possibleFaults() async throws -> [FaultBag.Fault] {
        let stage = stage
        let proxy = try await stage.faults.proxy()
        var found: [FaultBag.Fault] = [
            { number, _ in try await proxy.apply(.cut(.requests, after: number)) },
            { number, _ in try await proxy.apply(.cut(.replies, after: number / 8)) },
            { _, _ in try await proxy.apply(.drop(.replies)) },
            { _, _ in try await proxy.apply(.silence([.requests, .replies])) },
            { _, _ in try await proxy.apply(.silence([.replies])) },
            { number, _ in try await proxy.apply(.delay(.milliseconds(number / 8))) },
            { _, _ in try await proxy.apply(.halfClose(.requests)) },
            { _, _ in try await proxy.apply(.refuse) },
            { _, _ in try await proxy.resetConnections() },
        ]
        do {
            try await stage.faults.broker(.pause)
            try await stage.faults.broker(.resume)
            found.append { _, course in
                try await stage.faults.broker(.pause)
                try await pass(2, course)
                try await stage.faults.broker(.resume)
            }
        } catch is NotPossible {}
        if case .window = try await stage.stage.queue.capabilities().durability { return found }
        do {
            try await stage.faults.broker(.kill)
            try await stage.faults.broker(.start)
            found.append { _, course in
                try await stage.faults.broker(.kill)
                try await pass(1, course)
                try await stage.faults.broker(.start)
            }
        } catch is NotPossible {}
        return found
    }
}

/// The faults, drawn in a random order and each as often as the others: which ones a run has met is not left to luck.
private struct FaultBag {
    typealias Fault = @Sendable (Int, ChaosCourse) async throws -> Void

    private let all: [Fault]
    private var left: [Fault] = []

    init(_ all: [Fault]) { self.all = all }

    mutating func draw(_ generator: inout SeededGenerator) -> Fault? {
        if left.isEmpty { left = all.shuffled(using: &generator) }
        return left.popLast()
    }
}

/// What the workers share: the numbers of their messages, and when to end.
private final class ChaosCourse: Sendable {
    /// How many steps the workers take in all: a history is judged in one go, and must stay small enough for that.
    private static let steps = 4000
    /// How far they may be ahead of the time.
    private static let ahead = 200

    let begun = ContinuousClock.now
    private let state = Mutex((next: 0, hasEnded: false, taken: 0, met: 0, allowed: ahead))

    var hasEnded: Bool { state.withLock { $0.hasEnded } }
    /// How many steps have ended of the workers that the faults between clients and broker can happen to.
    var met: Int { state.withLock { $0.met } }
    /// Whether there is no step to be taken before more time has passed.
    var isHeld: Bool { state.withLock { $0.taken >= $0.allowed } }

    func end() { state.withLock { $0.hasEnded = true } }

    /// Allows as many steps as belong to a part of the time.
    func reach(_ part: Double) {
        state.withLock { $0.allowed = Int(part * Double(Self.steps)) + Self.ahead }
    }

    /// Takes a step, if there is one to be taken now.
    func step() -> Bool {
        state.withLock { state in
            guard state.taken < state.allowed else { return false }
            state.taken += 1
            return true
        }
    }

    func countMet() { state.withLock { $0.met += 1 } }

    /// Takes some numbers; returns the first.
    func take(_ count: Int) -> Int {
        state.withLock { state in
            defer { state.next += count }
            return state.next
        }
    }
}

/// One client of the chaos: publishes, receives, settles in every way, redrives, and comes and goes.
private struct ChaosWorker {
    let stage: FaultStage
    let queue: any MessageQueue
    let name: String
    /// Whether it reaches the broker through the proxy.
    let isRemote: Bool

    /// Works until it is told to stop.
    ///
    /// - Returns: Errors that no fault explains.
    func run(
        _ generator: SeededGenerator,
        _ course: ChaosCourse
    ) async throws -> [String] {
        var generator = generator
        var problems: [String] = []
        var consumer: (any QueueConsumer)?
        while !course.hasEnded {
            // A broker is to be broken, not to be kept busy.
            try await Task.sleep(for: .milliseconds(5))
            guard course.step() else { continue }
            defer { if isRemote { course.countMet() } }
            do throws(QueueError) {
                switch Int.random(in: 0..<40, using: &generator) {
                case 0...13:
                    let count = Int.random(in: 1...3, using: &generator)
                    let first = course.take(count)
                    let messages = stage.messages(first..<(first + count))
                    _ = try await queue.publish(messages, to: stage.name)
                case 14...37:
                    if consumer == nil {
                        consumer = try await queue.consume(stage.name, group: "workers", consumer: name)
                    }
                    guard let consumer else { continue }
                    try await handle(try await consumer.receive(max: 5, wait: .zero), by: consumer, &generator)
                case 38:
                    let page = try await queue.deadLetters(of: stage.name, matching: .all, after: nil, limit: 3)
                    _ = try await queue.redrive(page.elements.map(\.id), of: stage.name)
                default:
                    await consumer?.close()
                    consumer = nil
                }
            } catch {
                let explained: Set<QueueError.Code> = [.unavailable, .indeterminate, .leaseLost]
                if !explained.contains(error.code) { problems.append("\(name): \(error)") }
            }
        }
        await consumer?.close()
        return problems
    }

    private func handle(
        _ deliveries: [Delivery],
        by consumer: any QueueConsumer,
        _ generator: inout SeededGenerator
    ) async throws(QueueError) {
        var requests: [SettleRequest] = []
        for delivery in deliveries {
            switch Int.random(in: 0..<12, using: &generator) {
            case 0...5: requests.append(SettleRequest(delivery.receipt, .acknowledge))
            case 6: requests.append(SettleRequest(delivery.receipt, .retry(after: .zero, error: "now")))
            case 7: requests.append(SettleRequest(delivery.receipt, .retry(after: stage.stage.unit, error: "later")))
            case 8: requests.append(SettleRequest(delivery.receipt, .release))
            case 9: requests.append(SettleRequest(delivery.receipt, .reject(reason: .rejected, error: "no")))
            case 10: _ = try await consumer.renew([delivery.receipt])
            // Held until the lease ends.
            default: break
            }
        }
        if !requests.isEmpty { _ = try await consumer.settle(requests) }
    }
}
