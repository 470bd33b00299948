import Messaging
import Synchronization

/// A consumer that notes in a history what it got and how it ended.
package final class RecordingConsumer: ConsumerDecorator {
    package let base: any QueueConsumer
    private let member: HistoryEvent.Member
    private let history: History
    private let closed = Mutex(false)

    init(_ base: any QueueConsumer, _ member: HistoryEvent.Member, _ history: History) {
        self.base = base
        self.member = member
        self.history = history
    }

    // What a consumer held that nobody has any more may come back at once.
    deinit {
        if !closed.withLock({ $0 }) { history.record(since: history.point(), [.consumerClosed(member)]) }
    }

    package func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        let pending = HistoryEvent.Kind.receiveFailed(member, isCancelled: false, "it has not ended")
        // What an unfinished receive takes at most once is gone; otherwise empty ones would only fill the history.
        let places = member.isAtMostOnce ? history.begin([pending]) : 0..<0
        let begin = history.point()
        let deliveries: [Delivery]
        do {
            deliveries = try await base.receive(max: max, wait: wait)
        } catch {
            let isCancelled = error.code == .cancelled
            let kind = HistoryEvent.Kind.receiveFailed(member, isCancelled: isCancelled, "\(error.code)")
            if places.isEmpty { history.record(since: begin, [kind]) } else { history.end(places, [kind]) }
            throw error
        }
        let kinds = deliveries.map { delivery in
            HistoryEvent.Kind.delivered(
                .init(
                    delivery.message.id,
                    body: RecordingQueue.digest(delivery.message.body),
                    attempt: delivery.attempt,
                    redrives: delivery.redrives,
                    receipt: delivery.receipt
                ),
                to: member
            )
        }
        if !kinds.isEmpty { history.record(since: begin, kinds) }
        if !places.isEmpty { history.end(places, [.received(member)]) }
        return deliveries
    }

    package func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        func kinds(_ answer: (Int) -> HistoryEvent.SettleAnswer) -> [HistoryEvent.Kind] {
            requests.enumerated().map { .settled($1.receipt, $1.settlement, by: member, answer($0)) }
        }
        let wasClosed = closed.withLock { $0 }
        let places = history.begin(kinds { _ in .unknown("it has not ended") })
        let outcomes: [SettleOutcome]
        do {
            outcomes = try await base.settle(requests)
        } catch {
            // A consumer that was closed before cannot have settled anything.
            let isLost = error.code == .closed && wasClosed
            history.end(places, kinds { _ in isLost ? .leaseLost : .unknown("\(error.code)") })
            throw error
        }
        history.end(
            places,
            kinds { index in
                guard index < outcomes.count else { return .unknown("there is no outcome") }
                switch outcomes[index] {
                case .settled: return .settled
                case .leaseLost: return .leaseLost
                case .alreadySettled: return .alreadySettled
                case .failed(let error): return .unknown("\(error.code)")
                }
            }
        )
        return outcomes
    }

    package func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] {
        let begin = history.point()
        let renewed = try await base.renew(receipts)
        history.record(since: begin, zip(receipts, renewed).map { .renewed($0, by: member, $1) })
        return renewed
    }

    package func close() async {
        let places = history.begin([.consumerClosed(member)])
        closed.withLock { $0 = true }
        await base.close()
        history.end(places, [.consumerClosed(member)])
    }
}
