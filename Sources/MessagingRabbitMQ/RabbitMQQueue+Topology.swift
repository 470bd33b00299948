#if RabbitMQ
import Messaging
import Synchronization

extension RabbitMQQueue {
    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func declare(_ definition: QueueDefinition) async throws(QueueError) {
        try definition.validate()
        try checkOpen()
        if let refusal = DeclarePlan.unsupported(definition, longestHold: configuration.longestHold) { throw refusal }
        if let problem = RabbitProbe.problem(try await capabilities().version) {
            throw QueueError(.unsupported, problem, queue: definition.name)
        }
        try await makeLevels()
        let wantedLanes = configuration.lanes
        let (merged, lanes) = try await administration.run(definition.name) { (channel) throws(QueueError) in
            try channel.calls(Topology.registry)
            let walk = Walk(channel: channel, queue: RabbitNames.registry)
            let records = try Self.records(walk, of: definition.name)
            let existing = records.current?.definition
            let lanes = definition.ordering == .keyed ? wantedLanes : 0
            if let record = records.current,
                let conflict = DeclarePlan.conflict(record, definition, lanes: lanes)
            {
                try walk.end()
                throw conflict
            }
            let isOpen = records.current?.isOpen ?? true
            let parts = Topology.exchange(definition.name, lanes: lanes) + Topology.later(definition.name)
            let known = (existing?.groups ?? []).map(\.name)
            try channel.calls(
                (isOpen ? parts : Topology.withoutIntake(parts, of: definition.name, lanes: lanes))
                    + (isOpen ? [] : Topology.closed(definition.name, groups: known, lanes: lanes))
            )
            var ready: [String: Int] = [:]
            for group in existing?.groups ?? [] {
                ready[group.name] = try Self.make(group, of: definition.name, lanes: lanes, isOpen: isOpen, channel)
            }
            if let refusal = DeclarePlan.missedHistory(existing, definition, ready: ready) {
                try walk.end()
                throw refusal
            }
            let merged = DeclarePlan.merged(existing, definition)
            for group in merged.groups where ready[group.name] == nil {
                _ = try Self.make(group, of: definition.name, lanes: lanes, isOpen: isOpen, channel)
                if !isOpen {
                    try channel.calls(Topology.closed(definition.name, groups: [group.name], lanes: lanes))
                }
            }
            if merged.groups.count != existing?.groups.count {
                var record = QueueRecord(merged, lanes: lanes, revision: (records.current?.revision ?? 0) + 1)
                record.closed = records.current?.closed
                guard try channel.publish([record.message()]).count == 1 else {
                    throw QueueError(.unavailable, "the broker did not take the record of the queue")
                }
                try walk.remove(records.tags)
            }
            try walk.end()
            return (merged, lanes)
        }
        remember(merged, lanes)
    }

    /// Makes the parts of a group.
    ///
    /// - Returns: How many of its messages are ready.
    private static func make(
        _ group: GroupDefinition,
        of queue: String,
        lanes: Int,
        isOpen: Bool,
        _ channel: AdminChannel
    ) throws(QueueError) -> Int {
        var methods =
            lanes == 0 ? Topology.group(queue, group) : Topology.keyed(queue, group, lanes: lanes)
        if !isOpen { methods = Topology.withoutIntake(methods, of: queue, lanes: lanes) }
        let replies = try channel.calls(methods)
        return lanes == 0 ? replies[1].messages : replies.prefix(lanes).reduce(0) { $0 + $1.messages }
    }

    private func remember(_ definition: QueueDefinition, _ lanes: Int) {
        state.withLock { state in
            state.definitions[definition.name] = definition
            state.lanes[definition.name] = lanes
        }
    }

    /// The records of one queue; several when a change was cut off before the old one was removed.
    static func records(
        _ walk: Walk,
        of queue: String
    ) throws(QueueError) -> (current: QueueRecord?, tags: [UInt64]) {
        var found: (current: QueueRecord?, tags: [UInt64]) = (nil, [])
        try walk.forEach { (message) throws(QueueError) in
            let record: QueueRecord
            do throws(QueueError) {
                record = try QueueRecord.read(message.body)
            } catch {
                // What is wrong with others is no concern of this one.
                guard error.queue == queue else { return }
                throw error
            }
            guard record.queue == queue else { return }
            found.tags.append(message.tag)
            if record.revision >= found.current?.revision ?? 0 { found.current = record }
        }
        return found
    }

    /// Makes the levels of delays, which all queues of the broker share.
    private func makeLevels() async throws(QueueError) {
        if state.withLock({ $0.hasLevels }) { return }
        let isThere: Bool
        do throws(QueueError) {
            isThere = try await administration.run(nil) { (channel) throws(QueueError) in
                try channel.call(.queueExists(DelayPlan.top))
                return true
            }
        } catch  where error.code == .topologyLost {
            isThere = false
        }
        if !isThere {
            for part in DelayPlan.topology().split(by: 16) {
                try await administration.run(nil) { (channel) throws(QueueError) in _ = try channel.calls(part) }
            }
        }
        state.withLock { $0.hasLevels = true }
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func definition(of queue: String) async throws(QueueError) -> QueueDefinition? {
        try NameRules.validate(queue: queue)
        try checkOpen()
        return try await record(of: queue)?.definition
    }

    /// What the broker keeps of a queue.
    func record(of queue: String) async throws(QueueError) -> QueueRecord? {
        let record = try await administration.run(queue) { (channel) throws(QueueError) in
            try channel.calls(Topology.registry)
            let walk = Walk(channel: channel, queue: RabbitNames.registry)
            let records = try Self.records(walk, of: queue)
            try walk.end()
            return records.current
        }
        guard let record else {
            forget(queue)
            return nil
        }
        remember(record.definition, record.lanes ?? 0)
        return record
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func queues() async throws(QueueError) -> [String] {
        try checkOpen()
        return try await administration.run(nil) { (channel) throws(QueueError) in
            try channel.calls(Topology.registry)
            let walk = Walk(channel: channel, queue: RabbitNames.registry)
            var names = Set<String>()
            try walk.forEach { (message) throws(QueueError) in
                if let record = try? QueueRecord.read(message.body) { names.insert(record.queue) }
            }
            try walk.end()
            return names.sorted()
        }
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func deleteQueue(_ queue: String) async throws(QueueError) -> Bool {
        try NameRules.validate(queue: queue)
        try checkOpen()
        forget(queue)
        return try await administration.run(queue) { (channel) throws(QueueError) in
            try channel.calls(Topology.registry)
            let walk = Walk(channel: channel, queue: RabbitNames.registry)
            let records = try Self.records(walk, of: queue)
            guard let record = records.current else {
                try walk.end()
                return false
            }
            let groups = record.definition.groups.map(\.name)
            try channel.calls(Topology.removal(queue, groups: groups, lanes: record.lanes ?? 0))
            do throws(QueueError) {
                try walk.remove(records.tags)
                try walk.end()
            } catch {
                throw QueueError(
                    .indeterminate,
                    "\(error.message); whether all of the queue is gone is unknown, delete it again",
                    underlying: error
                )
            }
            return true
        }
    }

    /// The settings of a queue, asked for only when this client does not know them.
    func known(_ queue: String, group: String? = nil) async throws(QueueError) -> QueueDefinition {
        try NameRules.validate(queue: queue)
        try checkOpen()
        if let known = state.withLock({ $0.definitions[queue] }),
            group == nil || known.groups.contains(where: { $0.name == group })
        {
            return known
        }
        guard let definition = try await definition(of: queue) else {
            throw Self.missing(queue)
        }
        return definition
    }

    /// Forgets what this client knows of a queue.
    func forget(_ queue: String) {
        state.withLock { state in
            state.definitions[queue] = nil
            state.lanes[queue] = nil
        }
    }

    /// Tells a queue that was deleted, and one that was closed, from one that has lost a part of itself.
    func explained(_ error: QueueError, _ queue: String) async -> QueueError {
        guard error.code == .topologyLost else { return error.about(queue) }
        forget(queue)
        let found: QueueRecord?
        do throws(QueueError) {
            found = try await record(of: queue)
        } catch _ {
            return error.about(queue)
        }
        guard let found else { return Self.missing(queue) }
        return found.isOpen ? error.about(queue) : Self.closed(queue)
    }

    private static func closed(_ queue: String) -> QueueError {
        QueueError(.queueClosed, "the queue is closed for publications", queue: queue)
    }

    /// Runs steps of administration on a queue that this client knows; it may have been deleted since.
    func inspect<Value: Sendable>(
        _ queue: String,
        mayRepeat: Bool = true,
        _ job: @escaping @Sendable (AdminChannel) throws(QueueError) -> Value
    ) async throws(QueueError) -> Value {
        let failure: QueueError
        do throws(QueueError) {
            return try await administration.run(queue, mayRepeat: mayRepeat, job)
        } catch {
            failure = error
        }
        throw await explained(failure, queue)
    }

    static func missing(_ queue: String) -> QueueError {
        QueueError(.notFound, "there is no such queue; declare it first", queue: queue)
    }
}
#endif
