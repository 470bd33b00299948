import Messaging

extension Conformance {
    static let figures: [ConformanceCase] = [model, oldestAge, idempotent, drift, settings]

    private static let model = ConformanceCase(
        "stats.model",
        .figures,
        "the figures follow every operation, and no message is lost or doubled"
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        var model = FiguresModel(stage: stage, consumer: consumer, try await stage.queue.capabilities())
        for step in 0..<400 {
            try await model.step()
            if step % 10 == 9 { try await model.check() }
        }
        try await model.finish()
    }

    private static let oldestAge = ConformanceCase(
        "stats.oldestAge",
        .figures,
        "the oldest age is that of the oldest message that is ready or in flight, where the backend can tell"
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        func age() async throws -> Duration? {
            let statistics = try await stage.queue.statistics(of: stage.name)
            return statistics["workers"]?.oldestAge
        }
        try expectEqual(try await age(), nil, "the oldest age of an empty queue")
        let before = harness.now
        try await stage.publish(1, prefix: "old")
        let after = harness.now
        try await harness.advance(by: stage.unit)
        try await stage.publish(1, prefix: "young")
        guard try await age() != nil else { throw NotPossible("the backend cannot tell the oldest age") }
        /// Two clocks, of which one may have whole milliseconds and is set by others.
        let slack = Duration.milliseconds(5)
        func expectAge(of published: (before: Duration, after: Duration), _ what: String) async throws {
            let asked = harness.now
            guard let age = try await age() else { throw ConformanceFailure("there is no oldest age \(what)") }
            let (least, most) = (asked - published.after, harness.now - published.before)
            try expect(age >= least - slack, "the oldest age \(what) is \(age), at least \(least) have passed")
            try expect(age <= most + slack + harness.tolerance, "the oldest age \(what) is \(age), not \(most)")
        }
        try await expectAge(of: (before, after), "of what is ready")
        let old = try await stage.takeOne(from: consumer)
        try await expectAge(of: (before, after), "of what is in flight")
        try await stage.settle([old, try await stage.takeOne(from: consumer)], by: consumer)
        try expectEqual(try await age(), nil, "the oldest age after all was handled")
        try await stage.expectNothing(consumer)
    }

    private static let idempotent = ConformanceCase(
        "topo.idempotent",
        .figures,
        "many clients may declare the same at once, and get one queue"
    ) { harness in
        let name = harness.uniqueName("declared")
        var clients: [any MessageQueue] = []
        for _ in 0..<10 { clients.append(try await harness.makeQueue()) }
        var groups = [GroupDefinition("a", lease: .seconds(5))]
        if try await clients[0].capabilities()[.fanOut].isAvailable { groups.append(GroupDefinition("b")) }
        let definition = QueueDefinition(name, groups: groups)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for client in clients { group.addTask { try await client.declare(definition) } }
            try await group.waitForAll()
        }
        for client in clients {
            let found = try await client.definition(of: name)
            try expectEqual(found.map { Set($0.groups) }, Set(definition.groups), "the groups")
            try expectEqual(found?.dedupeWindow, definition.dedupeWindow, "the dedupe window")
        }
        let listed = try await clients[0].queues()
        try expectEqual(listed.filter { $0 == name }, [name], "the list of queues")
        try expectEqual(listed, listed.sorted(), "the order of the list")
        try await clients[1].publish(Message(text: "one"), to: name)
        let statistics = try await clients[2].statistics(of: name)
        try expectEqual(statistics.groups.map(\.group), groups.map(\.name), "the groups with figures")
        for group in statistics.groups where group.ready.grade == .exact {
            try expectEqual(group.ready.value, 1, "what is ready for group \(group.group)")
        }
    }

    private static let drift = ConformanceCase(
        "topo.drift",
        .figures,
        "declaring other settings fails, names both and changes nothing"
    ) { harness in
        let queue = try await harness.makeQueue()
        let capabilities = try await queue.capabilities()
        let hasGroups = capabilities[.fanOut].isAvailable
        let name = harness.uniqueName("drift")
        let definition = QueueDefinition(
            name,
            groups: [GroupDefinition("a", lease: .seconds(7), maxAttempts: 3)],
            dedupeWindow: .seconds(11)
        )
        try await queue.declare(definition)
        var window = definition
        window.dedupeWindow = .seconds(13)
        if hasGroups { window.groups.append(GroupDefinition("new")) }
        var lease = definition
        lease.groups[0].lease = .seconds(17)
        if hasGroups { lease.groups.append(GroupDefinition("new")) }
        var attempts = definition
        attempts.groups[0].maxAttempts = 19
        var changes: [(QueueDefinition, [String])] = [
            (window, ["11", "13"]), (lease, ["7", "17"]), (attempts, ["3", "19"]),
        ]
        if capabilities[.replay].isAvailable {
            var retention = definition
            retention.retention = .seconds(23)
            changes.append((retention, ["0", "23"]))
        }
        if capabilities[.keyedOrder].isAvailable {
            var ordering = definition
            ordering.ordering = .keyed
            changes.append((ordering, ["keyed", "unordered"]))
        }
        if capabilities[.boundedQueue].isAvailable {
            var bound = definition
            bound.maxReady = 29
            changes.append((bound, ["29"]))
        }
        for (changed, values) in changes {
            do {
                try await queue.declare(changed)
                throw ConformanceFailure("other settings were accepted")
            } catch let error as QueueError {
                try expectEqual(error.code, .topologyConflict, "the error")
                for value in values {
                    try expect(error.message.contains(value), "'\(error.message)' does not name \(value)")
                }
            }
            let found = try await queue.definition(of: name)
            try expectEqual(found, definition, "the definition after a conflict")
        }
        try await queue.declare(definition)
        try await queue.publish(Message(text: "still usable"), to: name)
        guard hasGroups else { return }
        var more = definition
        more.groups = [GroupDefinition("b")]
        try await queue.declare(more)
        let found = try await queue.definition(of: name)
        try expectEqual(Set(found?.groups.map(\.name) ?? []), ["a", "b"], "the groups after one was added")
    }

    private static let settings = ConformanceCase(
        "topo.invalid",
        .figures,
        "settings that make no sense are refused and create nothing, and so is a receive of none or of too many"
    ) { harness in
        let queue = try await harness.makeQueue()
        let name = harness.uniqueName("invalid")
        let nonsense: [(String, (inout QueueDefinition) -> Void)] = [
            ("no attempt", { $0.groups[0].maxAttempts = 0 }), ("a lease of zero", { $0.groups[0].lease = .zero }),
            ("a lease of 31 days", { $0.groups[0].lease = .seconds(31 * 86400) }),
            ("a negative window", { $0.dedupeWindow = .seconds(-1) }),
            ("a negative retention", { $0.retention = .seconds(-1) }), ("a bound of zero", { $0.maxReady = 0 }),
            ("a group twice", { $0.groups.append($0.groups[0]) }),
        ]
        for (what, change) in nonsense {
            var definition = QueueDefinition(name, groups: [GroupDefinition("workers")])
            change(&definition)
            let changed = definition
            try await expectError(.invalidArgument, "declaring \(what)") { try await queue.declare(changed) }
            let found = try await queue.definition(of: name)
            try expect(found == nil, "a refused declaration left a queue behind")
        }
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        try await stage.publish(1)
        for max in [-1, 0, 1001] {
            try await expectError(.invalidArgument, "a receive of \(max)") {
                try await consumer.receive(max: max, wait: .zero)
            }
        }
        // The control arm: what may be asked for is handed over.
        try await consumer.acknowledge(try await stage.take(1, from: consumer)[0])
        try await stage.expectNothing(consumer)
    }
}
