import Messaging

extension Conformance {
    static let groups: [ConformanceCase] = [fanOut, privateRetry, latest, earliest, resume, replay, retention]

    private static func group(_ name: String, _ harness: any ConformanceHarness) -> GroupDefinition {
        GroupDefinition(name, lease: Stage.longLease(harness))
    }

    private static let fanOut = ConformanceCase(
        "group.fanout",
        .groups,
        "each group gets every message once, its members share them",
        requires: [.fanOut]
    ) { harness in
        let stage = try await Stage(harness) { definition in
            definition.groups = ["a", "b", "c"].map { group($0, harness) }
        }
        let messages = try await stage.publish(60)
        for group in ["a", "b", "c"] {
            let members = [
                try await stage.consumer("1", group: group), try await stage.consumer("2", group: group),
            ]
            var taken: [Delivery] = []
            while taken.count < 60 {
                for member in members where taken.count < 60 {
                    let batch = try await stage.take(1, from: member)
                    try await stage.settle(batch, by: member)
                    taken += batch
                }
            }
            try expectEqual(Set(taken.map(\.message.id)), Set(messages.map(\.id)), "what group \(group) got")
            try await stage.expectQuiet(members[0])
            try await stage.expectFigures(group: group, ready: 0, inFlight: 0)
        }
    }

    private static let privateRetry = ConformanceCase(
        "group.private",
        .groups,
        "retries and dead letters of one group are invisible to the others",
        requires: [.fanOut]
    ) { harness in
        let stage = try await Stage(harness) { definition in
            definition.groups = ["a", "b"].map { group($0, harness) }
        }
        let capabilities = try await stage.queue.capabilities()
        let delay = capabilities[.delay].isAvailable ? stage.unit : .zero
        let hasLetters = capabilities[.deadLetters].isAvailable
        let failing = try await stage.consumer(group: "a")
        let other = try await stage.consumer(group: "b")
        try await stage.publish(2)
        let taken = try await stage.take(2, from: failing)
        try await failing.settle(taken[0], .retry(after: delay, error: "a"))
        try await failing.settle(taken[1], hasLetters ? .reject(reason: .rejected, error: "a") : .discard)
        let others = try await stage.take(2, from: other)
        try expectEqual(others.map(\.attempt), [1, 1], "the attempts of the other group")
        try expect(others.allSatisfy { $0.history.isEmpty }, "the other group sees the history")
        try await stage.settle(others, by: other)
        let again = try await stage.takeOne(from: failing)
        try expectEqual(again.message.id, taken[0].message.id, "what is retried")
        try expectEqual(again.attempt, 2, "the attempt")
        try await failing.acknowledge(again)
        try await stage.expectNothing(other)
        try await stage.expectFigures(group: "a", inFlight: 0, delayed: 0, dead: hasLetters ? 1 : 0)
        try await stage.expectFigures(group: "b", ready: 0, inFlight: 0, delayed: 0, dead: 0)
    }

    private static let latest = ConformanceCase(
        "group.latest",
        .groups,
        "a group that starts at the latest message gets only what comes after",
        requires: [.fanOut]
    ) { harness in
        let stage = try await Stage(harness)
        try await stage.publish(10, prefix: "old")
        var late = group("late", harness)
        late.start = .latest
        try await stage.queue.declare(QueueDefinition(stage.name, groups: [late]))
        let new = try await stage.publish(10, prefix: "new")
        let consumer = try await stage.consumer(group: "late")
        let taken = try await stage.take(10, from: consumer)
        try expectEqual(Set(taken.map(\.message.id)), Set(new.map(\.id)), "what came")
        try await stage.settle(taken, by: consumer)
        try await stage.expectNothing(consumer)
        try await stage.expectFigures(ready: 21)
    }

    private static let earliest = ConformanceCase(
        "group.earliest",
        .groups,
        "a group that starts at the earliest message gets all that the queue still holds",
        requires: [.fanOut, .replay]
    ) { harness in
        let stage = try await Stage(harness)
        let messages = try await stage.publish(20)
        try await stage.queue.declare(QueueDefinition(stage.name, groups: [group("late", harness)]))
        let consumer = try await stage.consumer(group: "late")
        let taken = try await stage.take(20, from: consumer)
        try expectEqual(Set(taken.map(\.message.id)), Set(messages.map(\.id)), "what came")
        try await stage.settle(taken, by: consumer)
        try await stage.expectNothing(consumer)
        try await stage.expectFigures(group: "late", ready: 0, inFlight: 0)
        try await stage.expectFigures(ready: 21)
    }

    private static let resume = ConformanceCase(
        "group.resume",
        .groups,
        "a group without members keeps its place"
    ) { harness in
        let stage = try await Stage(harness)
        try await stage.publish(5, prefix: "before")
        let first = try await stage.consumer("first")
        try await stage.settle(try await stage.take(5, from: first), by: first)
        await first.close()
        let messages = try await stage.publish(50, prefix: "meanwhile")
        // Declaring again, with another start, moves nothing.
        var again = group("workers", harness)
        again.start = .latest
        try await stage.queue.declare(QueueDefinition(stage.name, groups: [again]))
        let second = try await stage.consumer("second")
        let taken = try await stage.take(50, from: second)
        try expectEqual(Set(taken.map(\.message.id)), Set(messages.map(\.id)), "what came")
        try await stage.settle(taken, by: second)
        try await stage.expectNothing(second)
    }

    private static let replay = ConformanceCase(
        "group.replay",
        .groups,
        "a new group replays from the start or from a time, and moves no other group",
        requires: [.replay, .fanOut]
    ) { harness in
        let stage = try await Stage(harness) { $0.retention = .seconds(3600) }
        func declare(_ name: String, _ start: GroupDefinition.Start) async throws {
            var definition = QueueDefinition(stage.name, groups: [group(name, harness)])
            definition.retention = .seconds(3600)
            definition.groups[0].start = start
            try await stage.queue.declare(definition)
        }
        let consumer = try await stage.consumer()
        let old = try await stage.publish(5, prefix: "old")
        try await harness.advance(by: stage.unit)
        let new = try await stage.publish(5, prefix: "new")
        let taken = try await stage.take(10, from: consumer)
        let times = taken.filter { Stage.text($0).hasPrefix("new") }.compactMap(\.publishedAt)
        guard let time = times.min() else { throw ConformanceFailure("no delivery says when it was published") }
        try await stage.settle(Array(taken.prefix(7)), by: consumer)
        try await declare("all", .earliest)
        try await declare("some", .at(time))
        let expected = [("all", old + new), ("some", new)]
        for (name, messages) in expected {
            let member = try await stage.consumer(group: name)
            let replayed = try await stage.take(messages.count, from: member)
            try expectEqual(replayed.map(\.message.id), messages.map(\.id), "what group \(name) replays")
            try expect(replayed.allSatisfy { $0.attempt == 1 }, "a replay is not on attempt 1")
            try await stage.settle(replayed, by: member)
            try await stage.expectQuiet(member)
        }
        try await stage.expectFigures(ready: 0, inFlight: 3)
        try await stage.settle(Array(taken.suffix(3)), by: consumer)
        try await stage.expectNothing(consumer)
    }

    private static let retention = ConformanceCase(
        "group.retention",
        .groups,
        "what a group has not finished stays, however long the others have been done",
        requires: [.fanOut]
    ) { harness in
        let probe = try await harness.makeQueue()
        let hasRetention = try await probe.capabilities()[.replay].isAvailable
        let stage = try await Stage(harness) {
            if hasRetention { $0.retention = harness.timeUnit }
            $0.groups.append(group("slow", harness))
        }
        let fast = try await stage.consumer()
        let slow = try await stage.consumer(group: "slow")
        let messages = try await stage.publish(40)
        let held = try await stage.takeOne(from: slow)
        try await stage.settle(try await stage.take(40, from: fast), by: fast)
        try await harness.advance(by: stage.unit * 2)
        try await stage.publish(1, prefix: "trigger")
        try await stage.settle(try await stage.take(1, from: fast), by: fast)
        let rest = try await stage.take(40, from: slow)
        let seen = Set((rest + [held]).map(\.message.id))
        try expect(seen.isSuperset(of: messages.map(\.id)), "the slow group lost messages")
        try await slow.settle(held, .release)
        try await slow.acknowledge(try await stage.takeOne(from: slow))
        try await stage.settle(rest, by: slow)
        try await stage.expectNothing(slow)
    }
}
