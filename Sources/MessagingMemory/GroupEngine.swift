import DequeModule
import Messaging

/// One group of a queue: what it has read, who holds what, what waits for its time or for its key.
///
/// A message of the group is unread, held back behind its key, ready, leased or delayed, until it is finished.
struct GroupEngine: Sendable {
    /// A message that the group has read.
    struct Pending: Sendable {
        let position: UInt64
        var attempt = 0
        var redrives = 0
        var history: [Failure] = []
    }

    private struct Lease: Sendable {
        var pending: Pending
        let consumer: UInt32
        var until: Duration

        func receipt(_ number: UInt64) -> Receipt {
            Receipt(
                high: number,
                low: pending.position,
                fence: UInt32(truncatingIfNeeded: pending.attempt),
                source: consumer
            )
        }
    }

    private struct Delayed: Comparable, Sendable {
        let due: Deadline
        let pending: Pending

        static func < (left: Delayed, right: Delayed) -> Bool { left.due < right.due }
        static func == (left: Delayed, right: Delayed) -> Bool { left.due == right.due }
    }

    private struct Member: Sendable {
        let name: String
        let mode: ConsumerOptions.Mode
        var ledger = SettlementLedger()
    }

    let number: Int
    let queue: String
    let definition: GroupDefinition
    private let isKeyed: Bool

    private var cursor: UInt64
    private var unread: Int
    private var ready: Deque<Pending> = []
    /// What waits behind each key that has a message ready, leased or delayed.
    private var lanes: [String: Deque<Pending>] = [:]
    private var heldBack = 0
    private var leases = SparseLog<Lease>()
    private var expiries = BinaryHeap<Deadline>()
    private var delayed = BinaryHeap<Delayed>()
    private var delays: UInt64 = 0
    private var dead = 0
    private var members: [UInt32: Member] = [:]

    init(number: Int, queue: String, definition: GroupDefinition, isKeyed: Bool, cursor: UInt64, unread: Int) {
        self.number = number
        self.queue = queue
        self.definition = definition
        self.isKeyed = isKeyed
        self.cursor = cursor
        self.unread = unread
    }

    /// How many messages wait only for somebody to take them, those behind their key included.
    var readyCount: Int { unread + ready.count + heldBack }

    func statistics(log: MessageLog, scheduled: Int, now: Duration) -> GroupStatistics {
        GroupStatistics(
            group: definition.name,
            ready: .exact(readyCount),
            inFlight: .exact(leases.count),
            delayed: .exact(delayed.count + scheduled),
            dead: .exact(dead),
            consumers: .exact(members.count),
            oldestAge: oldest(log).map { now - $0 }
        )
    }

    private func oldest(_ log: MessageLog) -> Duration? {
        var positions = ready.map(\.position) + lanes.values.compactMap { $0.first?.position }
        if unread > 0, let position = log.nextShared(from: cursor) { positions.append(position) }
        var number = leases.next(from: 0)
        while let held = number {
            leases.read(held) { positions.append($0.pending.position) }
            number = leases.next(from: held + 1)
        }
        return positions.lazy.compactMap { log.read($0) { $0.entered } }.min()
    }

    // MARK: Members

    mutating func join(_ consumer: UInt32, name: String, mode: ConsumerOptions.Mode) {
        members[consumer] = Member(name: name, mode: mode)
    }

    func hasMember(_ consumer: UInt32) -> Bool { members[consumer] != nil }

    /// Takes a member out; what it holds becomes available at once, with the attempt counted.
    mutating func leave(_ consumer: UInt32, at moment: Moment, store: inout QueueStore) {
        guard var member = members.removeValue(forKey: consumer) else { return }
        for receipt in member.ledger.takeAll().sorted(by: { $0.high < $1.high }) {
            guard let lease = leases.remove(receipt.high) else { continue }
            takeBack(lease.pending, from: member.name, "the consumer was closed", at: moment, store: &store)
        }
    }

    // MARK: Time

    /// Notes that a message for every group was added to the log.
    mutating func noteAppended() { unread += 1 }

    /// Takes in a message that is for this group alone.
    mutating func redriven(_ pending: Pending, log: MessageLog) {
        dead -= 1
        if isKeyed, let key = log.key(at: pending.position) {
            guard lanes[key] == nil else {
                lanes[key]?.append(pending)
                heldBack += 1
                return
            }
            lanes[key] = []
        }
        ready.append(pending)
    }

    mutating func noteDiscarded() { dead -= 1 }

    /// Returns when the next lease or delay ends.
    mutating func next() -> Duration? {
        while let first = expiries.min, !isCurrent(first) { expiries.popMin() }
        guard let lease = expiries.min?.at else { return delayed.min?.due.at }
        return delayed.min.map { Swift.min($0.due.at, lease) } ?? lease
    }

    /// Carries out everything whose time has come, in the order of time.
    mutating func advance(to moment: Moment, store: inout QueueStore) {
        while let next = next(), next <= moment.now {
            if let first = delayed.min, first.due.at == next {
                delayed.popMin()
                ready.append(first.pending)
            } else if let first = expiries.popMin(), let lease = leases.remove(first.number) {
                members[lease.consumer]?.ledger.lose(lease.receipt(first.number))
                takeBack(
                    lease.pending,
                    from: members[lease.consumer]?.name ?? "",
                    "the lease ran out",
                    at: moment.at(next),
                    store: &store
                )
            }
        }
    }

    private func isCurrent(_ deadline: Deadline) -> Bool {
        leases.read(deadline.number) { $0.until == deadline.at } ?? false
    }

    // MARK: Deliveries

    mutating func take(
        max: Int,
        for consumer: UInt32,
        at moment: Moment,
        store: inout QueueStore
    ) -> [Delivery] {
        guard readyCount > heldBack, var member = members.removeValue(forKey: consumer) else { return [] }
        var deliveries: [Delivery] = []
        deliveries.reserveCapacity(Swift.min(max, unread + ready.count))
        while deliveries.count < max, var pending = nextReady(store.log) {
            pending.attempt += 1
            let lease = Lease(pending: pending, consumer: consumer, until: moment.now + definition.lease)
            let number = leases.append(lease)
            let receipt = lease.receipt(number)
            let entry = store.log.read(pending.position) { ($0.message, $0.published) }
            guard let (message, published) = entry else { preconditionFailure("an unfinished message is gone") }
            deliveries.append(
                Delivery(
                    message: message,
                    queue: queue,
                    group: definition.name,
                    attempt: pending.attempt,
                    receipt: receipt,
                    publishedAt: published,
                    redrives: pending.redrives,
                    history: pending.history
                )
            )
            member.ledger.handOver(receipt)
            switch member.mode {
            case .atLeastOnce:
                expiries.insert(Deadline(at: lease.until, number: number))
            case .atMostOnce:
                _ = member.ledger.begin(receipt)
                member.ledger.end(receipt, .settled)
                leases.remove(number)
                finish(pending, now: moment.now, log: &store.log)
            }
        }
        members[consumer] = member
        return deliveries
    }

    private mutating func nextReady(_ log: MessageLog) -> Pending? {
        if let pending = ready.popFirst() { return pending }
        while unread > 0, let position = log.nextShared(from: cursor) {
            cursor = position + 1
            unread -= 1
            let pending = Pending(position: position)
            guard isKeyed, let key = log.key(at: position) else { return pending }
            guard lanes[key] != nil else {
                lanes[key] = []
                return pending
            }
            lanes[key]?.append(pending)
            heldBack += 1
        }
        return nil
    }

    mutating func renew(_ receipts: [Receipt], by consumer: UInt32, now: Duration) -> [Bool]? {
        guard let ledger = members[consumer]?.ledger else { return nil }
        let until = now + definition.lease
        let renewed = receipts.map { receipt in
            guard ledger.holds(receipt) else { return false }
            guard leases.update(receipt.high, { $0.until = until }) != nil else { return false }
            expiries.insert(Deadline(at: until, number: receipt.high))
            return true
        }
        dropOldExpiries()
        return renewed
    }

    /// Keeps the deadlines of leases that have ended from piling up behind one that lasts.
    private mutating func dropOldExpiries() {
        guard expiries.count > 2 * leases.count + 256 else { return }
        let leases = leases
        expiries.keep { deadline in leases.read(deadline.number) { $0.until == deadline.at } ?? false }
    }

    // MARK: Settlement

    mutating func settle(
        _ requests: [SettleRequest],
        by consumer: UInt32,
        at moment: Moment,
        store: inout QueueStore
    ) -> [SettleOutcome]? {
        guard var member = members.removeValue(forKey: consumer) else { return nil }
        var outcomes: [SettleOutcome] = []
        outcomes.reserveCapacity(requests.count)
        for request in requests {
            switch member.ledger.begin(request.receipt) {
            case .alreadySettled: outcomes.append(.alreadySettled)
            case .leaseLost: outcomes.append(.leaseLost)
            case .proceed:
                guard let lease = leases.remove(request.receipt.high) else {
                    preconditionFailure("the ledger holds a delivery that the group does not")
                }
                carryOut(request.settlement, lease.pending, by: member.name, at: moment, store: &store)
                member.ledger.end(request.receipt, .settled)
                outcomes.append(.settled)
            }
        }
        members[consumer] = member
        dropOldExpiries()
        return outcomes
    }

    private mutating func carryOut(
        _ settlement: Settlement,
        _ pending: Pending,
        by consumer: String,
        at moment: Moment,
        store: inout QueueStore
    ) {
        var pending = pending
        switch settlement {
        case .acknowledge, .discard:
            finish(pending, now: moment.now, log: &store.log)
        case .release:
            pending.attempt -= 1
            ready.append(pending)
        case .retry(let delay, let error):
            pending.note(error, by: consumer, at: moment)
            if pending.attempt >= definition.maxAttempts {
                bury(pending, .attemptsExhausted, error, at: moment, store: &store)
            } else if delay > .zero {
                delays += 1
                let due = Deadline(at: moment.now + delay.bounded, number: delays)
                delayed.insert(Delayed(due: due, pending: pending))
            } else {
                ready.append(pending)
            }
        case .reject(let reason, let error):
            pending.note(error, by: consumer, at: moment)
            bury(pending, reason, error, at: moment, store: &store)
        }
    }

    /// Makes a delivery that was not settled available again, or buries it after its last attempt.
    private mutating func takeBack(
        _ pending: Pending,
        from consumer: String,
        _ error: String,
        at moment: Moment,
        store: inout QueueStore
    ) {
        var pending = pending
        pending.note(error, by: consumer, at: moment)
        if pending.attempt >= definition.maxAttempts {
            bury(pending, .attemptsExhausted, error, at: moment, store: &store)
        } else {
            ready.append(pending)
        }
    }

    private mutating func bury(
        _ pending: Pending,
        _ reason: DeadLetterReason,
        _ error: String?,
        at moment: Moment,
        store: inout QueueStore
    ) {
        guard let entry = store.log[pending.position] else { preconditionFailure("an unfinished message is gone") }
        store.dead.append { id in
            let letter = DeadLetter(
                id: id,
                message: entry.message,
                queue: queue,
                group: definition.name,
                reason: reason,
                error: error.map(Failure.shortened),
                attempts: pending.attempt,
                failedAt: moment.date,
                publishedAt: entry.published,
                history: pending.history
            )
            return DeadLetterStore.Record(letter: letter, group: number, redrives: pending.redrives)
        }
        dead += 1
        finish(pending, now: moment.now, log: &store.log)
    }

    /// Lets the group forget a message, and the next one of its key go on.
    private mutating func finish(_ pending: Pending, now: Duration, log: inout MessageLog) {
        if isKeyed, let key = log.key(at: pending.position) {
            if let next = lanes[key]?.popFirst() {
                heldBack -= 1
                ready.append(next)
            } else {
                lanes[key] = nil
            }
        }
        log.finish(pending.position, now: now)
    }
}

extension GroupEngine.Pending {
    fileprivate mutating func note(_ error: String?, by consumer: String, at moment: Moment) {
        history = Failure.history(history, adding: attempt, at: moment.date, by: consumer, error: error)
    }
}
