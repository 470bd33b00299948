import Messaging
import Synchronization

/// A client that notes in a history what it was asked and what the backend answered.
package final class RecordingQueue: QueueDecorator {
    package let base: any MessageQueue
    private let history: History
    private let number: Int
    private let closed = Mutex(false)

    package init(_ base: any MessageQueue, _ history: History) {
        self.base = base
        self.history = history
        number = history.number()
    }

    /// Whether `close` was called.
    var isClosed: Bool { closed.withLock { $0 } }

    package func declare(_ definition: QueueDefinition) async throws(QueueError) {
        let wasClosed = isClosed
        let places = history.begin([.declared(definition, .unknown("it has not ended"))])
        do {
            try await base.declare(definition)
        } catch {
            history.end(places, [.declared(definition, Self.answer(error, wasClosed))])
            throw error
        }
        history.end(places, [.declared(definition, .done)])
    }

    package func deleteQueue(_ queue: String) async throws(QueueError) -> Bool {
        // What was accepted goes with it: the laws about what becomes of messages say nothing of such a queue.
        history.noteForeign(queue)
        return try await base.deleteQueue(queue)
    }

    package func publish(_ messages: [Message], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        let published = messages.enumerated().map { index, message in
            HistoryEvent.Published(
                message.id,
                body: Self.digest(message.body),
                key: message.key,
                hasDue: message.due != nil,
                index: index
            )
        }
        func kinds(_ outcome: (Int) -> HistoryEvent.Publication) -> [HistoryEvent.Kind] {
            published.map { .published($0, queue: queue, outcome($0.index)) }
        }
        let wasClosed = isClosed
        let places = history.begin(kinds { _ in .unknown("it has not ended") })
        let outcomes: [PublishOutcome]
        do {
            outcomes = try await base.publish(messages, to: queue)
        } catch {
            switch Self.answer(error, wasClosed) {
            case .unknown(let text): history.end(places, kinds { _ in .unknown(text) })
            default: history.end(places, kinds { _ in .refused("\(error.code)") })
            }
            throw error
        }
        history.end(
            places,
            kinds { index in
                guard index < outcomes.count else { return .unknown("there is no outcome") }
                switch outcomes[index] {
                case .accepted: return .accepted
                case .duplicate: return .duplicate
                case .refused(let error): return .refused("\(error.code)")
                case .indeterminate(let error): return .unknown("\(error.code)")
                }
            }
        )
        return outcomes
    }

    package func consume(
        _ queue: String,
        group: String,
        consumer: String,
        options: ConsumerOptions
    ) async throws(QueueError) -> any QueueConsumer {
        let made = try await base.consume(queue, group: group, consumer: consumer, options: options)
        let member = HistoryEvent.Member(
            history.number(),
            client: number,
            queue: queue,
            group: group,
            name: consumer,
            lease: made.lease,
            isAtMostOnce: options.mode == .atMostOnce
        )
        return RecordingConsumer(made, member, history)
    }

    package func deadLetters(
        of queue: String,
        matching filter: DeadLetterFilter,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<DeadLetter> {
        let begin = history.point()
        let page = try await base.deadLetters(of: queue, matching: filter, after: after, limit: limit)
        history.record(
            since: begin,
            page.elements.map { .listed(.init($0.id, of: $0.message.id, group: $0.group), queue: queue) }
        )
        return page
    }

    package func redrive(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await note(ids, { .redriven(letter: $0, queue: queue, $1) }) { () throws(QueueError) in
            try await self.base.redrive(ids, of: queue)
        }
    }

    package func discardDeadLetters(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await note(ids, { .discarded(letter: $0, queue: queue, $1) }) { () throws(QueueError) in
            try await self.base.discardDeadLetters(ids, of: queue)
        }
    }

    package func cancelScheduled(_ ids: [MessageID], of queue: String) async throws(QueueError) -> [MessageID] {
        try await note(ids, { .cancelled($0, queue: queue, $1) }) { () throws(QueueError) in
            try await self.base.cancelScheduled(ids, of: queue)
        }
    }

    package func close() async {
        let places = history.begin([.clientClosed(number)])
        closed.withLock { $0 = true }
        await base.close()
        history.end(places, [.clientClosed(number)])
    }

    /// Notes a call that is asked to do something to each of some ids and says to which it did.
    private func note<ID: Hashable & Sendable>(
        _ ids: [ID],
        _ kind: (ID, HistoryEvent.Answer) -> HistoryEvent.Kind,
        _ call: () async throws(QueueError) -> [ID]
    ) async throws(QueueError) -> [ID] {
        var seen = Set<ID>()
        let different = ids.filter { seen.insert($0).inserted }
        let wasClosed = isClosed
        let places = history.begin(different.map { kind($0, .unknown("it has not ended")) })
        let done: [ID]
        do {
            done = try await call()
        } catch {
            let answer = Self.answer(error, wasClosed)
            history.end(places, different.map { kind($0, answer) })
            throw error
        }
        let found = Set(done)
        history.end(places, different.map { kind($0, found.contains($0) ? .done : .notDone("passed over")) })
        return done
    }

    /// Tells what an error lets one conclude: a call that fails has done nothing, unless the error leaves it open or the
    /// client was closed under the call.
    static func answer(_ error: QueueError, _ wasClosed: Bool) -> HistoryEvent.Answer {
        let isOpen: Set<QueueError.Code> = [.indeterminate, .cancelled, .brokerError]
        if isOpen.contains(error.code) || (error.code == .closed && !wasClosed) { return .unknown("\(error.code)") }
        return .notDone("\(error.code)")
    }

    /// A number that two bodies share only by accident.
    static func digest(_ body: [UInt8]) -> Int {
        var hasher = Hasher()
        body.withUnsafeBytes { hasher.combine(bytes: $0) }
        hasher.combine(body.count)
        return hasher.finalize()
    }
}
