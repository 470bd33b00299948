#if SQLite
import Messaging

/// Sends messages of its own through a queue beside the real one on the new side, before anything depends on it: one is
/// published, retried, rejected, sent again and acknowledged, another one waits until it is due.
struct Canary: Sendable {
    /// How long the round trip may take.
    private static let patience: Duration = .seconds(60)
    private static let delay: Duration = .milliseconds(500)
    private static let group = "canary"

    /// How far the first message is.
    private enum Step: String {
        case published, retried, rejected, redriven, acknowledged

        /// What is waited for.
        var expected: String {
            switch self {
            case .published: "a message that was published"
            case .retried: "a message that was to be tried again"
            case .rejected: "a rejected message among the dead letters"
            case .redriven: "a dead letter that was sent again"
            case .acknowledged: "a message that was due later"
            }
        }
    }

    /// How much earlier than it should a message may seem to come: brokers count in milliseconds.
    private static let margin: Duration = .milliseconds(20)

    let side: MigrationSide
    let clock: QueueClock
    /// Throws when this process no longer carries the migration out.
    let stillOurs: @Sendable () async throws -> Void

    /// The name of the queue: the same when a migration is taken up again, so that one that was left is used and removed.
    static func name(of migration: Migration) -> String { "\(migration.queue).canary-\(migration.id.suffix(8))" }

    /// Makes the queue, sends the messages through, and removes it.
    ///
    /// - Parameters:
    ///   - migration: The migration.
    ///   - definition: The queue as it is made on this side.
    /// - Throws: `MigrationError` with the kind `refused` when something does not come back as it should, `QueueError`
    ///   when the side cannot be used.
    func sing(_ migration: Migration, like definition: QueueDefinition) async throws {
        let capabilities = try await side.queue.capabilities()
        // What cannot be removed again is not made.
        guard capabilities[.deletion].isAvailable else { return }
        var scratch = definition
        scratch.name = Self.name(of: migration)
        scratch.groups = [GroupDefinition(Self.group, lease: .seconds(30), maxAttempts: 5)]
        scratch.maxReady = nil
        let name = scratch.name
        try await side.queue.declare(scratch)
        do {
            try await roundTrip(name, capabilities)
            _ = try await side.queue.deleteQueue(name)
        } catch {
            // Not in this task, which may be cancelled; what cannot be deleted is used by the next try.
            await Task { _ = try? await side.queue.deleteQueue(name) }.value
            throw error
        }
    }

    private func roundTrip(_ name: String, _ capabilities: Capabilities) async throws {
        let consumer = try await side.queue.consume(name, group: Self.group, consumer: "mq-migrate")
        do {
            try await roundTrip(name, consumer, capabilities)
            await consumer.close()
        } catch {
            await consumer.close()
            throw error
        }
    }

    private func roundTrip(
        _ name: String,
        _ consumer: any QueueConsumer,
        _ capabilities: Capabilities
    ) async throws {
        let begun = clock.now()
        let deadline = begun + Self.patience
        let first = Self.message("first", due: nil)
        let later = capabilities[.delay].isAvailable ? Self.message("later", due: .after(Self.delay)) : nil
        for outcome in try await side.queue.publish([first] + (later.map { [$0] } ?? []), to: name) {
            if let error = outcome.error { throw error }
        }
        var step = Step.published
        var hasLater = later == nil
        while step != .acknowledged || !hasLater {
            try await stillOurs()
            guard clock.now() < deadline else { throw refusal("\(step.expected) did not come within \(Self.patience)") }
            if step == .rejected {
                step = try await redriven(first, name) ? .redriven : step
            }
            for delivery in try await consumer.receive(max: 10, wait: Self.delay) {
                var settlement = Settlement.acknowledge
                if delivery.message.id == first.id {
                    try check(delivery, first)
                    (step, settlement) = try after(step, delivery, capabilities)
                } else if let later, delivery.message.id == later.id {
                    try check(delivery, later)
                    // By how long it took and not by the time of day: the broker's clock may be another one.
                    guard clock.now() - begun >= Self.delay - Self.margin else {
                        throw refusal("a message came before it was due")
                    }
                    hasLater = true
                }
                // What an earlier try has left goes with it.
                for outcome in try await consumer.settle([SettleRequest(delivery.receipt, settlement)]) {
                    if let error = outcome.error { throw error }
                }
            }
        }
    }

    /// What is done with the first message when it comes.
    private func after(
        _ step: Step,
        _ delivery: Delivery,
        _ capabilities: Capabilities
    ) throws(MigrationError) -> (Step, Settlement) {
        switch step {
        case .published: return (.retried, .retry(after: Self.delay / 5, error: "canary"))
        case .retried:
            guard delivery.attempt > 1 else { throw refusal("a retry was not counted as an attempt") }
            guard capabilities[.deadLetters].isAvailable else { return (.acknowledged, .acknowledge) }
            return (.rejected, .reject(reason: .rejected, error: "canary"))
        case .redriven: return (.acknowledged, .acknowledge)
        case .rejected: throw refusal("a rejected message came again")
        case .acknowledged: throw refusal("an acknowledged message came again")
        }
    }

    private func check(_ delivery: Delivery, _ sent: Message) throws(MigrationError) {
        guard CanonicalHash(delivery.message) == CanonicalHash(sent) else {
            throw refusal("a message came with another content")
        }
    }

    /// Sends the dead letter again; says whether it was there.
    private func redriven(_ message: Message, _ name: String) async throws -> Bool {
        var cursor: String?
        repeat {
            let page = try await side.queue.deadLetters(of: name, matching: .all, after: cursor, limit: 100)
            if let letter = page.elements.first(where: { $0.message.id == message.id }) {
                return try await !side.queue.redrive([letter.id], of: name).isEmpty
            }
            cursor = page.next
        } while cursor != nil
        return false
    }

    private func refusal(_ what: String) -> MigrationError {
        MigrationError(
            .refused,
            "\(side.label) does not do what it should: \(what); nothing has been moved. Look at the broker, and take the "
                + "migration up again or back"
        )
    }

    private static func message(_ text: String, due: Message.Due?) -> Message {
        Message(
            body: Array(text.utf8) + [0, 255],
            key: "canary",
            headers: ["canary": "\(text)"],
            contentType: "application/octet-stream",
            due: due
        )
    }
}
#endif
