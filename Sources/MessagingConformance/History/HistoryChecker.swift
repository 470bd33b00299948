import Messaging

/// Judges a history by the laws that hold whatever a case does: pure, and silent on what the history cannot tell.
///
/// A call did what it did between its begin and its end, so a law is broken only when no order of the calls that overlap
/// could keep it. What an unknown answer leaves open is taken in the backend's favour. A queue with a foreign producer or
/// consumer is not held to what only a complete history can tell.
package struct HistoryChecker: Sendable {
    /// How exactly two clocks agree on a lease.
    static let slack: Duration = .milliseconds(2)

    /// Whether the backend refuses the settlement of a lost lease.
    package var isFenced: Bool
    /// Whether a settlement that was called done cannot be undone by a failure.
    package var isConfirmed: Bool
    /// Whether moves cannot be doubled by a failure.
    package var isAtomic: Bool

    package init(isFenced: Bool = true, isConfirmed: Bool = true, isAtomic: Bool = true) {
        self.isFenced = isFenced
        self.isConfirmed = isConfirmed
        self.isAtomic = isAtomic
    }

    /// Sorts a history by queue, with the doubts that failures leave.
    func queues(_ events: [HistoryEvent]) -> [QueueHistory] {
        QueueHistory.all(events).map { queue in
            var queue = queue
            if !isConfirmed { queue.doubtSettlements() }
            queue.mayDouble = !isAtomic
            return queue
        }
    }

    /// Checks every law but the conservation law.
    ///
    /// - Parameter events: The history.
    /// - Returns: What is broken, the first case of each law and queue.
    package func violations(of events: [HistoryEvent]) -> [HistoryViolation] {
        let text = HistoryText(events)
        return queues(events).flatMap { queue in
            [
                phantom(queue), body(queue), duplicate(queue), ended(queue), exclusive(queue), attempts(queue),
                holder(queue), fence(queue), keyOrder(queue),
            ]
            .compactMap { $0 }
            .map { $0.violation(queue: queue.name, text) }
        }
    }

    /// What is wrong, before its history is written down.
    struct Finding {
        let law: HistoryLaw
        var group: String?
        let ids: [MessageID]
        let detail: String

        func violation(queue: String, _ text: HistoryText) -> HistoryViolation {
            let events = text.lines(of: Set(ids.prefix(5)), queue: queue, group: group)
            return HistoryViolation(law: law, queue: queue, ids: ids, detail: detail, events: events)
        }
    }

    // MARK: What comes

    private func phantom(_ queue: QueueHistory) -> Finding? {
        guard !queue.isForeign else { return nil }
        for (key, holds) in queue.holds {
            let known = queue.publications[key.id, default: []]
            for hold in holds {
                let may = known.contains { $0.outcome.isPossible && $0.event.begin.order < hold.event.end.order }
                guard !may else { continue }
                let why = known.isEmpty ? "was never published" : "had only been refused, or was published later"
                return Finding(law: .phantom, group: key.group, ids: [key.id], detail: "what came \(why)")
            }
        }
        return nil
    }

    private func body(_ queue: QueueHistory) -> Finding? {
        for (key, holds) in queue.holds {
            let bodies = Set(queue.publications[key.id, default: []].filter(\.outcome.isPossible).map(\.published.body))
            guard !bodies.isEmpty, let wrong = holds.first(where: { !bodies.contains($0.delivered.body) }) else {
                continue
            }
            if queue.isForeign { continue }
            let detail = "the body on attempt \(wrong.delivered.attempt) is not the one that was published"
            return Finding(law: .body, group: key.group, ids: [key.id], detail: detail)
        }
        return nil
    }

    private func duplicate(_ queue: QueueHistory) -> Finding? {
        guard !queue.isForeign else { return nil }
        for (id, known) in queue.publications {
            for (index, publication) in known.enumerated() where publication.outcome == .duplicate {
                let may = known.enumerated().contains { other, earlier in
                    other != index && earlier.outcome.isPossible
                        && earlier.event.begin.order < publication.event.end.order
                }
                if !may {
                    return Finding(law: .duplicate, ids: [id], detail: "a duplicate of nothing that was published")
                }
            }
        }
        return nil
    }

    private func ended(_ queue: QueueHistory) -> Finding? {
        guard !queue.isForeign else { return nil }
        for (key, holds) in queue.holds {
            let ends = holds.filter { queue.isEnd($0) }.map { $0.confirmed?.event.end.order ?? $0.event.end.order }
            let cancelled = queue.cancellations[key.id, default: []].filter { $0.answer == .done }
            let over = ends + cancelled.map(\.event.end.order)
            guard !over.isEmpty else { continue }
            for hold in holds {
                let count = over.count { $0 < hold.event.begin.order }
                guard count > 0, count >= queue.lives(key, before: hold.event.end.order) else { continue }
                return Finding(
                    law: .ended,
                    group: key.group,
                    ids: [key.id],
                    detail: "it came to \(hold.member.name) of group \(key.group) after its end had been confirmed"
                )
            }
        }
        return nil
    }

    private func exclusive(_ queue: QueueHistory) -> Finding? {
        guard !queue.isForeign else { return nil }
        var letters: [QueueHistory.Key: Int] = [:]
        for letter in queue.letters.values {
            guard let group = letter.group else { continue }
            letters[QueueHistory.Key(group: group, id: letter.id), default: 0] += 1
        }
        for (key, count) in letters {
            let done = queue.holds[key, default: []].count { hold in
                switch hold.confirmed?.settlement {
                case .acknowledge, .discard: true
                case nil: hold.member.isAtMostOnce
                default: false
                }
            }
            let lives = queue.lives(key, before: .max)
            guard count + done > lives else { continue }
            let detail = "\(count) dead letters and \(done) confirmed ends of \(lives) hand-overs to group \(key.group)"
            return Finding(law: .exclusive, group: key.group, ids: [key.id], detail: detail)
        }
        return nil
    }
}
