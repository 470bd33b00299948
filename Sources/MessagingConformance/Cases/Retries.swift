import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

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
        // What the figures are asked for is due long afterwards: it failed on a first attempt, and on a further one.
        let later = stage.unit * 1000
        try await stage.publish(2, prefix: "later")
        let waiting = try await stage.take(2, from: consumer)
        try await consumer.settle(waiting[0], .retry(after: later, error: "not now"))
        try await stage.expectFigures(ready: 0, inFlight: 1, delayed: 1)
        try await consumer.settle(waiting[1], .retry(after: .zero, error: "not now"))
        let second = try await stage.takeOne(from: consumer)
        try await consumer.settle(second, .retry(after: later, error: "not now either"))
        try await stage.expectFigures(ready: 0, inFlight: 0, delayed: 2)
        try await stage.publish(1)
        var delivery = try await stage.takeOne(from: consumer)
        for (index, factor) in [1, 2, 4].enumerated() {
            let delay = stage.unit * factor / 2
            let before = harness.now
            try await consumer.settle(delivery, .retry(after: delay, error: "failure \(index)"))
            let retried = try await stage.takeOne(from: consumer, by: harness.now + delay)
            delivery = retried.value
            let took = retried.came - before
            try expect(took >= delay - .milliseconds(1), "a retry after \(delay) came after \(took)")
            try expectEqual(delivery.attempt, index + 2, "the attempt")
            try expectEqual(delivery.history.map(\.error), (0...index).map { "failure \($0)" }, "the history")
        }
        try await consumer.acknowledge(delivery)
        try await stage.expectNothing(consumer)
    }

    private static let precision = ConformanceCase(
        "delay.precision",
        .retries,
        "a message with a time never comes early, and none waits behind a later one",
        requires: [.delay]
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        // A backend that looks for what is due when a consumer comes has looked by now, and must hear of what follows.
        try await stage.expectQuiet(consumer, for: stage.unit)
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
        // Calls that carry a message, and steps, take as long as the machine lets them: meanwhile nothing waits for the
        // backend.
        var calls: [Range<Duration>] = []
        var slowest = Duration.zero
        let end = harness.now + stage.unit * 10 + harness.tolerance
        while late.count < delays.count {
            let asked = harness.now
            guard let delivery = try await consumer.receive(max: 1, wait: .zero).first else {
                slowest = max(slowest, harness.now - asked)
                try expect(asked < end + calls.total(from: .zero), "\(late.count) of \(delays.count) came in time")
                let longer = try await stage.pass()
                let now = harness.now
                if longer > .zero { calls.append((now - longer)..<now) }
                continue
            }
            let now = harness.now
            guard let time = due.removeValue(forKey: delivery.message.id) else {
                throw ConformanceFailure("'\(Stage.text(delivery))' came twice")
            }
            try expect(now >= time.before - .milliseconds(1), "\(Stage.text(delivery)): \(time.before - now) early")
            calls.append(asked..<max(asked, now))
            late.append(now - time.after - calls.total(from: time.after))
            try expectEqual(delivery.attempt, 1, "the attempt")
            try await consumer.acknowledge(delivery)
            calls.append(now..<max(now, harness.now))
        }
        let worst = late.sorted()[late.count * 95 / 100]
        // Of a call that brought nothing nobody knows how long the backend let it wait.
        if worst > harness.tolerance, slowest > harness.tolerance / 2 {
            throw TooSlow(limit: harness.tolerance / 2, took: slowest)
        }
        try expect(worst <= harness.tolerance, "the 95th percentile is \(worst) late")
        try await stage.expectNothing(consumer)
    }

    private static let scheduleCancel = ConformanceCase(
        "schedule.cancel",
        .retries,
        "scheduled messages are listed by time, and a cancelled one never comes",
        requires: [.delay, .scheduleList]
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        let messages = [5, 3, 4, 2, 6].map { Message(text: "\($0)", due: .after(stage.unit * ($0 + 1))) }
        let three = messages[1].id
        // Before the first one is due.
        try await stage.timely(since: harness.now, stage.unit * 3) {
            try await stage.publish(messages)
            try await stage.expectFigures(ready: 0, delayed: 5, scheduled: 5)
            var listed: [ScheduledMessage] = []
            var cursor: String?
            repeat {
                let page = try await stage.queue.scheduled(of: stage.name, after: cursor, limit: 2)
                listed += page.elements
                cursor = page.next
            } while cursor != nil
            try expectEqual(listed.map(\.message.text), ["2", "3", "4", "5", "6"], "the schedule")
            try expectEqual(listed.map(\.due), listed.map(\.due).sorted(), "the times")
            let cancelled = try await stage.queue.cancelScheduled([three, "unknown", three], of: stage.name)
            try expectEqual(cancelled, [three], "what was cancelled")
            try await stage.expectFigures(ready: 0, delayed: 4, scheduled: 4)
        }
        // What was cancelled is as if it had never been published: its id is free.
        try await stage.publish([Message(text: "again", id: three)])
        let taken = try await stage.take(5, from: consumer)
        try expectEqual(Set(taken.map { $0.message.text ?? "" }), ["2", "4", "5", "6", "again"], "what came")
        let late = try await stage.queue.cancelScheduled([messages[0].id], of: stage.name)
        try expectEqual(late, [], "what was cancelled after it came")
        try await stage.settle(taken, by: consumer)
        try await stage.expectNothing(consumer)
    }

    private static let scheduleDelivery = ConformanceCase(
        "schedule.deliver",
        .retries,
        "a scheduled message comes to every group as it was published, with its time as a date",
        requires: [.delay]
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        let other = try await stage.otherGroup()
        let message = Message(
            text: "later",
            key: "k",
            headers: ["a": "b"],
            contentType: "text/plain",
            due: .after(stage.unit)
        )
        let before = harness.now
        try await stage.publish([message])
        let after = harness.now
        var date: Message.Due?
        for consumer in [consumer, other].compactMap(\.self) {
            let delivery = try await stage.takeOne(from: consumer)
            guard case .at? = delivery.message.due else {
                throw ConformanceFailure("due is \(String(describing: delivery.message.due)), expected a date")
            }
            var expected = message
            expected.due = delivery.message.due
            date = delivery.message.due
            try expectEqual(delivery.message, expected, "the message")
            try await consumer.acknowledge(delivery)
            try await stage.expectQuiet(consumer)
        }
        // That date tells the time of the broker: two units later is three after the message was published.
        guard case .at(let first)? = date else { return }
        let dated = Message(text: "dated", due: .at(first.addingTimeInterval((stage.unit * 2).inSeconds)))
        try await stage.publish([dated])
        let last = try await stage.takeOne(from: consumer, by: after + stage.unit * 3)
        let delivery = last.value
        try expectEqual(delivery.message.id, dated.id, "what came at its date")
        // Two clocks, of which one is set by others, agree to a few milliseconds.
        let early = before + stage.unit * 3 - last.came
        try expect(early <= .milliseconds(5), "it came \(early) before its date")
        let hasLetters = try await stage.queue.capabilities()[.deadLetters].isAvailable
        if hasLetters {
            try await consumer.settle(delivery, .reject(reason: .rejected, error: "too late"))
            try expectEqual(try await stage.deadLetter().message, delivery.message, "its dead letter")
        } else {
            try await consumer.acknowledge(delivery)
        }
        try await stage.expectNothing(consumer)
    }
}

extension [Range<Duration>] {
    /// How much of some time ranges lies after a moment.
    fileprivate func total(from moment: Duration) -> Duration {
        reduce(.zero) { sum, range in sum + Swift.max(.zero, range.upperBound - Swift.max(range.lowerBound, moment)) }
    }
}
