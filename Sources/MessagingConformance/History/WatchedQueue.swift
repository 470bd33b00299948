import Messaging

/// A client whose calls can be seen while they last, so that a case that hangs can say what it waits for.
struct WatchedQueue: QueueDecorator {
    let base: any MessageQueue
    let history: History

    func capabilities() async throws(QueueError) -> Capabilities {
        try await history.during("capabilities") { () throws(QueueError) in try await base.capabilities() }
    }

    func declare(_ definition: QueueDefinition) async throws(QueueError) {
        try await history.during("declare of \(definition.name)") { () throws(QueueError) in
            try await base.declare(definition)
        }
    }

    func definition(of queue: String) async throws(QueueError) -> QueueDefinition? {
        try await history.during("definition of \(queue)") { () throws(QueueError) in
            try await base.definition(of: queue)
        }
    }

    func queues() async throws(QueueError) -> [String] {
        try await history.during("queues") { () throws(QueueError) in try await base.queues() }
    }

    func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        try await history.during("publish of \(messages.count) to \(queue)") { () throws(QueueError) in
            try await base.publish(messages, to: queue)
        }
    }

    func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        let made = try await history.during("consume by \(consumer) of \(queue)") { () throws(QueueError) in
            try await base.consume(queue, group: group, consumer: consumer, options: options)
        }
        return WatchedConsumer(base: made, history: history)
    }

    func statistics(of queue: String) async throws(QueueError) -> QueueStatistics {
        try await history.during("statistics of \(queue)") { () throws(QueueError) in
            try await base.statistics(of: queue)
        }
    }

    func deadLetters(
        of queue: String,
        matching filter: DeadLetterFilter,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<DeadLetter> {
        try await history.during("deadLetters of \(queue)") { () throws(QueueError) in
            try await base.deadLetters(of: queue, matching: filter, after: after, limit: limit)
        }
    }

    func redrive(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await history.during("redrive of \(ids.count) of \(queue)") { () throws(QueueError) in
            try await base.redrive(ids, of: queue)
        }
    }

    func discardDeadLetters(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await history.during("discardDeadLetters of \(ids.count) of \(queue)") { () throws(QueueError) in
            try await base.discardDeadLetters(ids, of: queue)
        }
    }

    func scheduled(of queue: String, after: String?, limit: Int) async throws(QueueError) -> Page<ScheduledMessage> {
        try await history.during("scheduled of \(queue)") { () throws(QueueError) in
            try await base.scheduled(of: queue, after: after, limit: limit)
        }
    }

    func cancelScheduled(_ ids: [MessageID], of queue: String) async throws(QueueError) -> [MessageID] {
        try await history.during("cancelScheduled of \(ids.count) of \(queue)") { () throws(QueueError) in
            try await base.cancelScheduled(ids, of: queue)
        }
    }

    func close() async {
        let call = history.enter("close of a client")
        await base.close()
        history.leave(call)
    }
}

/// A consumer whose calls can be seen while they last.
private struct WatchedConsumer: ConsumerDecorator {
    let base: any QueueConsumer
    let history: History

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        let text = "receive by \(name) of \(queue), at most \(max) within \(wait.inSeconds) s"
        return try await history.during(text) { () throws(QueueError) in
            try await base.receive(max: max, wait: wait)
        }
    }

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        try await history.during("settle of \(requests.count) by \(name) of \(queue)") { () throws(QueueError) in
            try await base.settle(requests)
        }
    }

    func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] {
        try await history.during("renew of \(receipts.count) by \(name) of \(queue)") { () throws(QueueError) in
            try await base.renew(receipts)
        }
    }

    func close() async {
        let call = history.enter("close of \(name) of \(queue)")
        await base.close()
        history.leave(call)
    }
}
