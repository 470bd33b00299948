import Messaging
import Synchronization

extension Conformance {
    static let flows: [ConformanceCase] = [single, waiting, keyRebalance, slowPeer, groupRebalance]

    private static let single = ConformanceCase(
        "order.single",
        .ordering,
        "one consumer with one message in flight sees the order of publishing",
        tier: .full
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        var ids: [MessageID] = []
        for batch in 0..<20 { ids += try await stage.publish(50, prefix: "\(batch)").map(\.id) }
        for (index, id) in ids.enumerated() {
            let delivery = try await stage.takeOne(from: consumer)
            try expectEqual(delivery.message.id, id, "message \(index)")
            try await consumer.acknowledge(delivery)
        }
        try await stage.expectNothing(consumer)
    }

    private static let waiting = ConformanceCase(
        "par.wait",
        .ordering,
        "a receive waits, for what arrives and no longer than it was told to"
    ) { harness in
        let stage = try await Stage(harness)
        let consumers = [try await stage.consumer("consumer-1"), try await stage.consumer("consumer-2")]
        // Nobody lets time pass: only the arrival can end these.
        let receives = consumers.map { consumer in
            Task { try await consumer.receive(max: 1, wait: stage.unit * 1000) }
        }
        defer { for receive in receives { receive.cancel() } }
        for _ in 0..<20 { await Task.yield() }
        let messages = try await stage.publish(2)
        let taken = try await within("receives that wait for what has arrived") {
            var taken: [Delivery] = []
            for receive in receives { taken += try await receive.value }
            return taken
        }
        try expectEqual(Set(taken.map(\.message.id)), Set(messages.map(\.id)), "what came")
        for (delivery, consumer) in zip(taken, consumers) { try await consumer.acknowledge(delivery) }
        let isOver = Mutex(false)
        let start = harness.now
        let last = Task {
            defer { isOver.withLock { $0 = true } }
            return try await consumers[0].receive(max: 1, wait: stage.unit)
        }
        defer { last.cancel() }
        // By the machine's clock: a clock that only this loop moves does not wait for the receive to begin.
        let limit = ContinuousClock.now + .seconds(30)
        while !isOver.withLock({ $0 }) {
            try expect(ContinuousClock.now < limit, "a receive that waits \(stage.unit) does not end")
            try await harness.advance(by: stage.step)
            await Task.yield()
        }
        try expectEqual(try await last.value.count, 0, "the number of deliveries of an empty queue")
        let waited = harness.now - start
        try expect(waited >= stage.unit - .milliseconds(1), "a receive that waits \(stage.unit) took \(waited)")
        try await stage.expectNothing(consumers[0])
    }

    private static let keyRebalance = ConformanceCase(
        "order.rebalance",
        .ordering,
        "consumers that join and leave in mid-flow overlap, reorder and lose nothing of any key",
        tier: .full,
        requires: [.keyedOrder]
    ) { harness in
        let stage = try await Stage(harness) {
            $0.ordering = .keyed
            $0.groups[0].maxAttempts = 1000
        }
        let (keys, rounds) = (16, 20)
        for round in 0..<rounds {
            try await stage.publish((0..<keys).map { Message(text: "\(round)", key: "key-\($0)") })
        }
        var generator = SeededGenerator(seed: 17)
        var members: [(name: Int, consumer: any QueueConsumer)] = []
        var held: [(name: Int, delivery: Delivery)] = []
        var next: [String: Int] = [:]
        var (handled, joined, left) = (0, 0, 0)
        let end = harness.now + stage.unit * 100
        while handled < keys * rounds {
            try expect(harness.now < end, "\(handled) of \(keys * rounds) messages were handled in time")
            if members.count < 2 || members.count < 6 && Int.random(in: 0..<8, using: &generator) == 0 {
                joined += 1
                members.append((joined, try await stage.consumer("consumer-\(joined)")))
            } else if Int.random(in: 0..<10, using: &generator) == 0 {
                // With all that it holds in its hands.
                let gone = members.remove(at: Int.random(in: 0..<members.count, using: &generator))
                held.removeAll { $0.name == gone.name }
                await gone.consumer.close()
                left += 1
            }
            var came = 0
            for (name, consumer) in members {
                for delivery in try await consumer.receive(max: 3, wait: .zero) {
                    came += 1
                    let key = delivery.message.key ?? ""
                    try expect(
                        !held.contains { $0.delivery.message.key == key },
                        "two messages of \(key) at the same time"
                    )
                    try expectEqual(delivery.message.text, "\(next[key, default: 0])", "the turn of \(key)")
                    held.append((name, delivery))
                }
            }
            if came == 0, held.isEmpty { try await harness.advance(by: stage.step) }
            held.shuffle(using: &generator)
            for (name, delivery) in held.prefix(4) {
                guard let member = members.first(where: { $0.name == name }) else { continue }
                try await member.consumer.acknowledge(delivery)
                next[delivery.message.key ?? "", default: 0] += 1
                handled += 1
            }
            held.removeFirst(min(4, held.count))
        }
        try expect(left >= 3, "only \(left) consumers left while messages flowed")
        try await stage.expectFigures(ready: 0, inFlight: 0, delayed: 0)
        guard let last = members.first?.consumer else { return }
        try await stage.expectNothing(last)
    }

    private static let slowPeer = ConformanceCase(
        "par.slowPeer",
        .ordering,
        "a slow consumer holds what it asked for and holds nobody up",
        tier: .full
    ) { harness in
        let ideal = 200 * 20 / 21 + 1
        let limit = ideal * 6 / 5
        let (turns, slow) = try await share(harness, slowTakes: 1, limit: limit)
        guard let turns else {
            throw ConformanceFailure("200 messages were not handled in \(limit) turns, \(ideal) is ideal")
        }
        try expect(turns <= limit, "it took \(turns) turns, \(ideal) is ideal")
        try expect((8...12).contains(slow), "the slow consumer handled \(slow) messages, about 9 were its share")
        // The control arm: who does ask for many holds them up.
        let (control, _) = try await share(harness, slowTakes: 50, limit: limit)
        try expect(control == nil, "50 messages of a slow consumer were handled in \(limit) turns")
    }

    /// Lets a consumer that handles one message a turn and one that needs 20 turns for each share 200 messages.
    ///
    /// - Returns: After how many turns all were handled, `nil` when it took too many; what the slow one handled.
    private static func share(
        _ harness: any ConformanceHarness,
        slowTakes: Int,
        limit: Int
    ) async throws -> (turns: Int?, slow: Int) {
        let stage = try await Stage(harness)
        let slow = try await stage.consumer("slow")
        let fast = try await stage.consumer("fast")
        try await stage.publish(200)
        var held = try await stage.take(slowTakes, from: slow)
        var seen = Set(held.map(\.message.id))
        var (handled, bySlow) = (0, 0)
        for turn in 1...limit {
            let batch = try await fast.receive(max: 1, wait: .zero)
            try await stage.settle(batch, by: fast)
            handled += batch.count
            if turn.isMultiple(of: 20), !held.isEmpty {
                try await slow.acknowledge(held.removeFirst())
                handled += 1
                bySlow += 1
                if held.isEmpty {
                    held = try await slow.receive(max: slowTakes, wait: .zero)
                    for delivery in held { seen.insert(delivery.message.id) }
                }
            }
            for delivery in batch {
                try expect(seen.insert(delivery.message.id).inserted, "\(Stage.text(delivery)) came to both")
            }
            if handled == 200 { return (turn, bySlow) }
            try expect(held.count <= slowTakes, "the slow consumer holds \(held.count), it asked for \(slowTakes)")
        }
        return (nil, bySlow)
    }

    private static let groupRebalance = ConformanceCase(
        "group.rebalance",
        .groups,
        "a member that joins takes nothing that others hold, one that leaves gives back what it held and no more"
    ) { harness in
        let stage = try await Stage(harness)
        let first = try await stage.consumer("first")
        let second = try await stage.consumer("second")
        let messages = try await stage.publish(60)
        let leaving = try await stage.take(5, from: first)
        let staying = try await stage.take(5, from: second)
        let third = try await stage.consumer("third")
        let fresh = try await stage.take(10, from: third)
        let inFlight = Set((leaving + staying).map(\.message.id))
        try expect(inFlight.isDisjoint(with: fresh.map(\.message.id)), "the third member got what others hold")
        try await stage.settle(fresh, by: third)
        await first.close()
        var rest: [Delivery] = []
        while rest.count < 45 {
            for member in [second, third] where rest.count < 45 {
                let batch = try await stage.take(min(4, 45 - rest.count), from: member)
                try await stage.settle(batch, by: member)
                rest += batch
            }
        }
        let left = Set(leaving.map(\.message.id))
        for delivery in rest {
            let isBack = left.contains(delivery.message.id)
            try expectEqual(delivery.attempt, isBack ? 2 : 1, "the attempt of \(Stage.text(delivery))")
        }
        try await stage.settle(staying, by: second)
        let all = (rest + staying + fresh).map(\.message.id)
        try expectEqual(all.count, 60, "the number of deliveries that were handled")
        try expectEqual(Set(all), Set(messages.map(\.id)), "what was handled")
        try await stage.expectNothing(third)
        try await stage.expectQuiet(second, for: .zero)
        try await stage.expectFigures(ready: 0, inFlight: 0)
    }
}
