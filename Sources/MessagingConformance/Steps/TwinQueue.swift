import Messaging

/// A queue that answers requests in words that do not depend on the backend.
struct TwinQueue {
    private let stage: Stage
    private let consumer: any QueueConsumer
    private let definition: QueueDefinition
    private var held: [MessageID: Delivery] = [:]
    private var finished: [MessageID: Receipt] = [:]
    /// On which attempt each message was taken last.
    private(set) var attempts: [MessageID: Int] = [:]

    init(stage: Stage, consumer: any QueueConsumer, definition: QueueDefinition) {
        self.stage = stage
        self.consumer = consumer
        self.definition = definition
    }

    private var queue: any MessageQueue { stage.queue }

    /// Does what is asked; what is thrown is an answer as well.
    ///
    /// - Throws: `ConformanceFailure` when deliveries do not come in time.
    mutating func answer(_ request: TwinRequest) async throws -> [String] {
        do {
            return try await perform(request)
        } catch let error as QueueError {
            return ["throws \(error.code)"]
        }
    }

    private mutating func perform(_ request: TwinRequest) async throws -> [String] {
        switch request {
        case .publish(let messages): return try await queue.publish(messages, to: stage.name).map(Self.text)
        case .publishToUnknown:
            return try await queue.publish([Message(text: "lost")], to: stage.name + "-unknown").map(Self.text)
        case .take(let count): return try await take(count)
        case .settle(let id, let settlement): return try await settle(id, settlement)
        case .settleAgain(let id, let settlement):
            guard let receipt = finished[id] else { return ["not finished"] }
            return try await consumer.settle([SettleRequest(receipt, settlement)]).map(Self.text)
        case .renew(let id):
            guard let delivery = held[id] else { return ["not held"] }
            return try await consumer.renew([delivery.receipt]).map { "\($0)" }
        case .renewFinished(let id):
            guard let receipt = finished[id] else { return ["not finished"] }
            return try await consumer.renew([receipt]).map { "\($0)" }
        case .letters(let filter):
            return try await stage.deadLetters(filter).map(Self.text).sorted()
        case .redrive(let id): return try await move(id) { try await $0.redrive($1, of: $2) }
        case .discard(let id): return try await move(id) { try await $0.discardDeadLetters($1, of: $2) }
        case .moveUnknown:
            let redriven = try await queue.redrive(["0-1"], of: stage.name)
            return redriven + (try await queue.discardDeadLetters(["0-1"], of: stage.name))
        case .schedules:
            return try await queue.scheduled(of: stage.name, after: nil, limit: 1000).elements
                .map { "\($0.message.id) \($0.message.text ?? "")" }.sorted()
        case .cancel(let id): return try await queue.cancelScheduled([id], of: stage.name).map { "\($0)" }
        case .cancelUnknown: return try await queue.cancelScheduled(["nothing"], of: stage.name).map { "\($0)" }
        case .declareAgain:
            try await queue.declare(definition)
            return ["the same"]
        case .declareOther:
            var other = definition
            other.groups[0].maxAttempts += 1
            try await queue.declare(other)
            return ["changed"]
        case .consumeUnknown:
            let consumer = try await queue.consume(
                stage.name,
                group: "nobody",
                consumer: "x",
                options: ConsumerOptions()
            )
            await consumer.close()
            return ["a consumer"]
        }
    }

    private mutating func take(_ count: Int) async throws -> [String] {
        let taken = try await stage.take(count, from: consumer)
        for delivery in taken {
            held[delivery.message.id] = delivery
            attempts[delivery.message.id] = delivery.attempt
        }
        return taken.map { delivery in
            let message = delivery.message
            return "\(message.id) '\(message.text ?? "")' attempt \(delivery.attempt), redrives \(delivery.redrives), "
                + "failures \(delivery.history.map(\.error)), headers \(message.headers)"
        }.sorted()
    }

    private mutating func settle(_ id: MessageID, _ settlement: Settlement) async throws -> [String] {
        guard let delivery = held.removeValue(forKey: id) else { return ["not held"] }
        finished[id] = delivery.receipt
        return try await consumer.settle([SettleRequest(delivery.receipt, settlement)]).map(Self.text)
    }

    /// Moves the dead letter of a message: their own ids differ from backend to backend.
    private func move(
        _ id: MessageID,
        _ call: (any MessageQueue, [String], String) async throws -> [String]
    ) async throws -> [String] {
        let letter = try await stage.deadLetter(DeadLetterFilter(messageID: id))
        let moved = try await call(queue, [letter.id], stage.name)
        return moved == [letter.id] ? ["moved"] : ["said \(moved)"]
    }

    private static func text(_ outcome: PublishOutcome) -> String {
        switch outcome {
        case .accepted: "accepted"
        case .duplicate: "duplicate"
        case .refused(let error): "refused: \(error.code)"
        case .indeterminate(let error): "indeterminate: \(error.code)"
        }
    }

    private static func text(_ outcome: SettleOutcome) -> String { outcome.error.map { "\($0.code)" } ?? "settled" }

    private static func text(_ letter: DeadLetter) -> String {
        "\(letter.message.id) '\(letter.message.text ?? "")' of \(letter.group ?? "no group"): \(letter.reason), "
            + "\(letter.error ?? "no error"), attempts \(letter.attempts), failures \(letter.history.map(\.error))"
    }
}
