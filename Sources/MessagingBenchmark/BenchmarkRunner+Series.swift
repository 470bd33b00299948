import Messaging

extension BenchmarkRunner {
    /// Measures a series.
    ///
    /// - Parameters:
    ///   - kind: What grows.
    ///   - max: The largest value; `nil` means the usual one.
    /// - Returns: The points.
    /// - Throws: `QueueError`, or `CancellationError`.
    public func series(_ kind: SeriesKind, upTo max: Int? = nil) async throws -> SeriesResult {
        let values = kind.values(upTo: max)
        switch kind {
        case .backlog: return SeriesResult(kind: kind, points: try await backlog(values))
        case .memory: return SeriesResult(kind: kind, points: try await held(values))
        default: break
        }
        var points: [SeriesResult.Point] = []
        for (number, value) in values.enumerated() {
            progress(BenchmarkProgress(step: "\(value) \(kind.label)", done: number, total: values.count))
            points.append(SeriesResult.Point(x: value, values: try await measure(kind, value)))
        }
        return SeriesResult(kind: kind, points: points)
    }

    private func measure(_ kind: SeriesKind, _ value: Int) async throws -> [String: Double] {
        var settings = settings
        switch kind {
        case .consumers: settings.consumers = value
        case .payload:
            settings.size = value
            // A series of large bodies must not fill the broker's memory, nor one call a gigabyte.
            settings.messages = min(settings.messages, max(100, (128 << 20) / value))
            settings.batch = min(settings.batch, max(1, (8 << 20) / value))
        case .batch:
            settings.batch = value
            settings.messages = min(settings.messages, max(1000, 1000 * value))
        case .queues: return try await spread(over: value)
        case .groups: return try await fanOut(to: value)
        case .idle: return try await idle(value)
        case .backlog, .memory: break
        }
        let chosen = settings
        return try await queues.with(as: { chosen.definition($0) }) { names in
            try await Self.rates(QueueContender(queue, target: names[0], chosen), chosen.messages)
        }
    }

    /// Publishes and consumes so many messages, after a tenth that warms up.
    private static func rates(_ contender: QueueContender, _ count: Int) async throws -> [String: Double] {
        let warmUp = max(1, count / 10)
        do {
            _ = try await contender.publish(warmUp)
            let published = Taken(count: count, time: try await contender.publish(count))
            let warm = try await contender.consume(warmUp)
            let consumed = try await contender.consume(count + warmUp - warm.count)
            await contender.close()
            return figures(published, consumed)
        } catch {
            await contender.close()
            throw error
        }
    }

    private static func figures(_ published: Taken, _ consumed: Taken) -> [String: Double] {
        func cost(_ taken: Taken) -> Double { taken.rate > 0 ? 1e6 / taken.rate : 0 }
        return [
            "publish_per_second": published.rate, "consume_per_second": consumed.rate,
            "publish_us": cost(published), "consume_us": cost(consumed),
        ]
    }

    /// The cost of a message while so many others wait: the queue is filled up, and then as many come as go.
    private func backlog(_ values: [Int]) async throws -> [SeriesResult.Point] {
        try await queues.with(as: { settings.definition($0) }) { names in
            let contender = QueueContender(queue, target: names[0], settings)
            var points: [SeriesResult.Point] = []
            var waiting = 0
            do {
                for (number, value) in values.enumerated() {
                    progress(BenchmarkProgress(step: "a backlog of \(value)", done: number, total: values.count))
                    _ = try await contender.publish(max(0, value - waiting))
                    waiting = max(value, waiting)
                    let sample = min(value, settings.messages)
                    // Once unmeasured: what was being written while the queue was filled is settled by then.
                    _ = try await contender.publish(sample)
                    let warm = try await contender.consume(sample)
                    let time = try await contender.publish(sample)
                    let consumed = try await contender.consume(sample)
                    waiting += 2 * sample - warm.count - consumed.count
                    let values = Self.figures(Taken(count: sample, time: time), consumed)
                    points.append(SeriesResult.Point(x: value, values: values))
                }
                await contender.close()
                return points
            } catch {
                await contender.close()
                throw error
            }
        }
    }

    /// Messages over many queues in turns, each with a consumer of its own; all consume at the same time.
    private func spread(over count: Int) async throws -> [String: Double] {
        var single = settings
        single.consumers = 1
        let share = max(1, settings.messages / count)
        return try await queues.with(count, as: { single.definition($0) }) { [single] names in
            let contenders = names.map { QueueContender(queue, target: $0, single) }
            return try await Self.together(contenders, share) {
                var time = Duration.zero
                var left = share
                while left > 0 {
                    let size = min(left, single.batch)
                    for contender in contenders { time += try await contender.publish(size) }
                    left -= size
                }
                return Taken(count: share * count, time: time)
            }
        }
    }

    /// Messages of one queue that each of many groups gets, with one consumer each.
    private func fanOut(to count: Int) async throws -> [String: Double] {
        var single = settings
        single.consumers = 1
        let share = max(1, settings.messages / count)
        return try await queues.with(as: { [single] in single.definition($0, groups: count) }) { [single] names in
            let contenders = (0..<count).map {
                QueueContender(queue, target: names[0], group: BenchmarkSettings.group($0), single)
            }
            return try await Self.together(contenders, share) {
                Taken(count: share, time: try await contenders[0].publish(share))
            }
        }
    }

    private static func together(
        _ contenders: [QueueContender],
        _ share: Int,
        publish: () async throws -> Taken
    ) async throws -> [String: Double] {
        do {
            let published = try await publish()
            // Connecting is no part of consuming.
            for contender in contenders { _ = try await contender.open() }
            let clock = ContinuousClock()
            let time = try await clock.measure {
                try await withThrowingTaskGroup(of: Void.self) { tasks in
                    for contender in contenders { tasks.addTask { _ = try await contender.consume(share) } }
                    try await tasks.waitForAll()
                }
            }
            for contender in contenders { await contender.close() }
            return figures(published, Taken(count: share * contenders.count, time: time))
        } catch {
            for contender in contenders { await contender.close() }
            throw error
        }
    }

    /// The memory of this process while a consumer holds so many deliveries.
    private func held(_ values: [Int]) async throws -> [SeriesResult.Point] {
        var single = settings
        single.consumers = 1
        return try await queues.with(as: { [single] in single.definition($0) }) { [single] names in
            let contender = QueueContender(queue, target: names[0], single)
            var points: [SeriesResult.Point] = []
            var deliveries: [Delivery] = []
            do {
                _ = try await contender.publish(values.last ?? 0)
                guard let member = try await contender.open().first else { return points }
                deliveries.reserveCapacity(values.last ?? 0)
                let before = try resident()
                for (number, value) in values.enumerated() {
                    progress(BenchmarkProgress(step: "\(value) deliveries held", done: number, total: values.count))
                    while deliveries.count < value {
                        try Task.checkCancellation()
                        let most = min(single.batch, value - deliveries.count)
                        let taken = try await member.receive(max: most, wait: single.patience)
                        guard !taken.isEmpty else {
                            throw QueueError(
                                .brokerError,
                                "only \(deliveries.count) of \(value) messages came",
                                queue: names[0]
                            )
                        }
                        deliveries += taken
                    }
                    let bytes = max(0, try resident() - before)
                    points.append(
                        SeriesResult.Point(
                            x: value,
                            values: [
                                "resident_bytes": Double(bytes),
                                "bytes_per_delivery": Double(bytes) / Double(deliveries.count),
                            ]
                        )
                    )
                }
                await contender.close()
                return points
            } catch {
                await contender.close()
                throw error
            }
        }
    }

    private func resident() throws(QueueError) -> Int {
        if let bytes = ProcessUsage.residentBytes() { return bytes }
        throw QueueError(.unsupported, "the memory of a process can be told on Linux only; leave out this series")
    }

    /// The processor time of this process while so many consumers wait for messages that do not come.
    private func idle(_ count: Int) async throws -> [String: Double] {
        var many = settings
        many.consumers = count
        return try await queues.with(as: { [many] in many.definition($0) }) { [many] names in
            let contender = QueueContender(queue, target: names[0], many)
            do {
                let members = try await contender.open()
                let used = try await withThrowingTaskGroup(of: Void.self) { tasks in
                    for member in members {
                        tasks.addTask {
                            do {
                                _ = try await member.receive(max: 1, wait: many.window * 3 + .seconds(5))
                            } catch let error as QueueError where error.code == .cancelled {}
                        }
                    }
                    // Half a window for everybody to begin to wait.
                    try await Task.sleep(for: many.window / 2)
                    let (clock, before) = (ContinuousClock(), ProcessUsage.processorTime())
                    let start = clock.now
                    try await Task.sleep(for: many.window)
                    let used = (ProcessUsage.processorTime() - before) / ((clock.now - start) / .seconds(1))
                    tasks.cancelAll()
                    // One that could not wait makes the figure wrong.
                    try await tasks.waitForAll()
                    return used
                }
                await contender.close()
                return ["cpu_percent": used * 100]
            } catch {
                await contender.close()
                throw error
            }
        }
    }
}
