import Messaging

/// A declared queue on a backend under test, with the steps that the cases are made of.
///
/// Consumers are polled while time passes, so that the same case runs on a manual clock and on a live broker.
struct Stage: Sendable {
    let harness: any ConformanceHarness
    let queue: any MessageQueue
    let name: String

    /// A lease that never runs out within a case.
    static func longLease(_ harness: any ConformanceHarness) -> Duration { harness.timeUnit * 60 }

    init(_ harness: any ConformanceHarness, _ change: (inout QueueDefinition) -> Void = { _ in }) async throws {
        self.harness = harness
        queue = try await harness.makeQueue()
        name = harness.uniqueName("contract")
        var definition = QueueDefinition(
            name,
            groups: [GroupDefinition("workers", lease: Self.longLease(harness))]
        )
        change(&definition)
        try await queue.declare(definition)
    }

    var unit: Duration { harness.timeUnit }
    /// How much time passes between two looks.
    var step: Duration { harness.timeUnit / 20 }

    func consumer(
        _ consumer: String = "consumer-1",
        group: String = "workers",
        mode: ConsumerOptions.Mode = .atLeastOnce
    ) async throws -> any QueueConsumer {
        try await queue.consume(name, group: group, consumer: consumer, options: ConsumerOptions(mode: mode))
    }

    /// What moves the queue elsewhere.
    func transfer() throws -> any QueueTransfer {
        guard let transfer = queue.transfer else { throw ConformanceFailure("the backend has no transfer") }
        return transfer
    }

    /// Adds a group where the backend has more than one.
    ///
    /// - Returns: A consumer of it; `nil` when a queue has one group only.
    func otherGroup(_ name: String = "others") async throws -> (any QueueConsumer)? {
        guard try await queue.capabilities()[.fanOut].isAvailable else { return nil }
        let group = GroupDefinition(name, lease: Self.longLease(harness))
        guard var definition = try await queue.definition(of: self.name) else {
            throw ConformanceFailure("a queue that was declared has no definition")
        }
        definition.groups = [group]
        try await queue.declare(definition)
        return try await consumer(group: name)
    }

    /// Publishes messages that must all be accepted.
    func publish(_ messages: [Message]) async throws {
        let outcomes = try await queue.publish(messages, to: name)
        try expectEqual(outcomes.count, messages.count, "the number of outcomes")
        for outcome in outcomes {
            guard case .accepted = outcome else { throw ConformanceFailure("publish gave \(outcome), not accepted") }
        }
    }

    @discardableResult
    func publish(_ count: Int, prefix: String = "m") async throws -> [Message] {
        let messages = (0..<count).map { Message(text: "\(prefix)-\($0)") }
        try await publish(messages)
        return messages
    }

    /// Takes exactly so many deliveries, or fails when they do not come in time.
    func take(
        _ count: Int,
        from consumer: any QueueConsumer,
        within limit: Duration? = nil
    ) async throws -> [Delivery] {
        try await found(count, from: consumer, within: limit).value
    }

    /// Takes exactly so many deliveries, and says when their leases began at the earliest.
    func found(
        _ count: Int,
        from consumer: any QueueConsumer,
        within limit: Duration? = nil
    ) async throws -> Found<[Delivery]> {
        var taken: [Delivery] = []
        var first: Duration?
        var end = harness.now + (limit ?? unit * 10 + harness.tolerance)
        while taken.count < count {
            let asked = harness.now
            let batch = try await consumer.receive(max: min(count - taken.count, 1000), wait: .zero)
            taken += batch
            if batch.isEmpty {
                // A look that began in time may itself have stood still on a busy machine.
                guard asked < end else {
                    throw ConformanceFailure("\(taken.count) of \(count) deliveries came in time")
                }
                end += try await pass()
            } else if first == nil {
                first = asked
            }
        }
        let now = harness.now
        return Found(value: taken, asked: first ?? now, came: now)
    }

    func takeOne(from consumer: any QueueConsumer, within limit: Duration? = nil) async throws -> Delivery {
        let taken = try await take(1, from: consumer, within: limit)
        guard let delivery = taken.first else { throw ConformanceFailure("no delivery came") }
        return delivery
    }

    /// What a case has waited for.
    struct Found<Value> {
        let value: Value
        /// When the look began that found it, or the first part of it: a lease begins after that.
        var asked: Duration
        /// When it was there.
        let came: Duration
    }

    /// Looks for what must come by some time, give or take the tolerance.
    ///
    /// - Parameters:
    ///   - what: What it is, for the failure.
    ///   - time: When it is due; now when that is over.
    ///   - once: Looks once; returns `nil` as long as it is not there.
    /// - Returns: What came, and when.
    /// - Throws: ``TooSlow`` when it did not come in time and looking itself took long, as on a busy machine.
    func look<Value>(
        for what: String,
        by time: Duration,
        _ once: () async throws -> Value?
    ) async throws -> Found<Value> {
        var end = max(time, harness.now) + harness.tolerance
        var slowest = Duration.zero
        while true {
            let asked = harness.now
            let found = try await once()
            let came = harness.now
            if let found, came <= end { return Found(value: found, asked: asked, came: came) }
            slowest = max(slowest, came - asked)
            if came >= end {
                if slowest > harness.tolerance / 2 { throw TooSlow(limit: harness.tolerance / 2, took: slowest) }
                throw ConformanceFailure("\(what) did not come in time, which was \(came - time) ago")
            }
            end += try await pass()
        }
    }

    /// Takes exactly so many deliveries, which must come by some time, give or take the tolerance.
    func take(_ count: Int, from consumer: any QueueConsumer, by time: Duration) async throws -> Found<[Delivery]> {
        var taken: [Delivery] = []
        var first: Duration?
        var found = try await look(for: "\(count) deliveries", by: time) { () async throws -> [Delivery]? in
            let asked = harness.now
            let batch = try await consumer.receive(max: min(count - taken.count, 1000), wait: .zero)
            if first == nil, !batch.isEmpty { first = asked }
            taken += batch
            return taken.count >= count ? taken : nil
        }
        found.asked = first ?? found.asked
        return found
    }

    /// Takes a delivery that must come by some time, give or take the tolerance.
    func takeOne(from consumer: any QueueConsumer, by time: Duration) async throws -> Found<Delivery> {
        try await look(for: "a delivery", by: time) { () async throws -> Delivery? in
            try await consumer.receive(max: 1, wait: .zero).first
        }
    }

    /// Lets a step pass.
    ///
    /// - Returns: How much longer it took, where that is more than a further step, as on a busy machine. Nobody has
    ///   looked meanwhile, so it is no time that the backend took.
    func pass() async throws -> Duration {
        let before = harness.now
        try await harness.advance(by: step)
        let longer = harness.now - before - step
        return longer > step ? longer : .zero
    }

    /// Fails when anything comes within some time; a quarter of the unit unless a lease or a delay asks for more.
    func expectQuiet(_ consumer: any QueueConsumer, for time: Duration? = nil) async throws {
        let end = harness.now + (time ?? unit / 4)
        while true {
            if let delivery = try await consumer.receive(max: 10, wait: .zero).first {
                throw ConformanceFailure(
                    "'\(Self.text(delivery))' came on attempt \(delivery.attempt), expected nothing"
                )
            }
            guard harness.now < end else { return }
            try await harness.advance(by: step)
        }
    }

    /// Proves that nothing is left: a sentinel comes first, and then nothing for some time.
    func expectNothing(_ consumer: any QueueConsumer, for time: Duration? = nil) async throws {
        let sentinel = Message(text: "sentinel")
        try await publish([sentinel])
        let came = try await found(1, from: consumer)
        guard let delivery = came.value.first else { throw ConformanceFailure("no delivery came") }
        guard delivery.message.id == sentinel.id else {
            throw ConformanceFailure(
                "'\(Self.text(delivery))' came on attempt \(delivery.attempt), expected the sentinel only"
            )
        }
        // No case has a shorter lease.
        try await timely(since: came.asked, unit) { try await consumer.acknowledge(delivery) }
        try await expectQuiet(consumer, for: time)
    }

    /// Does what must be done within some time: what fails later than that says nothing about the backend.
    ///
    /// - Throws: ``TooSlow`` when it failed and the time was over, as on a busy machine; what it threw otherwise.
    func timely<Result>(
        since start: Duration,
        _ limit: Duration,
        _ body: () async throws -> Result
    ) async throws -> Result {
        do {
            return try await body()
        } catch {
            let took = harness.now - start
            if took >= limit - .milliseconds(2) { throw TooSlow(limit: limit, took: took) }
            throw error
        }
    }

    func settle(
        _ deliveries: [Delivery],
        by consumer: any QueueConsumer,
        _ settlement: Settlement = .acknowledge
    ) async throws {
        let outcomes = try await consumer.settle(deliveries.map { SettleRequest($0.receipt, settlement) })
        try expectEqual(outcomes.count, deliveries.count, "the number of outcomes")
        for outcome in outcomes {
            guard case .settled = outcome else { throw ConformanceFailure("settle gave \(outcome), not settled") }
        }
    }

    /// Returns the only dead letter that matches, once it is there.
    func deadLetter(_ filter: DeadLetterFilter = .all, within limit: Duration? = nil) async throws -> DeadLetter {
        let end = harness.now + (limit ?? harness.tolerance)
        while true {
            let asked = harness.now
            let letters = try await deadLetters(filter)
            if let letter = letters.first, letters.count == 1 { return letter }
            try expect(letters.count < 2, "\(letters.count) dead letters, expected one")
            try expect(asked < end, "no dead letter came in time")
            try await harness.advance(by: step)
        }
    }

    func deadLetters(_ filter: DeadLetterFilter = .all, page: Int = 7) async throws -> [DeadLetter] {
        var letters: [DeadLetter] = []
        var cursor: String?
        repeat {
            let found = try await queue.deadLetters(of: name, matching: filter, after: cursor, limit: page)
            letters += found.elements
            cursor = found.next
        } while cursor != nil
        return letters
    }

    /// Checks the figures that the backend calls exact, allowing it the tolerance to bring them up to date.
    func expectFigures(
        group: String = "workers",
        ready: Int? = nil,
        inFlight: Int? = nil,
        delayed: Int? = nil,
        dead: Int? = nil,
        scheduled: Int? = nil
    ) async throws {
        let end = harness.now + harness.tolerance
        while true {
            let asked = harness.now
            let statistics = try await queue.statistics(of: name)
            guard let figures = statistics[group] else { throw ConformanceFailure("no figures of group \(group)") }
            var wrong: [String] = []
            for (what, figure, expected) in [
                ("ready", figures.ready, ready), ("in flight", figures.inFlight, inFlight),
                ("delayed", figures.delayed, delayed), ("dead", figures.dead, dead),
                ("scheduled", statistics.scheduled, scheduled),
            ] {
                guard let expected, figure.grade == .exact, let value = figure.value, value != expected else {
                    continue
                }
                wrong.append("\(what) is \(value), expected \(expected)")
            }
            let parts = [figures.ready, figures.inFlight]
            let unfinished = parts.reduce(0) { $0 + ($1.grade == .exact ? $1.value ?? 0 : 0) }
            if statistics.stored.grade == .exact, let stored = statistics.stored.value, stored < unfinished {
                wrong.append("stored is \(stored), \(unfinished) are ready or in flight")
            }
            if wrong.isEmpty { return }
            try expect(asked < end, "figures of \(group): \(wrong.joined(separator: "; "))")
            try await harness.advance(by: step)
        }
    }

    static func text(_ delivery: Delivery) -> String { delivery.message.text ?? "\(delivery.message.body.count) bytes" }
}
