import Messaging

extension Conformance {
    static let lifecycle: [ConformanceCase] = [afterClose, giveBack]

    private static let afterClose = ConformanceCase(
        "life.afterClose",
        .lifecycle,
        "after close every call says so, and waiting calls end"
    ) { harness in
        let stage = try await Stage(harness)
        let observer = try await harness.makeQueue()
        try await stage.publish(2)
        let closed = try await stage.consumer("closed")
        let held = try await stage.takeOne(from: closed)
        await closed.close()
        await closed.close()
        try await expectError(.closed, "receive of a closed consumer") {
            try await closed.receive(max: 1, wait: .zero)
        }
        try await expectError(.closed, "settle of a closed consumer") { try await closed.acknowledge(held) }
        let capabilities = try await stage.queue.capabilities()
        if capabilities[.renewal].isAvailable {
            try await expectError(.closed, "renew of a closed consumer") { try await closed.renew([held.receipt]) }
        }
        let open = try await stage.consumer("open")
        _ = try await stage.take(2, from: open)
        let waiting = Task { try await open.receive(max: 1, wait: stage.unit * 1000) }
        for _ in 0..<20 { await Task.yield() }
        let queue = stage.queue
        let name = stage.name
        await queue.close()
        await queue.close()
        try await expectError(.closed, "a receive that was waiting") { try await waiting.value }
        try await expectError(.closed, "receive after close") { try await open.receive(max: 1, wait: .zero) }
        try await expectError(.closed, "publish") { try await queue.publish([Message(text: "x")], to: name) }
        try await expectError(.closed, "declare") { try await queue.declare(QueueDefinition(name)) }
        try await expectError(.closed, "definition") { try await queue.definition(of: name) }
        try await expectError(.closed, "queues") { try await queue.queues() }
        try await expectError(.closed, "statistics") { try await queue.statistics(of: name) }
        try await expectError(.closed, "consume") { try await queue.consume(name, group: "workers", consumer: "c") }
        // What is refused at any time needs not look whether the client is open.
        if capabilities[.deadLetters].isAvailable {
            try await expectError(.closed, "deadLetters") {
                try await queue.deadLetters(of: name, matching: .all, after: nil, limit: 1)
            }
            try await expectError(.closed, "redrive") { try await queue.redrive([], of: name) }
            try await expectError(.closed, "discardDeadLetters") { try await queue.discardDeadLetters([], of: name) }
        }
        if capabilities[.scheduleList].isAvailable {
            try await expectError(.closed, "scheduled") { try await queue.scheduled(of: name, after: nil, limit: 1) }
            try await expectError(.closed, "cancelScheduled") { try await queue.cancelScheduled([], of: name) }
        }
        // Another client of the broker is not touched, and gets what the closed ones held.
        let other = try await observer.consume(name, group: "workers", consumer: "other")
        let rest = try await stage.take(2, from: other)
        try expectEqual(Set(rest.map(\.message.text)), ["m-0", "m-1"], "what came back")
        await observer.close()
    }

    private static let giveBack = ConformanceCase(
        "life.giveBack",
        .lifecycle,
        "what a closed consumer held comes to others at once, with the attempt counted"
    ) { harness in
        let stage = try await Stage(harness)
        let first = try await stage.consumer("first")
        let second = try await stage.consumer("second")
        try await stage.publish(5)
        let held = try await stage.take(4, from: first)
        try await first.acknowledge(held[0])
        await first.close()
        let taken = try await stage.take(4, from: second, within: harness.tolerance)
        let attempts = Dictionary(taken.map { ($0.message.id, $0.attempt) }) { first, _ in first }
        try expectEqual(attempts.count, 4, "the number of different messages")
        for delivery in held.dropFirst() {
            try expectEqual(attempts[delivery.message.id], 2, "the attempt of what was held")
        }
        try await stage.settle(taken, by: second)
        try await stage.expectNothing(second)
    }
}
