import Messaging

#if canImport(FoundationEssentials)
import struct FoundationEssentials.Date
#else
import struct Foundation.Date
#endif

/// One queue as a state machine without clock, waiting or I/O: the reference model of the contract.
///
/// Every operation gets the moment at which it happens. `advance` must have been called with that moment before.
struct QueueEngine: Sendable {
    private(set) var definition: QueueDefinition
    private(set) var groups: [GroupEngine] = []
    private let maxBodyBytes: Int
    private var store: QueueStore
    private var dedupe: DedupeWindow
    private var schedule = Schedule()

    init(_ definition: QueueDefinition, maxBodyBytes: Int) {
        self.definition = definition
        self.definition.groups = []
        self.maxBodyBytes = maxBodyBytes
        store = QueueStore(log: MessageLog(retention: definition.retention))
        dedupe = DedupeWindow(window: definition.dedupeWindow)
        for group in definition.groups { _ = add(group) }
    }

    /// How many ids the dedupe window holds.
    var rememberedIDs: Int { dedupe.count }

    func group(_ name: String) -> Int? { groups.firstIndex { $0.definition.name == name } }

    // MARK: Time

    mutating func advance(to moment: Moment) {
        dedupe.expire(now: moment.now)
        if !schedule.isEmpty {
            for item in schedule.takeDue(now: moment.now, date: moment.date) {
                append(item.message, published: item.published, now: moment.now)
            }
        }
        for index in groups.indices { groups[index].advance(to: moment, store: &store) }
        store.log.expire(now: moment.now)
    }

    /// Returns when a message becomes available by time alone.
    mutating func next(after moment: Moment) -> Duration? {
        var next = schedule.next(now: moment.now, date: moment.date)
        for index in groups.indices {
            guard let group = groups[index].next() else { continue }
            next = next.map { min($0, group) } ?? group
        }
        return next
    }

    // MARK: Topology

    mutating func declare(_ wanted: QueueDefinition, at moment: Moment) throws(QueueError) {
        _ = try definition.adding(wanted)
        let complete = moment.date.addingTimeInterval(-definition.retention.inSeconds)
        for group in wanted.groups where self.group(group.name) == nil {
            guard case .at(let date) = group.start, date < complete, store.log.hasRemoved else { continue }
            throw QueueError.positionTrimmed(group: group.name, at: date, complete: complete, queue: definition.name)
        }
        let isFirst = groups.isEmpty
        let starts = wanted.groups.filter { self.group($0.name) == nil }.map { add($0) }
        // Without any group nothing is ever finished: what the first ones all skip is finished now.
        if isFirst, let start = starts.min() { store.log.finishUnread(before: start, now: moment.now) }
    }

    /// Adds a group.
    ///
    /// - Returns: Where it begins.
    private mutating func add(_ group: GroupDefinition) -> UInt64 {
        let start =
            switch group.start {
            case .earliest: UInt64(0)
            case .latest: store.log.end
            case .at(let date): store.log.position(at: date)
            }
        let unread = store.log.addReader(from: start)
        groups.append(
            GroupEngine(
                number: groups.count,
                queue: definition.name,
                definition: group,
                isKeyed: definition.ordering == .keyed,
                cursor: start,
                unread: unread
            )
        )
        definition.groups.append(group)
        return start
    }

    // MARK: Publishing

    mutating func publish(_ messages: [Message], at moment: Moment) -> [PublishOutcome] {
        var ready = readyForSlowest
        var outcomes: [PublishOutcome] = []
        outcomes.reserveCapacity(messages.count)
        for message in messages {
            if let error = refusal(of: message) {
                outcomes.append(.refused(error))
                continue
            }
            switch dedupe.admit(message, now: moment.now) {
            case .duplicate: outcomes.append(.duplicate)
            case .conflict:
                outcomes.append(
                    .refused(
                        QueueError(
                            .idConflict,
                            "the id '\(message.id)' was published before with another body",
                            queue: definition.name
                        )
                    )
                )
            case .new:
                if let due = due(of: message, at: moment) {
                    var message = message
                    message.due = .at(due.date)
                    if due.isLater {
                        schedule.add(message, due: due.date, deadline: due.deadline, published: moment.date)
                        outcomes.append(.accepted)
                        continue
                    }
                    outcomes.append(admit(message, ready: &ready, at: moment))
                } else {
                    outcomes.append(admit(message, ready: &ready, at: moment))
                }
            }
        }
        return outcomes
    }

    private mutating func admit(_ message: Message, ready: inout Int, at moment: Moment) -> PublishOutcome {
        if let bound = definition.maxReady, ready >= bound {
            dedupe.forget(message.id)
            return .refused(
                QueueError(.queueFull, "the queue has reached its bound of \(bound)", queue: definition.name)
            )
        }
        append(message, published: moment.date, now: moment.now)
        ready += 1
        return .accepted
    }

    private mutating func append(_ message: Message, published: Date, now: Duration) {
        store.log.append(message, published: published, now: now, readers: groups.count)
        for index in groups.indices { groups[index].noteAppended() }
    }

    /// The bound counts what waits for the slowest group; delayed messages and those in flight do not count.
    private var readyForSlowest: Int { groups.map(\.readyCount).max() ?? store.log.count }

    private func due(of message: Message, at moment: Moment) -> (date: Date, deadline: Duration?, isLater: Bool)? {
        switch message.due {
        case nil: nil
        case .after(let delay):
            (
                moment.date.addingTimeInterval(delay.bounded.inSeconds), moment.now + delay.bounded,
                delay > .zero
            )
        case .at(let date): (date, nil, date > moment.date)
        }
    }

    private func refusal(of message: Message) -> QueueError? {
        let id = message.id.rawValue.utf8.count
        guard (1...512).contains(id) else {
            return QueueError(
                .invalidArgument,
                "the id must have 1 to 512 bytes, not \(id)",
                queue: definition.name
            )
        }
        if let header = message.headers.first(where: { $0.name.utf8.starts(with: "mq-".utf8) }) {
            return QueueError(
                .invalidArgument,
                "the header '\(header.name)' begins with mq-, which belongs to this library",
                queue: definition.name
            )
        }
        if case .at(let date)? = message.due, date.timeIntervalSinceReferenceDate.isNaN {
            return QueueError(.invalidArgument, "the due date is not a number", queue: definition.name)
        }
        guard message.body.count <= maxBodyBytes else {
            return QueueError(
                .tooLarge,
                "the body has \(message.body.count) bytes, more than \(maxBodyBytes)",
                queue: definition.name
            )
        }
        return nil
    }

    // MARK: Consuming

    mutating func join(_ group: Int, _ consumer: UInt32, name: String, mode: ConsumerOptions.Mode) {
        groups[group].join(consumer, name: name, mode: mode)
    }

    mutating func leave(_ group: Int, _ consumer: UInt32, at moment: Moment) {
        groups[group].leave(consumer, at: moment, store: &store)
    }

    mutating func take(_ group: Int, max: Int, for consumer: UInt32, at moment: Moment) -> [Delivery] {
        groups[group].take(max: max, for: consumer, at: moment, store: &store)
    }

    /// Settles deliveries; `nil` when the consumer has left.
    mutating func settle(
        _ group: Int,
        _ requests: [SettleRequest],
        by consumer: UInt32,
        at moment: Moment
    ) -> [SettleOutcome]? {
        groups[group].settle(requests, by: consumer, at: moment, store: &store)
    }

    /// Starts leases anew; `nil` when the consumer has left.
    mutating func renew(_ group: Int, _ receipts: [Receipt], by consumer: UInt32, now: Duration) -> [Bool]? {
        groups[group].renew(receipts, by: consumer, now: now)
    }

    // MARK: Looking and moving

    func statistics(now: Duration) -> QueueStatistics {
        let figures = groups.map { $0.statistics(log: store.log, scheduled: schedule.count, now: now) }
        return QueueStatistics(
            queue: definition.name,
            groups: figures.sorted { $0.group < $1.group },
            scheduled: .exact(schedule.count),
            stored: .exact(store.log.count + schedule.count),
            arrived: .exact(Int(clamping: store.log.end))
        )
    }

    func deadLetters(matching filter: DeadLetterFilter, after: String?, limit: Int) -> Page<DeadLetter>? {
        store.dead.page(matching: filter, after: after, limit: limit)
    }

    mutating func redrive(_ ids: [String], now: Duration) -> [String] {
        ids.filter { id in
            guard let record = store.dead.remove(id) else { return false }
            let letter = record.letter
            let position = store.log.append(
                letter.message,
                published: letter.publishedAt ?? Date(timeIntervalSince1970: 0),
                now: now,
                readers: 1,
                owner: record.group
            )
            let pending = GroupEngine.Pending(
                position: position,
                redrives: record.redrives + 1,
                history: letter.history
            )
            groups[record.group].redriven(pending, log: store.log)
            return true
        }
    }

    mutating func discardDeadLetters(_ ids: [String]) -> [String] {
        ids.filter { id in
            guard let record = store.dead.remove(id) else { return false }
            groups[record.group].noteDiscarded()
            return true
        }
    }

    func scheduled(after: String?, limit: Int) -> Page<ScheduledMessage>? {
        schedule.page(after: after, limit: limit)
    }

    mutating func cancelScheduled(_ ids: [MessageID]) -> [MessageID] {
        ids.filter { id in
            guard schedule.cancel(id) else { return false }
            // The message will never come, so its id must not pass for published.
            dedupe.forget(id)
            return true
        }
    }
}
