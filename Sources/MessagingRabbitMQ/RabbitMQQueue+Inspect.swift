#if RabbitMQ
import Messaging

extension RabbitMQQueue {
    // MARK: - Figures

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func statistics(of queue: String) async throws(QueueError) -> QueueStatistics {
        let definition = try await known(queue)
        let lanes = lanes(of: queue)
        let groups = definition.groups.map(\.name).sorted()
        let counts = try await inspect(queue) { (channel) throws(QueueError) in
            let parts = groups.flatMap {
                // What counts the consumers comes last.
                Topology.work(queue, $0, lanes: lanes) + [RabbitNames.dead(queue, $0)]
                    + (lanes == 0 ? [] : [RabbitNames.members(queue, $0)])
            }
            let levels = (0..<DelayPlan.levels).map(DelayPlan.name)
            return try channel.counts(parts + levels)
        }
        // What this client has reserved is on no queue and counts all the same.
        let reserved = try await transfers.counts(of: queue)
        let parts = lanes == 0 ? 2 : lanes + 2
        let levels = Self.sum(counts.dropFirst(parts * groups.count), \.messages)
        let delayed: Figure =
            switch levels.map({ $0 + reserved.waiting }) {
            case nil: Self.silent
            case 0?: .estimate(0)
            case let waiting?:
                .unavailable("all queues of the broker share the delay levels; \(waiting) messages wait there together")
            }
        var statistics: [GroupStatistics] = []
        for (index, group) in groups.enumerated() {
            let work = max(lanes, 1)
            let own = counts[(parts * index)..<(parts * (index + 1))]
            let dead = Self.sum(own.dropFirst(work).prefix(1), \.messages)
            let ready = Self.sum(own.prefix(work), \.messages)
            let consumers = Self.sum(lanes == 0 ? own.prefix(1) : own.suffix(1), \.consumers)
            let (inHands, waitsHere) = held(queue, group)
            statistics.append(
                GroupStatistics(
                    group: group,
                    // A consumer of a lane has messages here whose turn has not come; those of other clients are not seen.
                    ready: ready.map { lanes == 0 ? .exact($0) : .estimate($0 + waitsHere) } ?? Self.silent,
                    inFlight: await inFlight(queue, group, lanes, inHands, waitsHere),
                    delayed: delayed,
                    dead: dead.map { .exact($0 + reserved.dead[group, default: 0]) } ?? Self.silent,
                    // One that does not wait for messages at the moment has no subscription.
                    consumers: consumers.map { .estimate($0) } ?? Self.silent,
                    oldestAge: nil
                )
            )
        }
        return QueueStatistics(
            queue: queue,
            groups: statistics,
            scheduled: delayed,
            stored: .unavailable("each group has its own copies on RabbitMQ")
        )
    }

    /// What is said of a queue whose leader is silent.
    private static let silent = Figure.unavailable("the leader of a queue does not answer RabbitMQ at present")

    /// The sum of what queues say; `nil` when one of them cannot tell.
    private static func sum(_ counts: ArraySlice<QueueCount?>, _ part: KeyPath<QueueCount, Int>) -> Int? {
        counts.reduce(0 as Int?) { sum, count in
            guard let sum, let count else { return nil }
            return sum + count[keyPath: part]
        }
    }

    /// What consumers hold, as the management plugin saw it some seconds ago, and at least what is held here.
    private func inFlight(
        _ queue: String,
        _ group: String,
        _ lanes: Int,
        _ inHands: Int,
        _ waitsHere: Int
    ) async -> Figure {
        guard let management else {
            return .unavailable("AMQP does not tell; name the management plugin in the URL (management=http://…)")
        }
        do throws(QueueError) {
            var seen = 0
            for name in Topology.work(queue, group, lanes: lanes) { seen += try await management.unacknowledged(name) }
            return .estimate(max(seen - waitsHere, inHands))
        } catch {
            return .unavailable(error.message)
        }
    }

    // MARK: - Dead letters

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func deadLetters(
        of queue: String,
        matching filter: DeadLetterFilter,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<DeadLetter> {
        guard 1...1000 ~= limit else {
            throw QueueError(.invalidArgument, "a page has 1 to 1000 elements, not \(limit)", queue: queue)
        }
        let start = after.map { DeadLetterPlan.Position($0) }
        if case .some(.none) = start {
            throw QueueError(.invalidArgument, "the page does not begin where another one ended", queue: queue)
        }
        let groups = try await known(queue).groups.map(\.name).filter { filter.group == nil || filter.group == $0 }
        return try await inspect(queue) { (channel) throws(QueueError) in
            var builder = DeadLetterPlan.PageBuilder(after: start ?? nil, limit: limit)
            for group in groups {
                let walk = Walk(channel: channel, queue: RabbitNames.dead(queue, group))
                try walk.forEach { (message) throws(QueueError) in
                    let wire = WireFormat.read(message)
                    let letter = DeadLetterPlan.letter(message, wire, queue: queue, group: group)
                    builder.add(
                        DeadLetterPlan.position(message, wire, group: group),
                        filter.matches(letter) ? letter : nil
                    )
                }
                try walk.end()
            }
            return builder.page()
        }
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func redrive(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        _ = try await known(queue)
        let lanes = lanes(of: queue)
        return try await take(ids, of: queue) { Copies.redrive($0, queue: queue, group: $1, lanes: lanes) }
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func discardDeadLetters(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await take(ids, of: queue) { _, _ in nil }
    }

    /// Removes dead letters, each after its copy was confirmed if there is one.
    private func take(
        _ ids: [String],
        of queue: String,
        _ copy: @escaping @Sendable (WireMessage, String) -> OutgoingMessage?
    ) async throws(QueueError) -> [String] {
        let known = Set(try await known(queue).groups.map(\.name))
        var wanted: [String: Set<String>] = [:]
        for id in ids {
            if let group = DeadLetterPlan.group(id), known.contains(group) { wanted[group, default: []].insert(id) }
        }
        var taken = Set<String>()
        for (group, ids) in wanted {
            taken.formUnion(
                try await inspect(queue, mayRepeat: false) { (channel) throws(QueueError) in
                    let walk = Walk(channel: channel, queue: RabbitNames.dead(queue, group))
                    var found: [(id: String, tag: UInt64, copy: OutgoingMessage?)] = []
                    try walk.forEach { (message) throws(QueueError) in
                        let wire = WireFormat.read(message)
                        let id = DeadLetterPlan.id(message, wire, group: group)
                        if ids.contains(id) { found.append((id, message.tag, copy(wire, group))) }
                    }
                    let copies = found.enumerated().compactMap { index, letter in letter.copy.map { (index, $0) } }
                    let accepted = Set(try channel.publish(copies.map(\.1)).map { copies[$0].0 })
                    let done = found.enumerated().filter { $1.copy == nil || accepted.contains($0) }.map(\.element)
                    try walk.remove(done.map(\.tag))
                    try walk.end()
                    return Set(done.map(\.id))
                }
            )
        }
        var seen = Set<String>()
        return ids.filter { taken.contains($0) && seen.insert($0).inserted }
    }

    // MARK: - Scheduled messages

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func scheduled(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<ScheduledMessage> {
        try checkOpen()
        throw noScheduleList(queue)
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func cancelScheduled(_ ids: [MessageID], of queue: String) async throws(QueueError) -> [MessageID] {
        try checkOpen()
        throw noScheduleList(queue)
    }

    private func noScheduleList(_ queue: String) -> QueueError {
        QueueError(
            .unsupported,
            "schedule-list is not available on rabbitmq: \(RabbitProbe.noScheduleList)",
            queue: queue
        )
    }
}
#endif
