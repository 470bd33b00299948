import Messaging

extension Conformance {
    static let figures: [ConformanceCase] = [model, idempotent, drift]

    private static let model = ConformanceCase(
        "stats.model",
        .figures,
        "the figures follow every operation, and no message is lost or doubled",
        requires: [.delay, .scheduleList, .deadLetters]
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        var model = FiguresModel(stage: stage, consumer: consumer)
        for step in 0..<400 {
            try await model.step()
            if step % 10 == 9 { try await model.check() }
        }
        try await model.finish()
    }

    private static let idempotent = ConformanceCase(
        "topo.idempotent",
        .figures,
        "many clients may declare the same at once, and get one queue",
        requires: [.fanOut]
    ) { harness in
        let name = harness.uniqueName("declared")
        let definition = QueueDefinition(
            name,
            groups: [GroupDefinition("a"), GroupDefinition("b", lease: .seconds(5))]
        )
        var clients: [any MessageQueue] = []
        for _ in 0..<10 { clients.append(try await harness.makeQueue()) }
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
        try expectEqual(statistics.groups.map(\.group), ["a", "b"], "the groups with figures")
        for group in statistics.groups where group.ready.grade == .exact {
            try expectEqual(group.ready.value, 1, "what is ready for group \(group.group)")
        }
    }

    private static let drift = ConformanceCase(
        "topo.drift",
        .figures,
        "declaring other settings fails, names both and changes nothing",
        requires: [.fanOut]
    ) { harness in
        let queue = try await harness.makeQueue()
        let name = harness.uniqueName("drift")
        let definition = QueueDefinition(
            name,
            groups: [GroupDefinition("a", lease: .seconds(7), maxAttempts: 3)],
            dedupeWindow: .seconds(11)
        )
        try await queue.declare(definition)
        var window = definition
        window.dedupeWindow = .seconds(13)
        window.groups.append(GroupDefinition("new"))
        var lease = definition
        lease.groups[0].lease = .seconds(17)
        lease.groups.append(GroupDefinition("new"))
        var attempts = definition
        attempts.groups[0].maxAttempts = 19
        var retention = definition
        retention.retention = .seconds(23)
        let changes: [(QueueDefinition, [String])] = [
            (window, ["11", "13"]), (lease, ["7", "17"]), (attempts, ["3", "19"]), (retention, ["0", "23"]),
        ]
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
        var more = definition
        more.groups = [GroupDefinition("b")]
        try await queue.declare(more)
        let found = try await queue.definition(of: name)
        try expectEqual(Set(found?.groups.map(\.name) ?? []), ["a", "b"], "the groups after one was added")
        try await queue.publish(Message(text: "still usable"), to: name)
    }
}
