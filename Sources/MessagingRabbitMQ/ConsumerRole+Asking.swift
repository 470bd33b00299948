#if RabbitMQ
import DequeModule
import Messaging

// What a consumer asks of the broker: subscriptions, single messages, acknowledgements and whether the queue is there.

extension ConsumerRole {
    /// Asks the broker for what is wanted.
    func fetch(_ now: Duration) throws(QueueError) {
        guard connection != nil, isOpen else { return }
        if !givenBack.isEmpty, !waiters.isEmpty || isUsedUp {
            for tag in givenBack { window.finish(tag) }
            givenBack.removeAll()
            finishedAt = finishedAt ?? now
        }
        let wanted = waiters.filter { $0.deadline != nil }.reduce(0) { $0 + $1.max }
        if wanted > 0 {
            if isNew { try subscribe(wanted) }
        }
        // In a flood who was answered a moment ago asks again in the next one.
        if wanted > 0 || gathering.isBusy, mustAcknowledge(now) { try flush() }
        if let waiter = waiters.first(where: { $0.deadline == nil }) { try askOnce(waiter) }
        isNew = false
        guard waiters.isEmpty else { return }
        if let finishedAt, now >= finishedAt + Self.linger || subscription.size == 0 {
            try unsubscribe()
            try flush()
        }
        if !buffer.isEmpty, now >= arrivedAt + Self.grace {
            try unsubscribe()
            context.giveBack(buffer.map { ($0.tag, $0.wire) })
            buffer.removeAll()
        }
    }

    /// Answers calls that ask once: with a subscription everything there is has come already, without one single messages
    /// are asked for until there are no more.
    private func askOnce(_ waiter: Waiter) throws(QueueError) {
        if !isUsedUp {
            try flush()
            for waiter in waiters where waiter.deadline == nil { waiter.finish(.success([])) }
            waiters.removeAll { $0.deadline == nil }
            return
        }
        guard asked == 0 else { return }
        if isDry {
            isDry = false
            waiters.removeAll { $0.number == waiter.number }
            return waiter.finish(.success([]))
        }
        try unsubscribe()
        try flush()
        // One at first: most calls of this kind find nothing.
        asked = buffer.isEmpty ? 1 : min(waiter.max - buffer.count, Self.gets)
        for _ in 0..<asked { try connection?.send(.get(queue: source)) }
    }

    /// Whether acknowledgements leave although there may be more of them soon.
    private func mustAcknowledge(_ now: Duration) -> Bool {
        guard let finishedAt else { return false }
        return now >= finishedAt + Self.linger
            || subscription.mustAcknowledge(waiting: window.waitingCount, out: window.marked)
    }

    /// Asks whether the queue is there, after the acknowledgements.
    func prove(_ now: Duration) throws(QueueError) {
        if let proof = proofs.first, now >= proof.deadline {
            throw QueueError(.unavailable, "RabbitMQ at \(configuration.endpoint) did not answer in time")
        }
        guard proofs.count > proofsAsked else { return }
        try flush()
        for _ in proofsAsked..<proofs.count { try connection?.send(.queueExists(source)) }
        proofsAsked = proofs.count
    }

    private var isUsedUp: Bool { subscription.isUsedUp(out: window.marked) }

    private func subscribe(_ wanted: Int) throws(QueueError) {
        let step = subscription.step(wanted: wanted, out: window.marked, finished: window.markedWaiting)
        guard case .renew(let size) = step else { return }
        try unsubscribe()
        try flush()
        subscriptions += 1
        subscription.size = size
        context.setSubscribed(true)
        window.setMark()
        try connection?.send(.prefetch(UInt16(clamping: size)))
        try connection?.send(.consume(queue: source, tag: tag))
    }

    /// Ends the subscription if it is used up.
    func unsubscribe() throws(QueueError) {
        guard subscription.size > 0, isUsedUp else { return }
        subscription.size = 0
        context.setSubscribed(false)
        try connection?.send(.cancel(tag: tag))
    }

    private var tag: String { "\(context.name)#\(subscriptions)" }

    func flush() throws(QueueError) {
        finishedAt = nil
        guard let connection else { return }
        for one in window.takeAcknowledgements() {
            try connection.send(.acknowledge(one.tag, multiple: one.multiple))
            unproven += 1
        }
    }

    /// Whether the connection can be closed now: a channel that ends forgets acknowledgements which its queue has no room
    /// for yet, so the answer to one more question proves that there are few of them.
    func canLeave(_ now: Duration) throws(QueueError) -> Bool {
        guard let leaving, connection != nil, isOpen, now < leaving.until else { return true }
        for tag in givenBack { window.finish(tag) }
        givenBack.removeAll()
        try unsubscribe()
        try flush()
        if unproven > Self.fewAcknowledgements, asked == 0 {
            unproven = 0
            asked = 1
            try connection?.send(.get(queue: source))
        }
        return asked == 0
    }
}
#endif
