import Messaging

extension HistoryChecker {
    // MARK: Attempts

    func attempts(_ queue: QueueHistory) -> Finding? {
        guard !queue.isForeign else { return nil }
        for (key, holds) in queue.holds {
            let bound = queue.groups[key.group]?.definition.maxAttempts ?? .max
            for hold in holds where hold.delivered.attempt < 1 || hold.delivered.attempt > bound {
                let detail = "attempt \(hold.delivered.attempt) of at most \(bound)"
                return Finding(law: .attempts, group: key.group, ids: [key.id], detail: detail)
            }
            // Two copies of one id cannot be told apart.
            guard queue.publications[key.id, default: []].count(where: \.outcome.isPossible) == 1,
                !queue.mayDouble || queue.breaks(key.group, before: .max).isEmpty
            else { continue }
            for life in Dictionary(grouping: holds, by: \.delivered.redrives).values {
                let ordered = life.sorted { $0.event.end.order < $1.event.end.order }
                if let detail = wrongAttempt(ordered, queue.gaps[key.group, default: []]) {
                    return Finding(law: .attempts, group: key.group, ids: [key.id], detail: detail)
                }
            }
        }
        return nil
    }

    /// Says what is wrong with the attempts of one life of a message.
    private func wrongAttempt(_ holds: [QueueHistory.Hold], _ gaps: [HistoryEvent]) -> String? {
        for (index, hold) in holds.enumerated() {
            let attempt = hold.delivered.attempt
            guard index > 0 else {
                let mayCount = attempt > 1 && gaps.contains { $0.begin.order < hold.event.end.order }
                if attempt != 1, !mayCount { return "attempt \(attempt) came first" }
                continue
            }
            let last = holds[index - 1]
            guard last.event.isBefore(hold.event) else { continue }
            let mayCount = gaps.contains {
                $0.end.order > last.event.begin.order && $0.begin.order < hold.event.end.order
            }
            let before = last.delivered.attempt
            let least: Int
            var most = Int.max
            if let confirmed = last.confirmed {
                least = confirmed.settlement == .release ? before : before + 1
                if !mayCount { most = least }
            } else if last.settlements.contains(where: { $0.isUnknown }) {
                least = before
            } else {
                least = before + 1
            }
            guard attempt < least || attempt > most else { continue }
            let how = last.confirmed.map { HistoryText.name($0.settlement) } ?? "no settlement"
            return "attempt \(attempt) followed attempt \(before) and \(how)"
        }
        return nil
    }

    // MARK: Leases

    /// Looks for more certain holders of a message than there are copies of it.
    func holder(_ queue: QueueHistory) -> Finding? {
        guard !queue.isForeign else { return nil }
        for (key, holds) in queue.holds where holds.count > 1 {
            let lease = queue.groups[key.group]?.definition.lease ?? .zero
            for hold in holds where hold.event.end.order < hold.mayEnd {
                let point = hold.event.end
                guard point.time < hold.until - Self.slack else { continue }
                let others = holds.filter { other in
                    other.event.end.order <= point.order && point.order < other.mayEnd
                        && point.time < other.until - Self.slack
                }
                let lives = queue.lives(key, before: point.order, breaksUntil: point.time + lease)
                guard others.count > 1, others.count > lives else { continue }
                let names = others.map(\.member.name).joined(separator: " and ")
                return Finding(
                    law: .holder,
                    group: key.group,
                    ids: [key.id],
                    detail: "\(names) of group \(key.group) held it at the same time within the lease"
                )
            }
        }
        return nil
    }

    /// Looks for settlements that were confirmed to who did not hold the delivery, or twice.
    func fence(_ queue: QueueHistory) -> Finding? {
        guard isFenced else { return nil }
        if let stray = queue.stray.first {
            let detail = "a receipt that \(stray.member.name) did not hold was settled"
            return Finding(law: .fence, group: stray.member.group, ids: [], detail: detail)
        }
        for (key, holds) in queue.holds {
            if holds.contains(where: { $0.settlements.count(where: { $0.answer == .settled }) > 1 }) {
                return Finding(law: .fence, group: key.group, ids: [key.id], detail: "one delivery was settled twice")
            }
            for hold in holds {
                guard let confirmed = hold.confirmed,
                    queue.lives(key, before: confirmed.event.end.order) == 1,
                    let next = holds.first(where: {
                        hold.event.isBefore($0.event) && $0.event.isBefore(confirmed.event)
                    })
                else { continue }
                return Finding(
                    law: .fence,
                    group: key.group,
                    ids: [key.id],
                    detail: "\(hold.member.name) settled it after \(next.member.name) had got it"
                )
            }
        }
        return nil
    }

    // MARK: Keys

    /// Looks for a message that came while an earlier one of its key was not finished.
    func keyOrder(_ queue: QueueHistory) -> Finding? {
        guard queue.definition?.ordering == .keyed, !queue.isForeign else { return nil }
        let single = queue.publications.values.compactMap { known -> QueueHistory.Publication? in
            let possible = known.filter(\.outcome.isPossible)
            guard possible.count == 1, let only = possible.first, only.outcome == .accepted, !only.published.hasDue
            else { return nil }
            return only.published.key == nil ? nil : only
        }
        for messages in Dictionary(grouping: single, by: { $0.published.key }).values {
            for (name, group) in queue.groups {
                if let finding = keyOrder(messages, of: name, group, queue) { return finding }
            }
        }
        return nil
    }

    private func keyOrder(
        _ messages: [QueueHistory.Publication],
        of name: String,
        _ group: QueueHistory.Group,
        _ queue: QueueHistory
    ) -> Finding? {
        let inOrder = messages.sorted {
            ($0.event.begin.order, $0.published.index) < ($1.event.begin.order, $1.published.index)
        }
        let byEnd = messages.sorted { $0.event.end.order < $1.event.end.order }
        var next = 0
        // The earlier message that is finished last, of those published before and of those in the same batch.
        var last: (finished: Int, id: MessageID)?
        var batch: (order: Int, finished: Int, id: MessageID)?
        func finished(_ message: QueueHistory.Publication) -> Int {
            guard group.exists < message.event.begin.order else { return 0 }
            return mayBeFinished(QueueHistory.Key(group: name, id: message.published.id), queue)
        }
        for message in inOrder {
            let begin = message.event.begin.order
            while next < byEnd.count, byEnd[next].event.end.order < begin {
                let order = finished(byEnd[next])
                if order > last?.finished ?? -1 { last = (order, byEnd[next].published.id) }
                next += 1
            }
            var earlier: (finished: Int, id: MessageID)? = last
            if let batch, batch.order == begin, batch.finished > earlier?.finished ?? -1 {
                earlier = (batch.finished, batch.id)
            }
            let key = QueueHistory.Key(group: name, id: message.published.id)
            for hold in queue.holds[key, default: []] {
                guard let earlier, hold.event.end.order < earlier.finished else { continue }
                return Finding(
                    law: .keyOrder,
                    group: name,
                    ids: [earlier.id, key.id],
                    detail: "a message of key '\(message.published.key ?? "")' came before the earlier one was finished"
                )
            }
            let order = finished(message)
            if batch?.order != begin {
                batch = (begin, order, key.id)
            } else if order > batch?.finished ?? -1 {
                batch = (begin, order, key.id)
            }
        }
        return nil
    }

    /// Returns the first point at which a group may have been done with a message, dead letters included.
    private func mayBeFinished(_ key: QueueHistory.Key, _ queue: QueueHistory) -> Int {
        let bound = queue.groups[key.group]?.definition.maxAttempts ?? 1
        var first = queue.lost[key.group] ?? .max
        if queue.unseen[key.group, default: 0] > 0 { return 0 }
        for hold in queue.holds[key, default: []] {
            if hold.member.isAtMostOnce || hold.delivered.attempt >= bound {
                first = min(first, hold.event.begin.order)
            }
            for asked in hold.settlements {
                switch asked.settlement {
                case .acknowledge, .discard, .reject:
                    if asked.mayHaveBeenDone { first = min(first, asked.event.begin.order) }
                case .retry, .release: break
                }
            }
        }
        return first
    }
}
