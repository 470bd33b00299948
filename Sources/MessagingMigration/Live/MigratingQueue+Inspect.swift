#if SQLite
import Messaging

// The contract of each member stands in `MessageQueue`; here is only how two sides become one.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension MigratingQueue {
    public func statistics(of queue: String) async throws(QueueError) -> QueueStatistics {
        let sides = try await present(queue)
        var sum: QueueStatistics?
        for side in sides {
            let figures: QueueStatistics
            do throws(QueueError) {
                figures = try await side.queue.statistics(of: queue)
            } catch {
                // One side may not have the queue yet, or no longer.
                if error.code == .notFound, sides.count > 1 { continue }
                throw error
            }
            sum = sum.map { Self.sum($0, figures) } ?? figures
        }
        guard let sum else { throw QueueError(.notFound, "there is no such queue", queue: queue) }
        return sum
    }

    public func deadLetters(
        of queue: String,
        matching filter: DeadLetterFilter,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<DeadLetter> {
        let sides = try await present(queue)
        guard sides.count > 1 else {
            return try await sides[0].queue.deadLetters(of: queue, matching: filter, after: after, limit: limit)
        }
        let (number, cursor) = try Self.place(after, queue)
        let page: Page<DeadLetter>
        do throws(QueueError) {
            page = try await sides[number].queue.deadLetters(of: queue, matching: filter, after: cursor, limit: limit)
        } catch {
            guard error.code == .notFound else { throw error }
            return Page([], next: number + 1 < sides.count ? "\(number + 1)~" : nil)
        }
        return Page(
            page.elements.map { Self.renamed($0, "\(number)~\($0.id)") },
            next: page.next.map { "\(number)~\($0)" } ?? (number + 1 < sides.count ? "\(number + 1)~" : nil)
        )
    }

    public func redrive(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await onSides(ids, of: queue) { (side, ids) throws(QueueError) in try await side.redrive(ids, of: queue) }
    }

    public func discardDeadLetters(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await onSides(ids, of: queue) { (side, ids) throws(QueueError) in
            try await side.discardDeadLetters(ids, of: queue)
        }
    }

    public func scheduled(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<ScheduledMessage> {
        let sides = try await present(queue)
        guard sides.count > 1 else { return try await sides[0].queue.scheduled(of: queue, after: after, limit: limit) }
        let (number, cursor) = try Self.place(after, queue)
        let next = number + 1 < sides.count ? "\(number + 1)~" : nil
        do throws(QueueError) {
            let page = try await sides[number].queue.scheduled(of: queue, after: cursor, limit: limit)
            return Page(page.elements, next: page.next.map { "\(number)~\($0)" } ?? next)
        } catch {
            guard error.code == .notFound else { throw error }
            return Page([], next: next)
        }
    }

    public func cancelScheduled(_ ids: [MessageID], of queue: String) async throws(QueueError) -> [MessageID] {
        var cancelled: [MessageID] = []
        let sides = try await present(queue)
        for side in sides {
            let rest = ids.filter { !cancelled.contains($0) }
            do throws(QueueError) {
                cancelled += try await side.queue.cancelScheduled(rest, of: queue)
            } catch {
                if error.code == .notFound, sides.count > 1 { continue }
                throw error
            }
        }
        return cancelled
    }

    // MARK: - Sides

    /// The sides that hold something of a queue, the one that it leaves first.
    private func present(_ queue: String) async throws(QueueError) -> [MigrationSide] {
        guard let migration = try await migration(of: queue) else { return [MigrationSide(base, label: "")] }
        var found: [MigrationSide] = []
        for label in migration.isLive ? [migration.from, migration.to] : [migration.to] {
            found.append(MigrationSide(try sides.queue(label), label: label))
        }
        return found
    }

    private func onSides(
        _ ids: [String],
        of queue: String,
        _ body: (any MessageQueue, [String]) async throws(QueueError) -> [String]
    ) async throws(QueueError) -> [String] {
        let sides = try await present(queue)
        guard sides.count > 1 else { return try await body(sides[0].queue, ids) }
        var done: [String] = []
        for (number, side) in sides.enumerated() {
            let prefix = "\(number)~"
            let own = ids.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
            guard !own.isEmpty else { continue }
            done += try await body(side.queue, own).map { prefix + $0 }
        }
        return done
    }

    private static func place(_ after: String?, _ queue: String) throws(QueueError) -> (Int, String?) {
        guard let after else { return (0, nil) }
        let parts = after.split(separator: "~", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let number = Int(parts[0]), 0...1 ~= number else {
            throw QueueError(.invalidArgument, "'after' is not from a page before", queue: queue)
        }
        return (number, parts[1].isEmpty ? nil : String(parts[1]))
    }

    private static func renamed(_ letter: DeadLetter, _ id: String) -> DeadLetter {
        DeadLetter(
            id: id,
            message: letter.message,
            queue: letter.queue,
            group: letter.group,
            reason: letter.reason,
            error: letter.error,
            attempts: letter.attempts,
            failedAt: letter.failedAt,
            publishedAt: letter.publishedAt,
            history: letter.history
        )
    }

    // MARK: - Figures

    static func sum(_ one: QueueStatistics, _ other: QueueStatistics) -> QueueStatistics {
        let names = Set(one.groups.map(\.group) + other.groups.map(\.group)).sorted()
        return QueueStatistics(
            queue: one.queue,
            groups: names.compactMap { name in
                guard let first = one[name] else { return other[name] }
                guard let second = other[name] else { return first }
                return sum(first, second)
            },
            scheduled: sum(one.scheduled, other.scheduled),
            stored: sum(one.stored, other.stored),
            arrived: sum(one.arrived, other.arrived)
        )
    }

    private static func sum(_ one: GroupStatistics, _ other: GroupStatistics) -> GroupStatistics {
        GroupStatistics(
            group: one.group,
            ready: sum(one.ready, other.ready),
            inFlight: sum(one.inFlight, other.inFlight),
            delayed: sum(one.delayed, other.delayed),
            dead: sum(one.dead, other.dead),
            // A consumer is registered on both sides.
            consumers: max(one.consumers, other.consumers),
            oldestAge: [one.oldestAge, other.oldestAge].compactMap(\.self).max()
        )
    }

    private static func sum(_ one: Figure, _ other: Figure) -> Figure {
        guard let first = one.value else { return one }
        guard let second = other.value else { return other }
        return one.grade == .exact && other.grade == .exact ? .exact(first + second) : .estimate(first + second)
    }

    private static func max(_ one: Figure, _ other: Figure) -> Figure {
        guard let first = one.value else { return other }
        guard let second = other.value else { return one }
        return .estimate(Swift.max(first, second))
    }
}
#endif
