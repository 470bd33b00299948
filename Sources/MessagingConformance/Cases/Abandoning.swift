import Messaging

extension Conformance {
    static let abandoning: [ConformanceCase] = [dropped, prefetchAging]

    private static let dropped = ConformanceCase(
        "settle.dropped",
        .settlement,
        "a loop that is left and a consumer that is dropped take nothing with them but what was handed over, and that comes back"
    ) { harness in
        let lease = harness.timeUnit * 3
        let stage = try await Stage(harness) { $0.groups[0].lease = lease }
        let looping = try await stage.consumer("looping")
        let other = try await stage.consumer("other")
        let messages = try await stage.publish(5)
        // The control arm: what is acknowledged before the loop is left never comes again.
        var handled: MessageID?
        for try await delivery in looping.deliveries() {
            try await looping.acknowledge(delivery)
            handled = delivery.message.id
            break
        }
        var left: Delivery?
        let asked = harness.now
        for try await delivery in looping.deliveries() {
            left = delivery
            break
        }
        let end = harness.now + lease
        guard let left, let handled else { throw ConformanceFailure("the loop ended without a delivery") }
        try await stage.timely(since: asked, lease) {
            try await stage.expectFigures(ready: 3, inFlight: 1)
            let rest = try await stage.take(3, from: other, within: harness.tolerance)
            try expectEqual(
                Set(rest.map(\.message.id) + [left.message.id, handled]),
                Set(messages.map(\.id)),
                "what came"
            )
            try await stage.settle(rest, by: other)
        }
        let again = try await stage.takeOne(from: other, by: end)
        try expectEqual(again.value.message.id, left.message.id, "what came back")
        try expectEqual(again.value.attempt, 2, "the attempt")
        try await stage.timely(since: again.asked, lease) { try await other.acknowledge(again.value) }
        // A consumer that is forgotten without being closed.
        try await stage.publish(1, prefix: "forgotten")
        let held = try await forget(stage)
        let back = try await stage.takeOne(from: other, by: harness.now + lease)
        try expectEqual(back.value.message.id, held, "what came back from the forgotten consumer")
        try expectEqual(back.value.attempt, 2, "the attempt")
        try await stage.timely(since: back.asked, lease) { try await other.acknowledge(back.value) }
        try await stage.expectNothing(other)
    }

    /// Takes one delivery and lets it and its consumer go.
    private static func forget(_ stage: Stage) async throws -> MessageID {
        let consumer = try await stage.consumer("forgotten")
        return try await stage.takeOne(from: consumer).message.id
    }

    private static let prefetchAging = ConformanceCase(
        "lease.prefetchAging",
        .leases,
        "what waits behind slow handlers is handled once as long as its lease is renewed",
        tier: .full,
        requires: [.renewal]
    ) { harness in
        let lease = harness.timeUnit * 4
        let stage = try await Stage(harness) { $0.groups[0].lease = lease }
        let isFenced = try await stage.queue.capabilities()[.fencedSettle].isAvailable
        let holder = try await stage.consumer("holder")
        let other = try await stage.consumer("other")
        try await stage.publish(5, prefix: "kept")
        var renewed = harness.now
        var held = try await stage.take(5, from: holder)
        while !held.isEmpty {
            for _ in 0..<3 {
                try await harness.advance(by: lease / 5)
                let since = renewed
                renewed = harness.now
                try await stage.timely(since: since, lease) {
                    let kept = try await holder.renew(held.map(\.receipt))
                    try expect(kept.allSatisfy { $0 }, "a lease was lost although it was renewed in time")
                    try await stage.expectQuiet(other, for: .zero)
                }
            }
            let first = held.removeFirst()
            try expectEqual(first.attempt, 1, "the attempt")
            try await stage.timely(since: renewed, lease) { try await holder.acknowledge(first) }
        }
        try await stage.expectNothing(other)
        // The control arm: without renewals all that still waits goes to the other consumer.
        try await stage.publish(5, prefix: "aged")
        let start = harness.now
        held = try await stage.take(5, from: holder)
        try await harness.advance(by: lease / 5 * 3)
        try await stage.timely(since: start, lease) { try await holder.acknowledge(held[0]) }
        let taken = try await stage.take(4, from: other, by: harness.now + lease)
        try expectEqual(
            Set(taken.value.map(\.message.id)),
            Set(held.dropFirst().map(\.message.id)),
            "what came without renewals"
        )
        try expectEqual(Set(taken.value.map(\.attempt)), [2], "the attempts of what came without renewals")
        if isFenced {
            try await expectError(.leaseLost, "settling what has aged") { try await holder.acknowledge(held[1]) }
        }
        try await stage.timely(since: taken.asked, lease) { try await stage.settle(taken.value, by: other) }
        try await stage.expectNothing(other)
    }
}
