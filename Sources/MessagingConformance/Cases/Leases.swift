import Messaging

extension Conformance {
    static let leases: [ConformanceCase] = [expiry, extend, fence, maxAttempts]

    private static let expiry = ConformanceCase(
        "lease.expiry",
        .leases,
        "what is held past its lease comes once more, on attempt 2, and not before"
    ) { harness in
        let stage = try await Stage(harness) { $0.groups[0].lease = harness.timeUnit * 2 }
        let first = try await stage.consumer("first")
        let second = try await stage.consumer("second")
        try await stage.publish(1)
        let before = harness.now
        let held = try await stage.takeOne(from: first)
        let after = harness.now
        let again = try await stage.takeOne(from: second, by: after + stage.unit * 2)
        let early = before + stage.unit * 2 - again.came
        try expect(early <= .milliseconds(1), "it came \(early) before the lease was over")
        try expectEqual(again.value.message, held.message, "the message")
        try expectEqual(again.value.attempt, 2, "the attempt")
        try await stage.timely(since: again.asked, stage.unit * 2) { try await second.acknowledge(again.value) }
        try await stage.expectNothing(second, for: stage.unit * 5 / 2)
        try await stage.expectQuiet(first, for: .zero)
    }

    private static let extend = ConformanceCase(
        "lease.extend",
        .leases,
        "a renewed lease lasts, one that is not renewed ends",
        requires: [.renewal]
    ) { harness in
        let lease = harness.timeUnit * 3
        let stage = try await Stage(harness) { $0.groups[0].lease = lease }
        let holder = try await stage.consumer("holder")
        let other = try await stage.consumer("other")
        try await stage.publish(2)
        var renewed = harness.now
        let held = try await stage.take(2, from: holder)
        var taken: [Delivery] = []
        for _ in 0..<8 {
            try await harness.advance(by: stage.unit)
            let since = renewed
            renewed = harness.now
            try await stage.timely(since: since, lease) {
                // Whoever else asks renews nothing.
                try expectEqual(try await other.renew([held[0].receipt]), [false], "what another one's renewing says")
                // The control arm: the second delivery is never renewed.
                try expectEqual(try await holder.renew([held[0].receipt]), [true], "what renewing says")
            }
            try await stage.timely(since: renewed, lease) {
                let came = try await other.receive(max: 10, wait: .zero)
                taken += came
                try expect(!came.contains { $0.message.id == held[0].message.id }, "a renewed lease was lost")
                try await stage.settle(came, by: other)
            }
        }
        try expectEqual(taken.map(\.message.id), [held[1].message.id], "what came to the other consumer")
        try expectEqual(taken.first?.attempt, 2, "its attempt")
        try expectEqual(try await holder.renew([held[1].receipt]), [false], "what renewing a lost lease says")
        try await stage.timely(since: renewed, lease) { try await holder.acknowledge(held[0]) }
        try expectEqual(try await holder.renew([held[0].receipt]), [false], "what renewing a settled delivery says")
        try await stage.expectNothing(other)
    }

    private static let fence = ConformanceCase(
        "lease.fence",
        .leases,
        "who lost a lease cannot settle, and who has it can",
        requires: [.fencedSettle]
    ) { harness in
        let lease = harness.timeUnit * 3
        let stage = try await Stage(harness) { $0.groups[0].lease = lease }
        let capabilities = try await stage.queue.capabilities()
        let first = try await stage.consumer("first")
        let second = try await stage.consumer("second")
        try await stage.publish(1)
        let lost = try await stage.takeOne(from: first)
        let held = try await stage.takeOne(from: second, by: harness.now + stage.unit * 10)
        var settlements: [Settlement] = [.acknowledge, .release, .retry(after: .zero, error: nil), .discard]
        if capabilities[.deadLetters].isAvailable { settlements.append(.reject(reason: .rejected, error: "late")) }
        if capabilities[.delay].isAvailable { settlements.append(.retry(after: stage.unit, error: "late")) }
        try await stage.timely(since: held.asked, lease) {
            for settlement in settlements {
                try await expectError(.leaseLost, "settling a lost lease") { try await first.settle(lost, settlement) }
            }
            try await expectError(.leaseLost, "settling what another consumer holds") {
                try await first.acknowledge(held.value)
            }
            try await stage.expectFigures(ready: 0, inFlight: 1, delayed: 0, dead: 0)
            try await second.acknowledge(held.value)
        }
        try await stage.expectNothing(second, for: lease * 5 / 4)
    }

    private static let maxAttempts = ConformanceCase(
        "lease.maxAttempts",
        .leases,
        "what its consumers never settle becomes a dead letter after maxAttempts, undelivered",
        requires: [.deadLetters]
    ) { harness in
        let stage = try await Stage(harness) {
            $0.groups[0].lease = harness.timeUnit * 2
            $0.groups[0].maxAttempts = 3
        }
        let consumer = try await stage.consumer()
        let message = try await stage.publish(1)[0]
        for attempt in 1...3 {
            let delivery = try await stage.takeOne(from: consumer)
            try expectEqual(delivery.attempt, attempt, "the attempt")
        }
        // Consumers must be there for a backend that moves it when somebody asks.
        let end = harness.now + stage.unit * 2
        _ = try await stage.look(for: "the dead letter", by: end) { () async throws -> DeadLetter? in
            let letters = try await stage.deadLetters()
            if letters.isEmpty { try await stage.expectQuiet(consumer, for: .zero) }
            return letters.first
        }
        let letter = try await stage.deadLetter()
        try expectEqual(letter.reason, .attemptsExhausted, "the reason")
        try expectEqual(letter.attempts, 3, "the attempts")
        try expectEqual(letter.message, message, "the message")
        try expectEqual(letter.group, "workers", "the group")
        try await stage.expectNothing(consumer)
    }
}
