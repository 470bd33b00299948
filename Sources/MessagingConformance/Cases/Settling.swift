import Messaging

extension Conformance {
    static let settlement: [ConformanceCase] = [
        acknowledge, retryNow, discard, once, outOfOrder, release, cancelRace, atMostOnce,
    ]

    private static let acknowledge = ConformanceCase(
        "settle.ack",
        .settlement,
        "what is acknowledged never comes again, not to another client either"
    ) { harness in
        let lease = harness.timeUnit * 3 / 2
        let stage = try await Stage(harness) { $0.groups[0].lease = lease }
        let consumer = try await stage.consumer()
        try await stage.publish(5)
        try await stage.timely(since: harness.now, lease) {
            try await stage.settle(try await stage.take(5, from: consumer), by: consumer)
        }
        try await stage.expectNothing(consumer, for: lease * 5 / 4)
        await consumer.close()
        let other = try await harness.makeQueue()
        let second = try await other.consume(stage.name, group: "workers", consumer: "consumer-2")
        try await stage.expectNothing(second)
        try await stage.expectFigures(ready: 0, inFlight: 0, delayed: 0, dead: 0)
    }

    private static let retryNow = ConformanceCase(
        "settle.retry",
        .settlement,
        "what is retried comes on attempt 2 with its error, everything else once"
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        try await stage.publish(20)
        let taken = try await stage.take(20, from: consumer)
        let again = [taken[3], taken[11]]
        try await stage.settle(again, by: consumer, .retry(after: .zero, error: "not now"))
        try await stage.settle(taken.filter { !again.map(\.receipt).contains($0.receipt) }, by: consumer)
        let retried = try await stage.take(2, from: consumer)
        try expectEqual(
            Set(retried.map(\.message.id)),
            Set(again.map(\.message.id)),
            "what was retried"
        )
        for delivery in retried {
            try expectEqual(delivery.attempt, 2, "the attempt")
            try expectEqual(delivery.history.map(\.attempt), [1], "the attempts of the history")
            try expectEqual(delivery.history.map(\.error), ["not now"], "the errors of the history")
            try expectEqual(delivery.history.map(\.consumer), [consumer.name], "the consumers of the history")
        }
        try await stage.settle(retried, by: consumer)
        try await stage.expectNothing(consumer)
    }

    private static let discard = ConformanceCase(
        "settle.discard",
        .settlement,
        "what is discarded is gone and no dead letter"
    ) { harness in
        let lease = harness.timeUnit * 3 / 2
        let stage = try await Stage(harness) { $0.groups[0].lease = lease }
        let consumer = try await stage.consumer()
        try await stage.publish(3)
        try await stage.timely(since: harness.now, lease) {
            try await stage.settle(try await stage.take(3, from: consumer), by: consumer, .discard)
        }
        try await stage.expectNothing(consumer, for: lease * 5 / 4)
        try await stage.expectFigures(ready: 0, inFlight: 0, delayed: 0, dead: 0)
    }

    private static let once = ConformanceCase(
        "settle.once",
        .settlement,
        "of many concurrent settlements of one delivery exactly one wins"
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        try await stage.publish(1)
        let delivery = try await stage.takeOne(from: consumer)
        let outcomes = try await withThrowingTaskGroup(of: (Int, SettleOutcome).self) { group in
            for index in 0..<100 {
                let settlement: Settlement = index % 2 == 0 ? .acknowledge : .retry(after: .zero, error: nil)
                group.addTask {
                    (index, try await consumer.settle([SettleRequest(delivery.receipt, settlement)])[0])
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        var settled = 0
        for (_, outcome) in outcomes {
            switch outcome {
            case .settled: settled += 1
            case .alreadySettled: break
            default: throw ConformanceFailure("\(outcome), expected alreadySettled")
            }
        }
        try expectEqual(settled, 1, "the number of settlements that won")
        try await expectError(.alreadySettled, "settling once more") { try await consumer.acknowledge(delivery) }
        // Both in one request: the first wins.
        try await stage.publish([Message(text: "next")])
        // Where a retry has won, the first message comes again, before or after this one.
        let hasRetried = outcomes.contains { index, outcome in
            if case .settled = outcome { index % 2 == 1 } else { false }
        }
        let taken = try await stage.take(hasRetried ? 2 : 1, from: consumer)
        guard let next = taken.first(where: { Stage.text($0) == "next" }) else {
            throw ConformanceFailure("the second message did not come")
        }
        try await stage.settle(taken.filter { Stage.text($0) != "next" }, by: consumer)
        let both = try await consumer.settle([
            SettleRequest(next.receipt, .acknowledge), SettleRequest(next.receipt, .release),
        ])
        guard case .settled = both[0], case .alreadySettled = both[1] else {
            throw ConformanceFailure("\(both), expected settled and alreadySettled")
        }
        try await stage.expectNothing(consumer)
    }

    private static let outOfOrder = ConformanceCase(
        "settle.outOfOrder",
        .settlement,
        "each delivery is settled on its own, in any order"
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        try await stage.publish(3)
        let taken = try await stage.take(3, from: consumer)
        try await consumer.acknowledge(taken[2])
        try await stage.settle([taken[1], taken[0]], by: consumer, .release)
        let again = try await stage.take(2, from: consumer)
        try expectEqual(
            Set(again.map(\.message.id)),
            Set(taken.prefix(2).map(\.message.id)),
            "what came back"
        )
        try await stage.settle(again, by: consumer)
        try await stage.expectNothing(consumer)
    }

    private static let release = ConformanceCase(
        "settle.release",
        .settlement,
        "what is released comes again at once, and the attempt does not count"
    ) { harness in
        let stage = try await Stage(harness) { $0.groups[0].maxAttempts = 2 }
        let consumer = try await stage.consumer()
        try await stage.publish(1)
        for _ in 0..<4 {
            let delivery = try await stage.takeOne(from: consumer, within: harness.tolerance)
            try expectEqual(delivery.attempt, 1, "the attempt")
            try expect(delivery.history.isEmpty, "a release left a history")
            try await consumer.settle(delivery, .release)
        }
        try await consumer.acknowledge(try await stage.takeOne(from: consumer))
        try await stage.expectNothing(consumer)
    }

    private static let cancelRace = ConformanceCase(
        "settle.cancelRace",
        .settlement,
        "a receive that is cancelled while messages arrive loses none and leaves none leased"
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        for round in 0..<100 {
            let message = Message(text: "\(round)")
            let waiting = Task { try await consumer.receive(max: 10, wait: stage.unit * 1000) }
            // Lets the call reach the broker, more or less.
            for _ in 0..<(round % 8) { await Task.yield() }
            try await harness.advance(by: stage.step / 10 * (round % 4))
            if round % 3 == 0 { waiting.cancel() }
            async let published: Void = stage.publish([message])
            for _ in 0..<(round % 7) { await Task.yield() }
            waiting.cancel()
            var taken: [Delivery] = []
            do {
                taken = try await waiting.value
                try expect(!taken.isEmpty, "a receive that was cancelled returned nothing and does not say so")
            } catch let error as QueueError {
                try expectEqual(error.code, .cancelled, "the error of a cancelled receive")
            }
            try await published
            // Nothing may be left for the next round, or it would not wait.
            if taken.isEmpty { taken = try await stage.take(1, from: consumer) }
            try expectEqual(taken.map(\.message.id), [message.id], "what came in round \(round)")
            try expectEqual(taken.map(\.attempt), [1], "the attempt in round \(round)")
            try await stage.settle(taken, by: consumer)
        }
        try await stage.expectNothing(consumer)
    }

    private static let atMostOnce = ConformanceCase(
        "settle.atMostOnce",
        .settlement,
        "in at-most-once mode nothing ever comes twice",
        requires: [.atMostOnce]
    ) { harness in
        let stage = try await Stage(harness) { $0.groups[0].lease = harness.timeUnit }
        let consumer = try await stage.consumer(mode: .atMostOnce)
        try await stage.publish(5)
        let taken = try await stage.take(5, from: consumer)
        try expectEqual(Set(taken.map(\.message.id)).count, 5, "the number of different messages")
        try await stage.expectFigures(ready: 0, inFlight: 0, delayed: 0, dead: 0)
        await consumer.close()
        let second = try await stage.consumer("consumer-2")
        try await stage.expectNothing(second, for: stage.unit * 5 / 4)
    }
}
