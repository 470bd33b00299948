import Messaging

/// A declared queue with what can be broken around it, and the steps that the cases of the fault tier are made of.
///
/// `stage` has a client that goes straight to the broker and judges; what is broken is around others.
struct FaultStage: Sendable {
    let stage: Stage
    let faults: RecordingFaults
    private let clients: HarnessClients

    /// The lease that faults are survived by, unless a case wants another.
    static func lease(_ harness: any ConformanceHarness) -> Duration { harness.timeUnit * 4 }

    init(_ harness: any ConformanceHarness, _ change: (inout QueueDefinition) -> Void = { _ in }) async throws {
        guard let clients = harness as? HarnessClients, let faults = clients.recordedFaults else {
            throw NotPossible("the harness has no way to break anything")
        }
        self.clients = clients
        self.faults = faults
        stage = try await Stage(harness) { definition in
            definition.groups = [GroupDefinition("workers", lease: Self.lease(harness))]
            change(&definition)
        }
    }

    var harness: any ConformanceHarness { stage.harness }
    var lease: Duration { Self.lease(stage.harness) }
    var name: String { stage.name }
    var history: History { clients.history }

    /// Judges the history so far, which must be quiet.
    func checkHistory() async throws { try await clients.checkHistory() }

    /// How often something is done that is to be done so many times, as far as the environment wants it.
    func repetitions(_ count: Int) -> Int { max(1, Int((Double(count) * faults.effort).rounded())) }

    /// How long something may take at most that begins when a fault is over.
    ///
    /// No law says how long: a client may run into its deadlines some times, and a machine may stand still for seconds.
    var recovery: Duration { .seconds(10) + faults.patience * 2 + harness.tolerance }

    /// Makes sure that what a client publishes with is connected, by a message that gets through: some backends have a
    /// connection for it that they make anew with the first message.
    ///
    /// - Returns: When the publication began that got through.
    @discardableResult
    func warm(_ queue: any MessageQueue, _ message: Message) async throws -> ContinuousClock.Instant {
        try await connect(queue)
        return try await publish(message, by: queue)
    }

    /// Publishes a message under a fault, right after another one that has warmed its client.
    ///
    /// A client that was left alone for a moment may ask its connection first, and the fault hits that. So a wrong
    /// outcome proves nothing where the machine stood still in between, and is tried again with other messages.
    ///
    /// - Parameters:
    ///   - fault: What happens to the publication.
    ///   - proxy: What lets it happen.
    ///   - queue: Who publishes, through the proxy.
    ///   - number: Which numbers the messages have: five from it each, above 100 and 200.
    ///   - isRight: Whether an outcome is as it must be.
    /// - Returns: What publishing said, and the messages that are there for certain.
    /// - Throws: ``TooSlow`` when no attempt was made in time.
    func promptOutcome(
        under fault: ProxyFault,
        _ proxy: any FaultProxy,
        by queue: any MessageQueue,
        number: Int,
        isRight: (PublishOutcome) -> Bool
    ) async throws -> (outcome: PublishOutcome, there: [Message]) {
        // Half of the shortest time after which a client asks first.
        let limit = Duration.milliseconds(50)
        var there: [Message] = []
        var took = Duration.zero
        for number in number..<(number + 5) {
            let (first, message) = (self.message(100 + number), self.message(200 + number))
            let warmed = try await warm(queue, first)
            there.append(first)
            try await proxy.apply(fault)
            took = ContinuousClock.now - warmed
            let outcome = try await self.outcome(message, by: queue)
            try await proxy.apply(.none)
            if isRight(outcome) || took <= limit { return (outcome, there) }
            if outcome.isConfirmed { there.append(message) }
        }
        throw TooSlow(limit: limit, took: took)
    }

    /// A client through the proxy that is connected, so that what is broken next is a call of its own.
    func remote() async throws -> any MessageQueue {
        let queue = try await faults.makeQueue()
        try await connect(queue)
        return queue
    }

    /// Makes sure that a client is connected, whatever has become of its connection.
    func connect(_ queue: any MessageQueue) async throws {
        let end = ContinuousClock.now + faults.patience + recovery
        while true {
            let failure: QueueError
            do throws(QueueError) {
                _ = try await queue.definition(of: name)
                return
            } catch {
                failure = error
            }
            try expect(failure.isRetryable && ContinuousClock.now < end, "the client did not come back: \(failure)")
            try await harness.advance(by: stage.step)
        }
    }

    /// A message whose body is its id, as children publish them; all are of one size.
    func message(_ number: Int, due: Message.Due? = nil) -> Message {
        let digits = String(1_000_000 + number)
        let id = "\(name)-\(digits)"
        return Message(text: id, id: MessageID(id), due: due)
    }

    func messages(_ numbers: Range<Int>) -> [Message] { numbers.map { message($0) } }

    /// Starts a child on the queue.
    func child(_ job: FaultChildJob, letters: [String] = []) async throws -> RecordedChild {
        try await faults.child(job, letters: letters, lease: lease)
    }

    /// Waits for a child to say something.
    func wait(
        for child: RecordedChild,
        _ what: String,
        limit: Duration = .seconds(30),
        until isSeen: (RecordedChild) -> Bool
    ) async throws {
        let end = ContinuousClock.now + limit
        var pause: Duration = .milliseconds(1)
        while !isSeen(child) {
            if child.hasEnded, !isSeen(child) { throw ConformanceFailure("the child ended before \(what)") }
            try expect(ContinuousClock.now < end, "\(what) did not happen within \(limit)")
            try await Task.sleep(for: pause)
            pause = min(pause * 2, .milliseconds(20))
        }
    }

    /// What publishing one message said, whether it was returned or thrown.
    func outcome(_ message: Message, by queue: any MessageQueue) async throws -> PublishOutcome {
        let name = name
        return try await within("publishing", limit: faults.patience + recovery) {
            do throws(QueueError) {
                return try await queue.publish([message], to: name).first ?? .refused(Self.noOutcome)
            } catch {
                return error.code == .indeterminate ? .indeterminate(error) : .refused(error)
            }
        }
    }

    private static let noOutcome = QueueError(.brokerError, "there is no outcome")

    /// Publishes a message until it is there, with the same id, as the contract asks.
    ///
    /// - Returns: When the attempt began that got through.
    @discardableResult
    func publish(_ message: Message, by queue: any MessageQueue) async throws -> ContinuousClock.Instant {
        let end = ContinuousClock.now + faults.patience + recovery
        while true {
            let start = ContinuousClock.now
            switch try await outcome(message, by: queue) {
            case .accepted, .duplicate: return start
            case .refused(let error), .indeterminate(let error):
                try expect(error.isRetryable, "'\(error)' cannot be tried again")
                try expect(ContinuousClock.now < end, "publishing did not come back: \(error)")
                try await harness.advance(by: stage.step)
            }
        }
    }

    /// Takes and acknowledges what is left until nothing has come for a lease, and returns the ids in order.
    func drain(_ consumer: any QueueConsumer, atLeast count: Int = 0, within limit: Duration? = nil) async throws
        -> [MessageID]
    {
        var ids: [MessageID] = []
        let quiet = lease + stage.unit + harness.tolerance
        let start = harness.now
        var last = start
        let limit = limit ?? quiet * 20 + recovery
        let machineEnd = ContinuousClock.now + .seconds(90)
        while true {
            // On a manual clock what goes on for ever takes no time.
            try expect(ContinuousClock.now < machineEnd && ids.count < 100_000, "\(ids.count) messages went on coming")
            try Task.checkCancellation()
            let asked = harness.now
            let isOver = asked - last >= quiet && (ids.count >= count || asked - start >= recovery + lease)
            let batch = try await consumer.receive(max: 1000, wait: .zero)
            if batch.isEmpty {
                // Only a look that begins when the time is over ends it; time in which nobody looked does not count.
                if isOver { return ids }
                last += try await stage.pass()
            } else {
                ids += try await acknowledge(batch, by: consumer, since: asked)
                last = harness.now
            }
            try expect(harness.now - start < limit, "messages went on coming for \(limit)")
        }
    }

    /// Acknowledges what was looked for at some time, and returns the ids of what has ended by it: what a machine held
    /// for longer than the lease comes again.
    private func acknowledge(
        _ batch: [Delivery],
        by consumer: any QueueConsumer,
        since asked: Duration
    ) async throws -> [MessageID] {
        let outcomes = try await consumer.settle(batch.map { SettleRequest($0.receipt, .acknowledge) })
        try expectEqual(outcomes.count, batch.count, "the number of outcomes")
        let isLate = harness.now - asked >= lease - .milliseconds(2)
        return try zip(batch, outcomes).compactMap { delivery, outcome -> MessageID? in
            switch outcome {
            case .settled: return delivery.message.id
            case .leaseLost where isLate: return nil
            default: throw ConformanceFailure("settle gave \(outcome), not settled")
            }
        }
    }

    /// Takes exactly so many deliveries and acknowledges them look by look: a lease may be short for all of them.
    func handle(_ count: Int, by consumer: any QueueConsumer, within limit: Duration) async throws -> [Delivery] {
        var handled: [Delivery] = []
        let end = harness.now + limit
        while handled.count < count {
            let asked = harness.now
            let batch = try await consumer.receive(max: min(count - handled.count, 1000), wait: .zero)
            handled += batch
            if batch.isEmpty {
                try expect(asked < end, "\(handled.count) of \(count) deliveries came in time")
                try await harness.advance(by: stage.step)
            } else {
                try await stage.timely(since: asked, lease) { try await stage.settle(batch, by: consumer) }
            }
        }
        return handled
    }

    /// Cuts the next exchange, and says what a publication made through it said.
    func outcome(
        _ message: Message,
        by queue: any MessageQueue,
        cut direction: FaultDirection,
        after bytes: Int,
        _ proxy: any FaultProxy
    ) async throws -> PublishOutcome {
        try await proxy.apply(.cut(direction, after: bytes))
        let outcome = try await outcome(message, by: queue)
        try await proxy.apply(.none)
        return outcome
    }

    /// How many bytes a publication of one message takes there and back, on a connection that is there.
    func size(of messages: [Message], by queue: any MessageQueue, _ proxy: any FaultProxy) async throws -> ProxyTraffic
    {
        var sizes: [ProxyTraffic] = []
        for message in messages {
            let before = try await proxy.traffic()
            try await publish(message, by: queue)
            let after = try await proxy.traffic()
            sizes.append(
                ProxyTraffic(
                    requestBytes: after.requestBytes - before.requestBytes,
                    replyBytes: after.replyBytes - before.replyBytes
                )
            )
        }
        guard let least = sizes.map(\.requestBytes).min(), let answer = sizes.map(\.replyBytes).min(), least > 1,
            answer > 0
        else { throw NotPossible("the proxy does not see what the clients publish") }
        return ProxyTraffic(requestBytes: least, replyBytes: answer)
    }
}

extension FaultStage {
    /// Opens a consumer of the judge, also when the broker has just come back.
    func consumer(_ consumer: String) async throws -> any QueueConsumer {
        let end = ContinuousClock.now + recovery
        while true {
            let failure: QueueError
            do throws(QueueError) {
                return try await stage.queue.consume(name, group: "workers", consumer: consumer)
            } catch {
                failure = error
            }
            try expect(failure.isRetryable && ContinuousClock.now < end, "consuming did not come back: \(failure)")
            try await harness.advance(by: stage.step)
        }
    }

    /// Settles a delivery of a lease that is lost, until the broker answers, and returns why it is refused.
    func refusal(
        of delivery: Delivery,
        _ settlement: Settlement,
        by consumer: any QueueConsumer
    ) async throws -> QueueError.Code? {
        let end = ContinuousClock.now + faults.patience + recovery
        while true {
            let failure: QueueError
            do throws(QueueError) {
                try await consumer.settle(delivery, settlement)
                return nil
            } catch {
                failure = error
            }
            // What is on its way when the connection breaks is unknown; the next one is refused.
            guard failure.isRetryable, ContinuousClock.now < end else {
                // Afterwards nobody can tell a first attempt that was carried out from a lost lease.
                return failure.code == .indeterminate && !failure.isRetryable ? .leaseLost : failure.code
            }
            try await harness.advance(by: stage.step)
        }
    }

    /// Waits for a child that waits for time to pass.
    func waitWhileTimePasses(
        for child: RecordedChild,
        _ what: String,
        limit: Duration,
        until isSeen: (RecordedChild) -> Bool
    ) async throws {
        let end = harness.now + limit
        // On a manual clock the limit is over in no time, in which a busy machine may not let the child run at all.
        let start = ContinuousClock.now
        let (leastEnd, machineEnd) = (start + .seconds(5), start + limit + recovery)
        while !isSeen(child) {
            if child.hasEnded, !isSeen(child) { throw ConformanceFailure("the child ended before \(what)") }
            let isInTime = harness.now < end || ContinuousClock.now < leastEnd
            try expect(isInTime, "\(what) did not happen within \(limit)")
            try expect(ContinuousClock.now < machineEnd, "\(what) did not happen in time")
            try await harness.advance(by: stage.step)
            // On a manual clock no time passes, and the child needs some of the machine's.
            try await Task.sleep(for: .milliseconds(1))
        }
    }
}
