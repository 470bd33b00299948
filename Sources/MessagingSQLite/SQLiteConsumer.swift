#if SQLite
import Logging
import Messaging
import Synchronization

/// A member of a group of a ``SQLiteQueue``.
final class SQLiteConsumer: QueueConsumer {
    private struct State {
        var ledger = SettlementLedger()
        /// Settlements whose commit failed half way.
        var unknown: Set<Receipt> = []
        var isClosed = false
    }

    let lease: Duration
    private let owner: SQLiteQueue
    private let file: SQLiteFile
    private let member: Member
    private let groupID: Int64
    private let queueID: Int64
    private let state = Mutex(State())

    /// The longest time between two looks, by which the consumer also tells that it is there.
    private static let heartbeat: Duration = .milliseconds(Membership.interval)

    var queue: String { member.queue }
    var group: String { member.group }
    var name: String { member.name }

    init(
        owner: SQLiteQueue,
        file: SQLiteFile,
        member: Member,
        lease: Duration,
        groupID: Int64,
        queueID: Int64
    ) {
        self.owner = owner
        self.file = file
        self.member = member
        self.lease = lease
        self.groupID = groupID
        self.queueID = queueID
    }

    // MARK: - Receiving

    func receive(max: Int, wait: Duration) async throws(QueueError) -> [Delivery] {
        guard 1...1000 ~= max else {
            throw QueueError(.invalidArgument, "receive takes 1 to 1000 deliveries, not \(max)", queue: queue)
        }
        let clock = file.clock
        let deadline = clock.now() + Swift.max(wait, .zero)
        while true {
            try checkOpen()
            if Task.isCancelled { throw cancelled }
            // In the line before the look, so that nothing falls between the look and the wait.
            let ticket = file.wakeups.register(group: groupID, queue: queueID)
            let taken: Taken
            do throws(QueueError) {
                taken = try await look(max, until: deadline)
            } catch {
                if file.wakeups.leave(ticket) { file.wakeups.wake(group: groupID) }
                throw error
            }
            if !taken.deliveries.isEmpty {
                let wasWoken = file.wakeups.leave(ticket)
                if taken.hasMore || wasWoken { file.wakeups.wake(group: groupID) }
                return taken.deliveries
            }
            let now = clock.now()
            if now < deadline {
                await file.wakeups.wait(ticket, until: moment(taken, now, deadline), clock: clock)
            }
            file.wakeups.leave(ticket)
            // Asked at least once more after the wait, unless the time is over.
            if clock.now() >= deadline, now >= deadline { return [] }
            if taken.hasMore { continue }
            if clock.now() >= deadline {
                // What came with the deadline is somebody else's next delivery; it stays.
                file.wakeups.wake(group: groupID)
                return []
            }
        }
    }

    /// When to look again although nobody woke this consumer.
    private func moment(_ taken: Taken, _ now: Duration, _ deadline: Duration) -> Duration {
        var moment = min(deadline, now + Self.heartbeat)
        if let next = taken.next {
            let delay = Swift.max(0, next - UnixTime.milliseconds(file.clock.date()))
            moment = min(moment, now + .milliseconds(delay))
        }
        return taken.hasMore ? now : moment
    }

    private func look(_ max: Int, until deadline: Duration) async throws(QueueError) -> Taken {
        let member = member
        let taken = try await file.commits.perform(isDurable: member.mode == .atMostOnce) { transaction in
            try transaction.take(max, for: member)
        }
        let isClosed = state.withLock { state in
            guard !state.isClosed else { return true }
            for delivery in taken.deliveries {
                state.ledger.handOver(delivery.receipt)
                guard member.mode == .atMostOnce else { continue }
                _ = state.ledger.begin(delivery.receipt)
                state.ledger.end(delivery.receipt, .settled)
            }
            return false
        }
        guard isClosed || Task.isCancelled, member.mode == .atLeastOnce else { return taken }
        let receipts = taken.deliveries.map(\.receipt)
        state.withLock { state in for receipt in receipts { state.ledger.lose(receipt) } }
        await giveBack(receipts, isCounted: false)
        throw isClosed ? closed : cancelled
    }

    // MARK: - Settling

    func settle(_ requests: [SettleRequest]) async throws(QueueError) -> [SettleOutcome] {
        try checkOpen()
        var outcomes = [SettleOutcome](repeating: .leaseLost, count: requests.count)
        var indices: [Int] = []
        indices.reserveCapacity(requests.count)
        state.withLock { state in
            for (index, request) in requests.enumerated() {
                switch state.ledger.begin(request.receipt) {
                case .proceed: indices.append(index)
                case .alreadySettled: outcomes[index] = .alreadySettled
                case .leaseLost: outcomes[index] = .leaseLost
                }
            }
        }
        if indices.isEmpty { return outcomes }
        let member = member
        let proceeding = indices.count == requests.count ? requests : indices.map { requests[$0] }
        let answers: [SettleOutcome]
        do throws(QueueError) {
            answers = try await file.commits.perform { transaction in try transaction.settle(proceeding, by: member) }
        } catch {
            let isUnknown = error.code == .indeterminate
            state.withLock { state in
                for request in proceeding {
                    state.ledger.end(request.receipt, .failed)
                    if isUnknown { state.unknown.insert(request.receipt) }
                }
            }
            guard isUnknown else { throw error }
            for index in indices { outcomes[index] = .failed(error) }
            return outcomes
        }
        state.withLock { state in
            for (index, answer) in zip(indices, answers) {
                outcomes[index] = Self.conclude(requests[index].receipt, answer, &state, queue)
            }
        }
        return outcomes
    }

    private static func conclude(
        _ receipt: Receipt,
        _ answer: SettleOutcome,
        _ state: inout State,
        _ queue: String
    ) -> SettleOutcome {
        let wasUnknown = state.unknown.remove(receipt) != nil
        if case .settled = answer {
            state.ledger.end(receipt, .settled)
            return answer
        }
        state.ledger.end(receipt, .leaseLost)
        guard wasUnknown else { return answer }
        // The first attempt may have done it; nobody can tell it from a lost lease.
        return .failed(
            QueueError(
                .indeterminate,
                "an earlier attempt to settle may have been carried out",
                queue: queue,
                isRetryable: false
            )
        )
    }

    func renew(_ receipts: [Receipt]) async throws(QueueError) -> [Bool] {
        try checkOpen()
        let member = member
        let held = state.withLock { state in receipts.filter { state.ledger.holds($0) } }
        let answers = try await file.commits.perform(isDurable: false) { transaction in
            try transaction.renew(held, by: member)
        }
        let kept = Set(zip(held, answers).filter(\.1).map(\.0))
        return state.withLock { state in
            receipts.map { receipt in
                let isKept = kept.contains(receipt)
                if !isKept { state.ledger.lose(receipt) }
                return isKept
            }
        }
    }

    // MARK: - Closing

    func close() async {
        let held: [Receipt]? = state.withLock { state in
            guard !state.isClosed else { return nil }
            state.isClosed = true
            return state.ledger.takeAll()
        }
        guard let held else { return }
        await giveBack(held, isCounted: true)
        let member = member
        _ = try? await file.commits.perform(isDurable: false) { transaction in try transaction.leave(member) }
        owner.forget(member.token)
    }

    /// Makes deliveries available to others at once.
    private func giveBack(_ receipts: [Receipt], isCounted: Bool) async {
        if receipts.isEmpty { return }
        let member = member
        do throws(QueueError) {
            try await file.commits.perform { transaction in
                try transaction.giveBack(receipts, isCounted: isCounted, by: member)
            }
        } catch {
            owner.logger.warning(
                "deliveries could not be given back; they come again when their lease has run out",
                metadata: [LogKeys.error: "\(error)", LogKeys.count: "\(receipts.count)"]
            )
        }
    }

    private func checkOpen() throws(QueueError) {
        if state.withLock({ $0.isClosed }) { throw closed }
    }

    private var closed: QueueError { QueueError(.closed, "the consumer was closed", queue: queue) }
    private var cancelled: QueueError { QueueError(.cancelled, "receive was cancelled", queue: queue) }
}
#endif
