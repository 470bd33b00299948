import Messaging

extension HistoryChecker {
    /// The smallest and the largest number that a history allows.
    private struct Bounds {
        var least = 0
        var most = 0

        mutating func add(_ least: Int, _ most: Int) {
            self.least += least
            self.most += most
        }
    }

    /// Names the queues of a history whose figures the conservation law judges.
    ///
    /// - Parameter events: The history.
    /// - Returns: The queues that were declared and that nothing outside of the history uses.
    package func conservedQueues(of events: [HistoryEvent]) -> [String] {
        QueueHistory.all(events).filter { $0.definition != nil && !$0.isForeign }.map(\.name)
    }

    /// Checks that what was accepted is ready, in flight, delayed, dead or done, for every group with exact figures.
    ///
    /// - Parameters:
    ///   - events: The history, up to the figures.
    ///   - statistics: The figures of one queue at its end.
    /// - Returns: What is broken; `nil` when the law holds, or when the figures are not exact.
    package func conservation(of events: [HistoryEvent], _ statistics: QueueStatistics) -> HistoryViolation? {
        let name = statistics.queue
        guard let queue = queues(events).first(where: { $0.name == name }), !queue.isForeign else {
            return nil
        }
        for figures in statistics.groups {
            guard let group = queue.groups[figures.group], group.exists < .max else { continue }
            let parts = [figures.ready, figures.inFlight, figures.delayed, figures.dead]
            guard parts.allSatisfy({ $0.grade == .exact }) else { continue }
            let there = parts.compactMap(\.value).reduce(0, +)
            var published = published(queue, group)
            let done = done(queue, figures.group)
            published.most += mayDouble(queue, figures.group)
            let isLost = there + done.most < published.least
            guard isLost || there + done.least > published.most else { continue }
            let ids = isLost ? unfinished(queue, figures.group) : []
            let sum = zip(["ready", "in flight", "delayed", "dead"], parts).map { "\($1.value ?? 0) \($0)" }
            let detail =
                "group \(figures.group) has \(sum.joined(separator: ", ")) and \(Self.text(done)) done, which is "
                + (isLost ? "fewer" : "more") + " than the \(Self.text(published)) messages that were accepted for it"
            let finding = Finding(law: .conservation, group: figures.group, ids: ids, detail: detail)
            return finding.violation(queue: name, HistoryText(events))
        }
        return nil
    }

    private static func text(_ bounds: Bounds) -> String {
        bounds.least == bounds.most ? "\(bounds.least)" : "\(bounds.least) to \(bounds.most)"
    }

    /// Counts the messages that are a group's from its start.
    private func published(_ queue: QueueHistory, _ group: QueueHistory.Group) -> Bounds {
        var bounds = Bounds()
        for (id, publications) in queue.publications {
            // A cancelled message was nobody's.
            let cancellations = queue.cancellations[id, default: []]
            var cancelled = cancellations.count { $0.answer == .done }
            let mayBeCancelled = cancellations.contains { $0.answer.isUnknown }
            for publication in publications where publication.outcome.isPossible {
                if publication.published.hasDue, cancelled > 0 {
                    cancelled -= 1
                    continue
                }
                let isCertain = publication.outcome == .accepted && !(publication.published.hasDue && mayBeCancelled)
                if group.exists < publication.event.begin.order {
                    bounds.add(isCertain ? 1 : 0, 1)
                } else {
                    // What is due later comes to the groups of that time; what was there before, to those that begin early.
                    let isEarlier =
                        publication.event.end.order < group.mayExist && group.starts == [.latest]
                        && !publication.published.hasDue
                    bounds.add(0, isEarlier ? 0 : 1)
                }
            }
        }
        return bounds
    }

    /// Counts what a group is done with.
    private func done(_ queue: QueueHistory, _ group: String) -> Bounds {
        var bounds = Bounds()
        for (key, holds) in queue.holds where key.group == group {
            for hold in holds {
                if hold.member.isAtMostOnce {
                    bounds.add(1, 1)
                } else if let confirmed = hold.confirmed {
                    if confirmed.settlement.isFinal { bounds.add(1, 1) }
                } else if hold.settlements.contains(where: { $0.isUnknown && $0.settlement.isFinal }) {
                    bounds.add(0, 1)
                }
            }
        }
        bounds.most += queue.unseen[group, default: 0]
        for move in queue.moves where !move.isRedrive {
            let letter = queue.letters[move.letter]
            guard letter == nil || letter?.group == nil || letter?.group == group else { continue }
            let isKnown = letter?.group != nil
            switch move.answer {
            case .done: bounds.add(isKnown ? 1 : 0, 1)
            case .unknown: bounds.add(0, 1)
            case .notDone: break
            }
        }
        return bounds
    }

    /// Counts the moves that a failure may have doubled.
    private func mayDouble(_ queue: QueueHistory, _ group: String) -> Int {
        guard !isAtomic else { return 0 }
        var count = queue.moves.count { $0.isRedrive && $0.answer.isUnknown }
        // What a backend moves by itself is in no history; of that a failure may double all that a consumer had.
        if !queue.breaks(group, before: .max).isEmpty { return .max / 2 }
        for (key, holds) in queue.holds where key.group == group {
            count += holds.reduce(0) { $0 + $1.settlements.count { $0.isUnknown && !$0.settlement.isFinal } }
        }
        return count
    }

    /// Returns the accepted messages that the group is not known to be done with; those that it never got come first.
    private func unfinished(_ queue: QueueHistory, _ group: String) -> [MessageID] {
        let accepted = queue.publications.values.compactMap { known in
            known.first { $0.outcome == .accepted }
        }
        let ids = accepted.sorted {
            ($0.event.begin.order, $0.published.index) < ($1.event.begin.order, $1.published.index)
        }.map(\.published.id)
        func holds(_ id: MessageID) -> [QueueHistory.Hold] {
            queue.holds[QueueHistory.Key(group: group, id: id), default: []]
        }
        let never = ids.filter { holds($0).isEmpty && queue.cancellations[$0] == nil }
        let open = ids.filter { id in !holds(id).isEmpty && !holds(id).contains { queue.isEnd($0) } }
        return never + open
    }
}

extension HistoryEvent.Answer {
    /// Whether the answer leaves open what was done.
    var isUnknown: Bool {
        if case .unknown = self { true } else { false }
    }
}

extension Settlement {
    /// Whether nothing is left of the message for its group afterwards, not even a dead letter.
    fileprivate var isFinal: Bool {
        switch self {
        case .acknowledge, .discard: true
        case .retry, .reject, .release: false
        }
    }
}
