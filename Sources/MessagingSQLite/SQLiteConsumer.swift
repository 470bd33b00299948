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
        /// What gives back all that was held; whoever else closes this consumer waits for it too.
        var leaving: Task<Void, Never>?
        /// The places in the line of the calls to `receive` that are under way.
        var tickets: Set<Wakeups.Ticket> = []
        /// How many of them have a transaction under way.
        var looks = 0
        /// Who closes this consumer, and waits for those.
        var onQuiet: CheckedContinuation<Void, Never>?
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
    /// Far enough for every purpose, and far from the overflow that would trap.
    private static let longestWait: Duration = .seconds(86400 * 365 * 100)

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
        let deadline = clock.now() + Swift.min(Swift.max(wait, .zero), Self.longestWait)
        // Whether this call was woken and has not looked since. If it ends so, somebody else is woken instead: what
        // became available would wait for somebody to look by chance.
        var owesLook = false
        defer { if owesLook { file.wakeups.wake(group: groupID) } }
        while true {
            try checkOpen()
            if Task.isCancelled { throw cancelled }
            // In the line before the look, so that nothing falls between the look and the wait.
            let ticket = enterLine()
            let taken: Taken
            do throws(QueueError) {
                taken = try await look(max)
            } catch {
                if leaveLine(ticket) { owesLook = true }
                throw error
            }
            if !taken.deliveries.isEmpty {
                owesLook = leaveLine(ticket) || taken.hasMore
                return taken.deliveries
            }
            let now = clock.now()
            if !taken.hasMore, now < deadline {
                await file.wakeups.wait(ticket, until: moment(taken, now, deadline), clock: clock)
            }
            owesLook = leaveLine(ticket)
            // A look gets only so much done; the next one goes on where it ended.
            if !taken.hasMore, clock.now() >= deadline { return [] }
        }
    }

    /// Takes a place in the line of the group that closing this consumer gives up.
    private func enterLine() -> Wakeups.Ticket {
        let ticket = file.wakeups.register(group: groupID, queue: queueID)
        let isClosed = state.withLock { state in
            state.tickets.insert(ticket)
            return state.isClosed
        }
        if isClosed { file.wakeups.giveUp(ticket) }
        return ticket
    }

    /// - Returns: Whether the place had been woken.
    private func leaveLine(_ ticket: Wakeups.Ticket) -> Bool {
        state.withLock { _ = $0.tickets.remove(ticket) }
        return file.wakeups.leave(ticket)
    }

    /// When to look again although nobody woke this consumer.
    private func moment(_ taken: Taken, _ now: Duration, _ deadline: Duration) -> Duration {
        var moment = min(deadline, now + Self.heartbeat)
        if let next = taken.next {
            let delay = Swift.max(0, next - FileTime.present(file.clock.date()))
            moment = min(moment, now + .milliseconds(delay))
        }
        return moment
    }

    private func look(_ max: Int) async throws(QueueError) -> Taken {
        let member = member
        try beginLook()
        defer { endLook() }
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

    private func beginLook() throws(QueueError) {
        let isClosed = state.withLock { state in
            if !state.isClosed { state.looks += 1 }
            return state.isClosed
        }
        if isClosed { throw closed }
    }

    private func endLook() {
        let continuations = state.withLock { state in
            state.looks -= 1
            return state.looks == 0 ? state.onQuiet.take() : nil
        }
        continuations?.resume()
    }

    /// Waits until no look is under way, so that what it brings is given back before the client is closed.
    private func quiet() async {
        await withCheckedContinuation { continuation in
            let isQuiet = state.withLock { state in
                if state.looks > 0 { state.onQuiet = continuation }
                return state.looks == 0
            }
            if isQuiet { continuation.resume() }
        }
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

    /// One that was dropped gives back what it held as if it had been closed, if the client is still open.
    deinit {
        let held = state.withLock { $0.isClosed ? nil : $0.ledger.takeAll() }
        guard let held else { return }
        file.commits.post { [member] transaction in
            try transaction.giveBack(held, isCounted: true, by: member)
            try transaction.leave(member)
        }
    }

    func close() async {
        let leaving = state.withLock { state in
            if let leaving = state.leaving { return leaving }
            state.isClosed = true
            let (held, tickets) = (state.ledger.takeAll(), state.tickets)
            let leaving = Task { await self.leave(held, tickets) }
            state.leaving = leaving
            return leaving
        }
        await leaving.value
    }

    private func leave(_ held: [Receipt], _ tickets: Set<Wakeups.Ticket>) async {
        for ticket in tickets { file.wakeups.giveUp(ticket) }
        await quiet()
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
