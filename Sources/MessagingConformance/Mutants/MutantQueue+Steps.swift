import Messaging

// What several mutants are made of.

extension MutantQueue {
    /// Changes every message that is published.
    mutating func changeMessages(_ change: @escaping @Sendable (inout Message) -> Void) {
        onPublish = { base, messages, queue throws(QueueError) in
            let changed = messages.map { message in
                var message = message
                change(&message)
                return message
            }
            return try await base.publish(changed, to: queue)
        }
    }

    /// Changes the outcome of every published message, with the message and the client inside at hand.
    mutating func changeOutcomes(
        _ change:
            @escaping @Sendable (any MessageQueue, Message, PublishOutcome, String) async throws(QueueError) ->
            PublishOutcome
    ) {
        onPublish = { base, messages, queue throws(QueueError) in
            var outcomes = try await base.publish(messages, to: queue)
            for (index, message) in messages.enumerated() {
                outcomes[index] = try await change(base, message, outcomes[index], queue)
            }
            return outcomes
        }
    }

    /// Changes every delivery that is handed over.
    mutating func changeDeliveries(_ change: @escaping @Sendable (inout ChangedDelivery) -> Void) {
        onReceive = { consumer, max, wait throws(QueueError) in
            try await consumer.base.receive(max: max, wait: wait).map { delivery in
                var changed = ChangedDelivery(delivery)
                change(&changed)
                return changed.delivery
            }
        }
    }

    /// Changes how deliveries end.
    mutating func changeSettlements(_ change: @escaping @Sendable (Settlement) -> Settlement) {
        onSettle = { consumer, requests throws(QueueError) in
            try await consumer.base.settle(requests.map { SettleRequest($0.receipt, change($0.settlement)) })
        }
    }

    /// Changes what settling says, not what it does.
    mutating func changeSettleOutcomes(_ change: @escaping @Sendable (SettleOutcome) -> SettleOutcome) {
        onSettle = { consumer, requests throws(QueueError) in
            try await consumer.base.settle(requests).map(change)
        }
    }

    /// Replaces some settlements by a fresh copy of the message, which every group gets.
    mutating func republish(_ copy: @escaping @Sendable (Delivery, Settlement) -> Message?) {
        onSettle = { consumer, requests throws(QueueError) in
            var outcomes: [SettleOutcome] = []
            for request in requests {
                let delivery = consumer.notes.delivery(request.receipt)
                let message = delivery.flatMap { copy($0, request.settlement) }
                let settlement = message == nil ? request.settlement : .acknowledge
                outcomes += try await consumer.base.settle([SettleRequest(request.receipt, settlement)])
                if let message { _ = try await consumer.client.base.publish([message], to: consumer.queue) }
            }
            return outcomes
        }
    }

    /// Changes the settings that a queue is created with.
    mutating func changeDefinitions(_ change: @escaping @Sendable (inout QueueDefinition) -> Void) {
        onDeclare = { base, definition throws(QueueError) in
            var changed = definition
            change(&changed)
            try await base.declare(changed)
        }
    }

    /// Changes every dead letter that is listed.
    mutating func changeLetters(_ change: @escaping @Sendable (inout ChangedLetter) -> Void) {
        onDeadLetters = { base, query throws(QueueError) in
            let page = try await base.letters(query)
            let letters = page.elements.map { letter in
                var changed = ChangedLetter(letter)
                change(&changed)
                return changed.letter
            }
            return Page(letters, next: page.next)
        }
    }

    /// Changes what the client says it can do.
    mutating func changeSupport(
        _ change: @escaping @Sendable (inout [Capabilities.Feature: Capabilities.Support]) -> Void
    ) {
        onCapabilities = { capabilities in
            let features = Capabilities.Feature.allCases
            var support = Dictionary(uniqueKeysWithValues: features.map { ($0, capabilities[$0]) })
            change(&support)
            return Capabilities(
                system: capabilities.system,
                version: capabilities.version,
                durability: capabilities.durability,
                maxBodyBytes: capabilities.maxBodyBytes,
                support: support,
                findings: capabilities.findings
            )
        }
    }

    /// Changes the figures of a queue.
    mutating func changeQueueFigures(_ change: @escaping @Sendable (inout QueueStatistics) -> Void) {
        onStatistics = { base, queue throws(QueueError) in
            var statistics = try await base.statistics(of: queue)
            change(&statistics)
            return statistics
        }
    }

    /// Changes the figures of every group.
    mutating func changeFigures(_ change: @escaping @Sendable (inout GroupStatistics) -> Void) {
        onStatistics = { base, queue throws(QueueError) in
            var statistics = try await base.statistics(of: queue)
            for index in statistics.groups.indices { change(&statistics.groups[index]) }
            return statistics
        }
    }
}

extension MessageQueue {
    func open(_ opening: MutantQueue.Opening) async throws(QueueError) -> any QueueConsumer {
        try await consume(
            opening.queue,
            group: opening.group,
            consumer: opening.consumer,
            options: opening.options
        )
    }

    func letters(_ query: MutantQueue.LetterQuery) async throws(QueueError) -> Page<DeadLetter> {
        try await deadLetters(of: query.queue, matching: query.filter, after: query.after, limit: query.limit)
    }

    /// The dead letters of a queue, up to 1000.
    func allLetters(of queue: String) async throws(QueueError) -> [DeadLetter] {
        try await deadLetters(of: queue, matching: .all, after: nil, limit: 1000).elements
    }

    /// Finishes everything that is ready for a group.
    func drain(_ queue: String, group: String) async throws(QueueError) {
        let options = ConsumerOptions(mode: .atMostOnce)
        let consumer = try await consume(queue, group: group, consumer: "mutant", options: options)
        _ = try await consumer.receive(max: 1000, wait: .zero)
        await consumer.close()
    }
}

extension Message {
    /// The same message under a new id.
    func copy(due: Due? = nil) -> Message {
        Message(body: body, key: key, headers: headers, contentType: contentType, due: due)
    }
}

/// A delivery that can be changed.
struct ChangedDelivery {
    private let original: Delivery
    var message: Message
    var attempt: Int
    var redrives: Int
    var history: [Failure]
    var hasTime = true

    init(_ delivery: Delivery) {
        original = delivery
        message = delivery.message
        attempt = delivery.attempt
        redrives = delivery.redrives
        history = delivery.history
    }

    var delivery: Delivery {
        Delivery(
            message: message,
            queue: original.queue,
            group: original.group,
            attempt: attempt,
            receipt: original.receipt,
            publishedAt: hasTime ? original.publishedAt : nil,
            redrives: redrives,
            history: history
        )
    }
}

/// A dead letter that can be changed.
struct ChangedLetter {
    private let original: DeadLetter
    var message: Message
    var group: String?
    var reason: DeadLetterReason
    var error: String?
    var attempts: Int
    var hasTime = true
    var hasPublication = true
    var history: [Failure]

    init(_ letter: DeadLetter) {
        original = letter
        message = letter.message
        group = letter.group
        reason = letter.reason
        error = letter.error
        attempts = letter.attempts
        history = letter.history
    }

    var letter: DeadLetter {
        DeadLetter(
            id: original.id,
            message: message,
            queue: original.queue,
            group: group,
            reason: reason,
            error: error,
            attempts: attempts,
            failedAt: hasTime ? original.failedAt : nil,
            publishedAt: hasPublication ? original.publishedAt : nil,
            history: history
        )
    }
}

/// The outcome of a call as a value.
func attempt<Value>(_ call: () async throws(QueueError) -> Value) async -> Result<Value, QueueError> {
    do {
        return .success(try await call())
    } catch {
        return .failure(error)
    }
}
