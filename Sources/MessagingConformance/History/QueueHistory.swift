import Messaging

/// The history of one queue, sorted by what the laws ask about.
struct QueueHistory {
    /// A message in the eyes of one group.
    struct Key: Hashable {
        let group: String
        let id: MessageID
    }

    /// A message that was published.
    struct Publication {
        let event: HistoryEvent
        let published: HistoryEvent.Published
        let outcome: HistoryEvent.Publication
    }

    /// A settlement that was asked for.
    struct Asked {
        let event: HistoryEvent
        let settlement: Settlement
        let answer: HistoryEvent.SettleAnswer

        /// Whether the answer leaves open what was done.
        var isUnknown: Bool {
            if case .unknown = answer { true } else { false }
        }

        /// Whether it may have been carried out.
        var mayHaveBeenDone: Bool { answer == .settled || isUnknown }
    }

    /// A delivery with how it ended, as far as that is known.
    struct Hold {
        let event: HistoryEvent
        let delivered: HistoryEvent.Delivered
        let member: HistoryEvent.Member
        /// When, in the order of points, the consumer may have lost or given up the delivery for the first time.
        var mayEnd = Int.max
        /// Before when it cannot have lost it by time alone.
        var until: Duration
        /// The settlements that were asked for, by who held it.
        var settlements: [Asked] = []

        /// The settlement that the backend confirmed.
        var confirmed: (event: HistoryEvent, settlement: Settlement)? {
            settlements.first { $0.answer == .settled }.map { ($0.event, $0.settlement) }
        }
    }

    /// The settings of a group as far as the history knows them.
    struct Group {
        var definition: GroupDefinition
        /// The earliest point at which it may have been created.
        var mayExist: Int
        /// The point from which it is certain to exist.
        var exists = Int.max
        /// Where it may begin; more than one when several declarations may have created it.
        var starts: Set<GroupDefinition.Start> = []
    }

    /// What happened to a dead letter of a group on request.
    struct Move {
        let event: HistoryEvent
        let letter: String
        let isRedrive: Bool
        let answer: HistoryEvent.Answer
    }

    let name: String
    var isForeign = false
    var definition: QueueDefinition?
    var groups: [String: Group] = [:]
    var publications: [MessageID: [Publication]] = [:]
    var holds: [Key: [Hold]] = [:]
    /// Calls after which a message may have been handed over unseen: a consumer or client that closed, a `receive` that failed.
    var gaps: [String: [HistoryEvent]] = [:]
    /// Points since which deliveries may be lost unseen: a `receive` whose answer never came.
    var lost: [String: Int] = [:]
    /// How many at-most-once receives may have taken something unseen.
    var unseen: [String: Int] = [:]
    var letters: [String: HistoryEvent.Letter] = [:]
    var moves: [Move] = []
    var cancellations: [MessageID: [(event: HistoryEvent, answer: HistoryEvent.Answer)]] = [:]
    /// Settlements that were confirmed for a receipt that its consumer did not hold.
    var stray: [(event: HistoryEvent, member: HistoryEvent.Member)] = []

    /// Calls that a failure ended: a `receive` that threw, a publication or a settlement in doubt; and faults that were let
    /// loose, which may have broken a connection whose owner closed it before it noticed.
    var failures: [HistoryEvent] = []
    /// The settlements among them, by group.
    var doubts: [String: [HistoryEvent]] = [:]
    /// Whether a failure may leave a message twice, the copy and the original.
    var mayDouble = false

    init(name: String) { self.name = name }

    /// Sorts a history by queue.
    static func all(_ events: [HistoryEvent]) -> [QueueHistory] {
        var queues: [String: QueueHistory] = [:]
        var places: [Int: [Receipt: [(key: Key, index: Int)]]] = [:]
        var names: [String] = []
        func with(_ name: String, _ body: (inout QueueHistory) -> Void) {
            if queues[name] == nil { names.append(name) }
            body(&queues[name, default: QueueHistory(name: name)])
        }
        for event in events {
            switch event.kind {
            case .declared(let definition, let answer): with(definition.name) { $0.declare(definition, answer, event) }
            case .published(let message, let queue, let outcome):
                with(queue) {
                    $0.publications[message.id, default: []].append(
                        Publication(event: event, published: message, outcome: outcome)
                    )
                    if outcome.isUnknown { $0.failures.append(event) }
                }
            case .delivered(let delivered, let member):
                with(member.queue) {
                    let key = Key(group: member.group, id: delivered.id)
                    let lease = $0.groups[member.group]?.definition.lease ?? member.lease
                    let hold = Hold(
                        event: event,
                        delivered: delivered,
                        member: member,
                        mayEnd: member.isAtMostOnce ? event.begin.order : .max,
                        until: event.begin.time + lease
                    )
                    $0.holds[key, default: []].append(hold)
                    places[member.number, default: [:]][delivered.receipt, default: []].append(
                        (key, $0.holds[key, default: []].count - 1)
                    )
                }
            case .receiveFailed(let member, let isCancelled, _):
                with(member.queue) {
                    if member.isAtMostOnce { $0.unseen[member.group, default: 0] += 1000 }
                    guard !isCancelled else { return }
                    $0.gaps[member.group, default: []].append(event)
                    $0.failures.append(event)
                    $0.lost[member.group] = min($0.lost[member.group] ?? .max, event.begin.order)
                }
            case .cancelled(let id, let queue, let answer):
                with(queue) { $0.cancellations[id, default: []].append((event, answer)) }
            case .listed(let letter, let queue): with(queue) { $0.letters[letter.letter] = letter }
            case .redriven(let letter, let queue, let answer):
                with(queue) { $0.moves.append(Move(event: event, letter: letter, isRedrive: true, answer: answer)) }
            case .discarded(let letter, let queue, let answer):
                with(queue) { $0.moves.append(Move(event: event, letter: letter, isRedrive: false, answer: answer)) }
            case .foreign(let queue): with(queue) { $0.isForeign = true }
            case .received, .settled, .renewed, .consumerClosed, .clientClosed, .disturbed: break
            }
        }
        // What ends deliveries comes second: a history notes a call where it began, a delivery where it came.
        for event in events {
            switch event.kind {
            case .settled(let receipt, let settlement, let member, let answer):
                let place = places[member.number]?[receipt]?.last { place in
                    guard let hold = queues[member.queue]?.holds[place.key]?[place.index] else { return false }
                    return hold.event.end.order < event.begin.order
                }
                with(member.queue) {
                    if case .unknown = answer {
                        $0.failures.append(event)
                        $0.doubts[member.group, default: []].append(event)
                    }
                    guard let place else {
                        if answer == .settled { $0.stray.append((event, member)) }
                        return
                    }
                    $0.holds[place.key]?[place.index].settle(event, settlement, answer)
                }
            case .renewed(let receipt, let member, let isRenewed):
                for place in places[member.number]?[receipt] ?? [] {
                    let lease = queues[member.queue]?.groups[member.group]?.definition.lease ?? member.lease
                    queues[member.queue]?.holds[place.key]?[place.index].renew(event, isRenewed, lease)
                }
            case .consumerClosed(let member):
                queues[member.queue]?.close(event) { $0.number == member.number }
                with(member.queue) { $0.gaps[member.group, default: []].append(event) }
            case .clientClosed(let client):
                for name in names {
                    queues[name]?.close(event) { $0.client == client }
                    for group in queues[name]?.groups.keys.map({ $0 }) ?? [] {
                        queues[name]?.gaps[group, default: []].append(event)
                    }
                }
            case .disturbed: for name in names { queues[name]?.failures.append(event) }
            default: break
            }
        }
        return names.compactMap { queues[$0] }
    }

    private mutating func declare(
        _ definition: QueueDefinition,
        _ answer: HistoryEvent.Answer,
        _ event: HistoryEvent
    ) {
        if case .notDone = answer { return }
        if answer == .done, self.definition == nil { self.definition = definition }
        for group in definition.groups {
            var known = groups[group.name] ?? Group(definition: group, mayExist: event.begin.order)
            known.mayExist = min(known.mayExist, event.begin.order)
            // Whoever began after the group was there has not made it.
            if event.begin.order < known.exists { known.starts.insert(group.start) }
            if answer == .done { known.exists = min(known.exists, event.end.order) }
            groups[group.name] = known
        }
    }

    private mutating func close(_ event: HistoryEvent, _ isClosed: (HistoryEvent.Member) -> Bool) {
        // Through the values, in place: there may be as many closings as messages.
        for place in holds.values.indices {
            for index in holds.values[place].indices where isClosed(holds.values[place][index].member) {
                let order = holds.values[place][index].mayEnd
                holds.values[place][index].mayEnd = min(order, event.begin.order)
            }
        }
    }

    /// How many copies of a message a group may have had, begun before a point: one per publication that may have entered
    /// the queue, one per redrive.
    ///
    /// - Parameters:
    ///   - key: The message and its group.
    ///   - order: The point.
    ///   - time: Until when it counts, too, that a consumer finds its connection broken: the broker may have known before.
    /// - Returns: The number.
    func lives(_ key: Key, before order: Int, breaksUntil time: Duration? = nil) -> Int {
        let published = publications[key.id, default: []].filter {
            $0.outcome.isPossible && $0.event.begin.order < order
        }
        let redriven = moves.filter { move in
            guard move.isRedrive, move.event.begin.order < order else { return false }
            if case .notDone = move.answer { return false }
            guard let letter = letters[move.letter] else { return true }
            return letter.id == key.id && (letter.group ?? key.group) == key.group
        }
        let doubled = mayDouble ? breaks(key.group, before: order, until: time).count : 0
        return published.count + redriven.count + doubled
    }

    /// Calls with which a consumer of a group may have lost its connection: those that failed, and where any failed or a
    /// fault was let loose also those that closed one.
    func breaks(_ group: String, before order: Int, until time: Duration? = nil) -> [HistoryEvent] {
        func counts(_ event: HistoryEvent) -> Bool {
            event.begin.order < order || time.map { event.begin.time < $0 } ?? false
        }
        guard failures.contains(where: counts) else { return [] }
        return (gaps[group, default: []] + doubts[group, default: []]).filter(counts)
    }

    /// Makes settlements doubtful that were called done and not confirmed by the broker, where a connection broke later.
    mutating func doubtSettlements() {
        let last = holds.keys.reduce(into: [String: Int]()) { last, key in
            if last[key.group] == nil { last[key.group] = breaks(key.group, before: .max).map(\.end.order).max() ?? -1 }
        }
        for (key, known) in holds {
            for index in known.indices {
                holds[key]?[index].doubtSettlements(before: last[key.group] ?? -1)
            }
        }
    }

    /// Whether a delivery's confirmed settlement ends the message for its group, until it is redriven.
    func isEnd(_ hold: Hold) -> Bool {
        guard let confirmed = hold.confirmed else { return hold.member.isAtMostOnce }
        switch confirmed.settlement {
        case .acknowledge, .discard, .reject: return true
        case .release: return false
        case .retry:
            guard let group = groups[hold.member.group] else { return false }
            return hold.delivered.attempt >= group.definition.maxAttempts
        }
    }
}

extension QueueHistory.Hold {
    mutating func settle(_ event: HistoryEvent, _ settlement: Settlement, _ answer: HistoryEvent.SettleAnswer) {
        settlements.append(QueueHistory.Asked(event: event, settlement: settlement, answer: answer))
        mayEnd = min(mayEnd, event.begin.order)
    }

    mutating func doubtSettlements(before order: Int) {
        for index in settlements.indices
        where settlements[index].answer == .settled && settlements[index].event.begin.order < order {
            let asked = settlements[index]
            settlements[index] = QueueHistory.Asked(
                event: asked.event,
                settlement: asked.settlement,
                answer: .unknown("a connection broke later")
            )
        }
    }

    mutating func renew(_ event: HistoryEvent, _ isRenewed: Bool, _ lease: Duration) {
        guard self.event.end.order < event.begin.order else { return }
        if isRenewed {
            until = max(until, event.begin.time + lease)
        } else {
            mayEnd = min(mayEnd, event.begin.order)
        }
    }
}
