import Messaging

extension Conformance {
    static let retries: [ConformanceCase] = [schedule, precision, scheduleCancel, scheduleDelivery]

    private static let schedule = ConformanceCase(
        "retry.schedule",
        .retries,
        "a retry never comes early, and attempts and history grow",
        requires: [.delay]
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        try await stage.publish(1)
        var delivery = try await stage.takeOne(from: consumer)
        for (index, factor) in [1, 2, 4].enumerated() {
            let delay = stage.unit * factor / 2
            let before = harness.now
            try await consumer.settle(delivery, .retry(after: delay, error: "failure \(index)"))
            let after = harness.now
            try await stage.expectFigures(ready: 0, inFlight: 0, delayed: 1)
            delivery = try await stage.takeOne(from: consumer, within: delay + harness.tolerance)
            let now = harness.now
            try expect(now - before >= delay - .milliseconds(1), "a retry after \(delay) came after \(now - before)")
            try expect(now - after <= delay + harness.tolerance, "a retry after \(delay) took \(now - after)")
            try expectEqual(delivery.attempt, index + 2, "the attempt")
            try expectEqual(delivery.history.map(\.error), (0...index).map { "failure \($0)" }, "the history")
        }
        try await consumer.acknowledge(delivery)
        try await stage.expectNothing(consumer, for: stage.unit)
    }

    private static let precision = ConformanceCase(
        "delay.precision",
        .retries,
        "a message with a time never comes early, and none waits behind a later one",
        requires: [.delay]
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        var generator = SeededGenerator(seed: 7)
        let delays = (0..<60).map { stage.unit * $0 / 20 }.shuffled(using: &generator)
        var due: [MessageID: (before: Duration, after: Duration)] = [:]
        for delay in delays {
            let message = Message(text: "\(delay)", due: .after(delay))
            let before = harness.now
            try await stage.publish([message])
            due[message.id] = (before + delay, harness.now + delay)
        }
        var late: [Duration] = []
        for _ in delays {
            let delivery = try await stage.takeOne(from: consumer)
            let now = harness.now
            guard let time = due.removeValue(forKey: delivery.message.id) else {
                throw ConformanceFailure("'\(Stage.text(delivery))' came twice")
            }
            try expect(now >= time.before - .milliseconds(1), "\(Stage.text(delivery)): \(time.before - now) early")
            late.append(now - time.after)
            try expectEqual(delivery.attempt, 1, "the attempt")
            try await consumer.acknowledge(delivery)
        }
        let worst = late.sorted()[late.count * 95 / 100]
        try expect(worst <= harness.tolerance, "the 95th percentile is \(worst) late")
        try await stage.expectNothing(consumer, for: stage.unit)
    }

    private static let scheduleCancel = ConformanceCase(
        "schedule.cancel",
        .retries,
        "scheduled messages are listed by time, and a cancelled one never comes",
        requires: [.delay, .scheduleList]
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        let messages = [5, 3, 4, 2, 6].map { Message(text: "\($0)", due: .after(stage.unit * $0)) }
        try await stage.publish(messages)
        try await stage.expectFigures(ready: 0, delayed: 5)
        var listed: [ScheduledMessage] = []
        var cursor: String?
        repeat {
            let page = try await stage.queue.scheduled(of: stage.name, after: cursor, limit: 2)
            listed += page.elements
            cursor = page.next
        } while cursor != nil
        try expectEqual(listed.map(\.message.text), ["2", "3", "4", "5", "6"], "the schedule")
        try expectEqual(listed.map(\.due), listed.map(\.due).sorted(), "the times")
        let three = messages[1].id
        let cancelled = try await stage.queue.cancelScheduled([three, "unknown", three], of: stage.name)
        try expectEqual(cancelled, [three], "what was cancelled")
        try await stage.expectFigures(ready: 0, delayed: 4)
        let taken = try await stage.take(4, from: consumer)
        try expectEqual(Set(taken.map { $0.message.text ?? "" }), ["2", "4", "5", "6"], "what came")
        let late = try await stage.queue.cancelScheduled([messages[0].id], of: stage.name)
        try expectEqual(late, [], "what was cancelled after it came")
        try await stage.settle(taken, by: consumer)
        try await stage.expectNothing(consumer, for: stage.unit)
    }

    private static let scheduleDelivery = ConformanceCase(
        "schedule.deliver",
        .retries,
        "a scheduled message comes to every group as it was published, with its time as a date",
        requires: [.delay, .fanOut]
    ) { harness in
        let stage = try await Stage(harness) {
            $0.groups.append(GroupDefinition("others", lease: Stage.longLease(harness)))
        }
        let consumers = [try await stage.consumer(), try await stage.consumer(group: "others")]
        let message = Message(
            text: "later",
            key: "k",
            headers: ["a": "b"],
            contentType: "text/plain",
            due: .after(stage.unit)
        )
        try await stage.publish([message])
        for consumer in consumers {
            let delivery = try await stage.takeOne(from: consumer)
            guard case .at? = delivery.message.due else {
                throw ConformanceFailure("due is \(String(describing: delivery.message.due)), expected a date")
            }
            var expected = message
            expected.due = delivery.message.due
            try expectEqual(delivery.message, expected, "the message")
            try await consumer.acknowledge(delivery)
            try await stage.expectQuiet(consumer, for: stage.unit)
        }
    }
}
