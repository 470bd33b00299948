import Messaging

/// Measures a backend, on queues that it makes and deletes.
///
/// It runs one measurement at a time. Cancelling the task ends a run between two calls to the broker, and the queues are
/// deleted all the same.
public struct BenchmarkRunner: Sendable {
    /// Opens a client of the library alone for a queue of this name.
    public typealias Baseline = @Sendable (_ queue: String) -> any Contender

    let queue: any MessageQueue
    let settings: BenchmarkSettings
    let progress: @Sendable (BenchmarkProgress) -> Void
    let queues: BenchmarkQueues
    private let baseline: (open: Baseline, needsQueue: Bool)?

    /// Creates a runner.
    ///
    /// - Parameters:
    ///   - queue: The backend.
    ///   - settings: What to measure with.
    ///   - baseline: What to measure beside it, and whether its queue is declared by the backend before; none by default.
    ///   - report: Told of a queue that could not be deleted.
    ///   - progress: Told how far the run is.
    /// - Throws: `QueueError` with the code `invalidArgument` when the settings cannot be used.
    public init(
        _ queue: any MessageQueue,
        settings: BenchmarkSettings,
        baseline: (open: Baseline, needsQueue: Bool)? = nil,
        report: @escaping @Sendable (String) -> Void,
        progress: @escaping @Sendable (BenchmarkProgress) -> Void = { _ in }
    ) throws(QueueError) {
        try settings.validate()
        guard baseline == nil || settings.pairs >= BenchmarkSettings.fewestPairs else {
            throw QueueError(
                .invalidArgument,
                "a ratio needs at least \(BenchmarkSettings.fewestPairs) pairs, not \(settings.pairs)"
            )
        }
        self.queue = queue
        self.settings = settings
        self.baseline = baseline
        self.progress = progress
        queues = BenchmarkQueues(queue: queue, report: report)
    }

    // MARK: - Throughput

    /// Measures publishing, and consuming with acknowledging, in turns with the baseline if there is one.
    ///
    /// - Returns: The results of `publish` and `consume`.
    /// - Throws: `QueueError`, or `CancellationError`.
    public func throughput() async throws -> [WorkloadResult] {
        try await queues.with(as: { settings.definition($0) }) { names in
            let ours = QueueContender(queue, target: names[0], settings)
            do {
                let results = try await withBaseline { theirs in
                    [try await publish(ours, theirs), try await consume(ours, theirs)]
                }
                await ours.close()
                return results
            } catch {
                await ours.close()
                throw error
            }
        }
    }

    private func withBaseline<Result: Sendable>(
        _ body: ((any Contender)?) async throws -> Result
    ) async throws -> Result {
        guard let baseline else { return try await body(nil) }
        return try await queues.with(baseline.needsQueue ? 1 : 0, as: { QueueDefinition($0) }) { names in
            let theirs = baseline.open(names.first ?? BenchmarkQueues.name())
            do {
                let result = try await body(theirs)
                await theirs.close()
                return result
            } catch {
                await theirs.close()
                throw error
            }
        }
    }

    /// Batch by batch in turns, so that both meet the same moments of the machine.
    private func publish(_ ours: QueueContender, _ theirs: (any Contender)?) async throws -> WorkloadResult {
        var measured = Measured(settings.part)
        for part in 0...settings.pairs {
            progress(BenchmarkProgress(step: "publish", done: part, total: settings.pairs + 1))
            var (mine, plain, processor) = (Duration.zero, Duration.zero, 0.0)
            var left = settings.part
            var turn = 0
            while left > 0 {
                let size = min(left, settings.batch)
                if turn % 2 == 1, let theirs { plain += try await theirs.publish(size) }
                let before = ProcessUsage.processorTime()
                mine += try await ours.publish(size)
                processor += ProcessUsage.processorTime() - before
                if turn % 2 == 0, let theirs { plain += try await theirs.publish(size) }
                left -= size
                turn += 1
            }
            if part > 0 {
                measured.add(
                    Taken(count: settings.part, time: mine),
                    theirs.map { _ in Taken(count: settings.part, time: plain) },
                    processor
                )
            }
        }
        return try measured.result("publish")
    }

    /// Part by part in turns: while the one is measured, the broker fills the other's window.
    private func consume(_ ours: QueueContender, _ theirs: (any Contender)?) async throws -> WorkloadResult {
        var measured = Measured(settings.part)
        var left = (settings.pairs + 1) * settings.part
        for part in 0...settings.pairs where left > 0 {
            progress(BenchmarkProgress(step: "consume", done: part, total: settings.pairs + 1))
            var plain: Taken?
            if part % 2 == 1 { plain = try await theirs?.consume(settings.part) }
            let before = ProcessUsage.processorTime()
            // Several consumers may have got a few more before.
            let mine = try await ours.consume(min(left, settings.part))
            let processor = ProcessUsage.processorTime() - before
            left -= mine.count
            if part % 2 == 0 { plain = try await theirs?.consume(settings.part) }
            if part > 0 { measured.add(mine, plain, processor) }
        }
        return try measured.result("consume")
    }

    // MARK: - Workers

    /// Measures a worker whose handler does nothing: on messages that wait, then on messages that are published meanwhile.
    ///
    /// - Returns: The results of `worker` and `end-to-end`.
    /// - Throws: `QueueError`, or `CancellationError`.
    public func workers() async throws -> [WorkloadResult] {
        [try await worker("worker", whilePublishing: false), try await worker("end-to-end", whilePublishing: true)]
    }

    private func worker(_ name: String, whilePublishing: Bool) async throws -> WorkloadResult {
        progress(BenchmarkProgress(step: name, done: 0, total: 1))
        let counter = HandledCounter(part: settings.part, parts: settings.pairs + 1)
        let total = settings.part * (settings.pairs + 1)
        return try await queues.with(as: { settings.definition($0) }) { names in
            let target = names[0]
            let publisher = QueueContender(queue, target: target, settings)
            if !whilePublishing { _ = try await publisher.publish(total) }
            let workers = Workers(queue: queue, target: target, settings: settings, concurrency: settings.batch)
            let (settings, before) = (settings, ProcessUsage.processorTime())
            try await workers.run { _ in
                counter.countOne()
            } while: {
                if whilePublishing { _ = try await publisher.publish(total) }
                try await counter.wait(settings.patience)
            }
            let processor = (ProcessUsage.processorTime() - before) / Double(total) * 1e6
            guard let rate = Spread(counter.rates) else { throw Measured.nothing(name) }
            return WorkloadResult(name: name, messages: settings.part, rate: rate, processorTime: processor)
        }
    }

    // MARK: - Latency

    /// Measures the time from a publisher to a worker's handler, at the fixed rate of the settings.
    ///
    /// - Returns: The percentiles.
    /// - Throws: `QueueError`, or `CancellationError`.
    public func latency() async throws -> LatencyResult {
        progress(BenchmarkProgress(step: "latency", done: 0, total: 1))
        let load = PacedLoad(settings)
        var result = try await queues.with(as: { settings.definition($0) }) { names in
            let (queue, target) = (queue, names[0])
            let workers = Workers(queue: queue, target: target, settings: settings, concurrency: 16)
            try await workers.run {
                load.received($0)
            } while: {
                try await load.send(to: queue, target)
            }
            guard let result = load.result else { throw Measured.nothing("latency") }
            return result
        }
        if baseline != nil { result.plain = try await roundTrips() }
        return result
    }

    /// What the client library alone takes for single messages at the same rate: one that follows the last at once finds a
    /// machine that is awake.
    private func roundTrips() async throws -> LatencySummary? {
        try await withBaseline { theirs in
            guard let theirs else { return nil }
            var recorder = LatencyRecorder()
            let count = min(settings.paced, 500)
            let warmUp = min(20, count)
            let (schedule, start) = (SendSchedule(rate: settings.rate), ContinuousClock.now)
            for number in -warmUp..<count {
                try await schedule.wait(for: number + warmUp, since: start)
                let time = try await theirs.publish(1) + theirs.consume(1).time
                if number >= 0 { recorder.record(time) }
            }
            return recorder.summary
        }
    }
}

/// The measurements of one workload.
private struct Measured {
    private let part: Int
    private var ours: [Double] = []
    private var theirs: [Double] = []
    private var processor: [Double] = []

    init(_ part: Int) { self.part = part }

    static func nothing(_ name: String) -> QueueError {
        QueueError(.brokerError, "the workload '\(name)' was too short to be measured; give it more messages")
    }

    mutating func add(_ mine: Taken, _ plain: Taken?, _ seconds: Double) {
        ours.append(mine.rate)
        processor.append(seconds / Double(max(1, mine.count)) * 1e6)
        if let plain { theirs.append(plain.rate) }
    }

    func result(_ name: String) throws -> WorkloadResult {
        guard let rate = Spread(ours) else { throw Self.nothing(name) }
        let pairs = zip(ours, theirs).map { (ours: $0, theirs: $1) }
        return WorkloadResult(
            name: name,
            messages: part,
            rate: rate,
            plainRate: Spread(theirs),
            ratio: Spread(Spread.ratios(pairs)),
            processorTime: Spread(processor)?.median
        )
    }
}
