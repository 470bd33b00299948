import Messaging

extension Conformance {
    static let ordering: [ConformanceCase] = [key, keyRetry, keyDead, bound]

    private static let key = ConformanceCase(
        "order.key",
        .ordering,
        "messages of one key are handled one at a time in publish order",
        requires: [.keyedOrder]
    ) { harness in
        let stage = try await Stage(harness) { $0.ordering = .keyed }
        var consumers: [any QueueConsumer] = []
        for index in 0..<4 { consumers.append(try await stage.consumer("consumer-\(index)")) }
        let keys = 8
        let rounds = 20
        for round in 0..<rounds {
            try await stage.publish((0..<keys).map { Message(text: "\(round)", key: "key-\($0)") })
        }
        var generator = SeededGenerator(seed: 3)
        var held: [(consumer: Int, delivery: Delivery)] = []
        var next: [String: Int] = [:]
        var handled = 0
        let end = harness.now + stage.unit * 50
        while handled < keys * rounds {
            try expect(harness.now < end, "\(handled) of \(keys * rounds) messages were handled in time")
            var came = 0
            for (index, consumer) in consumers.enumerated() {
                for delivery in try await consumer.receive(max: 3, wait: .zero) {
                    came += 1
                    let key = delivery.message.key ?? ""
                    try expect(
                        !held.contains { $0.delivery.message.key == key },
                        "two messages of \(key) at the same time"
                    )
                    try expectEqual(delivery.message.text, "\(next[key, default: 0])", "the turn of \(key)")
                    held.append((index, delivery))
                }
            }
            if came == 0, held.isEmpty { try await harness.advance(by: stage.step) }
            held.shuffle(using: &generator)
            for (index, delivery) in held.prefix(3) {
                // A release keeps the turn of its key.
                let isReleased = Int.random(in: 0..<5, using: &generator) == 0
                try await consumers[index].settle(delivery, isReleased ? .release : .acknowledge)
                if !isReleased {
                    next[delivery.message.key ?? "", default: 0] += 1
                    handled += 1
                }
            }
            held.removeFirst(min(3, held.count))
        }
        try await stage.expectFigures(ready: 0, inFlight: 0, delayed: 0)
    }

    private static let keyRetry = ConformanceCase(
        "order.keyRetry",
        .ordering,
        "a key that waits for its retry holds itself and no other",
        requires: [.keyedOrder, .delay]
    ) { harness in
        let stage = try await Stage(harness) { $0.ordering = .keyed }
        let consumer = try await stage.consumer()
        for round in 0..<2 {
            try await stage.publish((0..<20).map { Message(text: "\(round)", key: "key-\($0)") })
        }
        let delay = stage.unit * 4
        var others = 0
        var start: Duration?
        var again: Delivery?
        // On a busy machine the retry is due before the other keys are through.
        while others < 38 {
            let delivery = try await stage.takeOne(from: consumer)
            if delivery.message.key != "key-0" {
                others += 1
                try await consumer.acknowledge(delivery)
            } else if let start {
                try expect(harness.now - start >= delay - .milliseconds(1), "the key went on before its retry was due")
                try expect(others > 0, "no other key went on while this one waited")
                try expect(again == nil, "a later message of the key came while its retry was held")
                again = delivery
            } else {
                start = harness.now
                try await consumer.settle(delivery, .retry(after: delay, error: nil))
            }
        }
        guard let start else { throw ConformanceFailure("the head of the key did not come") }
        if again == nil {
            again = try await stage.takeOne(from: consumer, within: delay + harness.tolerance)
            try expect(harness.now - start >= delay - .milliseconds(1), "the retry came early")
        }
        guard let again else { return }
        try expectEqual(again.message.text, "0", "the turn of the key")
        try expectEqual(again.attempt, 2, "the attempt")
        try await stage.expectQuiet(consumer)
        try await consumer.acknowledge(again)
        let last = try await stage.takeOne(from: consumer)
        try expectEqual(last.message.text, "1", "the turn of the key")
        try await consumer.acknowledge(last)
        try await stage.expectNothing(consumer)
    }

    private static let keyDead = ConformanceCase(
        "order.keyDead",
        .ordering,
        "a key goes on after its head has become a dead letter",
        requires: [.keyedOrder, .deadLetters]
    ) { harness in
        let stage = try await Stage(harness) { $0.ordering = .keyed }
        let consumer = try await stage.consumer()
        try await stage.publish((0..<3).map { Message(text: "\($0)", key: "k") })
        let head = try await stage.takeOne(from: consumer)
        try await stage.expectQuiet(consumer)
        try await consumer.settle(head, .reject(reason: .rejected, error: nil))
        for turn in 1...2 {
            let delivery = try await stage.takeOne(from: consumer)
            try expectEqual(delivery.message.text, "\(turn)", "the turn of the key")
            try await consumer.acknowledge(delivery)
        }
        try await stage.expectNothing(consumer)
        try await stage.expectFigures(ready: 0, inFlight: 0, dead: 1)
    }

    private static let bound = ConformanceCase(
        "par.bound",
        .ordering,
        "a consumer holds what it asked for and no more; the rest goes to others"
    ) { harness in
        let stage = try await Stage(harness)
        let slow = try await stage.consumer("slow")
        let fast = try await stage.consumer("fast")
        try await stage.publish(50)
        let held = try await stage.take(3, from: slow)
        try await stage.expectFigures(ready: 47, inFlight: 3)
        var rest: [Delivery] = []
        while rest.count < 47 {
            let batch = try await fast.receive(max: 5, wait: .zero)
            try expect(batch.count <= 5, "\(batch.count) deliveries came, 5 were asked for")
            if batch.isEmpty { rest.append(try await stage.takeOne(from: fast)) }
            rest += batch
        }
        try expectEqual(Set((rest + held).map(\.message.id)).count, 50, "the number of different messages")
        try await stage.settle(rest, by: fast)
        try await stage.settle(held, by: slow)
        try await stage.expectNothing(fast)
    }
}
