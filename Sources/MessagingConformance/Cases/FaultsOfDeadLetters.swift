import Messaging

extension Conformance {
    static let faultsOfDeadLetters: [ConformanceCase] = [moveKilled, moveCut, unavailableLetters, redriveKilled]

    private static let moveKilled = ConformanceCase(
        "dlq.atomic",
        .deadLetters,
        "a process killed while it rejects leaves each message once: still there, or a dead letter",
        tier: .fault,
        requires: [.deadLetters]
    ) { harness in
        let stage = try await FaultStage(harness)
        let kills = stage.repetitions(200)
        let count = kills * 30
        for first in stride(from: 0, to: count, by: 100) {
            try await stage.stage.publish(stage.messages(first..<min(first + 100, count)))
        }
        var generator = SeededGenerator(seed: 0xDEAD)
        for number in 0..<kills {
            // A broker in this process may have rejected everything before the first child is killed.
            let figures = try await stage.stage.queue.statistics(of: stage.name)["workers"]
            var left = count - (figures?.dead.value ?? 0)
            // What is lost is not waited for; it is missed in the end.
            if let lag = figures?.lag, lag.grade == .exact, let there = lag.value { left = min(left, there) }
            if left == 0 { break }
            let job = FaultChildJob(.reject, queue: stage.name, name: "victim-\(number)", count: 30)
            let child = try await stage.child(job)
            let wanted = min(left, Int.random(in: 1...25, using: &generator))
            let limit = stage.lease + stage.recovery
            try await stage.waitWhileTimePasses(for: child, "\(wanted) rejections", limit: limit) {
                $0.ids(.settled).count >= wanted
            }
            // Some way into the next one.
            try await Task.sleep(for: .microseconds(Int.random(in: 0...2000, using: &generator)))
            await child.kill()
        }
        try await expectEachOnce(stage, count)
    }

    private static let moveCut = ConformanceCase(
        "dlq.cutSweep",
        .deadLetters,
        "wherever a rejection is cut, its message is there once: still in the queue, or a dead letter",
        tier: .fault,
        requires: [.deadLetters]
    ) { harness in
        let stage = try await FaultStage(harness)
        let proxy = try await stage.faults.proxy()
        let remote = try await stage.remote()
        let far = try await remote.consume(stage.name, group: "workers", consumer: "far")
        let count = 32
        let rejection = Settlement.reject(reason: .rejected, error: "cut")
        // Each comes alone and through the client that rejects it, so that everything it needs for that is connected.
        func takeOne(_ number: Int) async throws -> Delivery {
            try await stage.warm(remote, stage.message(number))
            return try await stage.stage.takeOne(from: far, within: stage.lease + stage.recovery)
        }
        let first = try await takeOne(0)
        let before = try await proxy.traffic()
        try await far.settle(first, rejection)
        let after = try await proxy.traffic()
        let request = max(2, after.requestBytes - before.requestBytes)
        let reply = max(1, after.replyBytes - before.replyBytes)
        var generator = SeededGenerator(seed: 0xDEAD)
        for number in 0..<(count - 1) {
            let delivery = try await takeOne(1 + number)
            let fault: ProxyFault =
                number.isMultiple(of: 3)
                ? .cut(.replies, after: Int.random(in: 0..<reply, using: &generator))
                : .cut(.requests, after: Int.random(in: 0...request, using: &generator))
            try await proxy.apply(fault)
            do throws(QueueError) {
                try await far.settle(delivery, rejection)
            } catch {
                // Leases go on while the connections come back.
                let known: Set<QueueError.Code> = [.indeterminate, .unavailable, .leaseLost]
                try expect(known.contains(error.code), "with \(fault) a rejection said \(error)")
            }
            try await proxy.apply(.none)
        }
        await far.close()
        try await expectEachOnce(stage, count)
    }

    /// Every message is in the queue or a dead letter; in both at once only where moves are not atomic.
    private static func expectEachOnce(_ stage: FaultStage, _ count: Int) async throws {
        let consumer = try await stage.stage.consumer("judge")
        let queued = try await stage.drain(consumer)
        let dead = try await stage.stage.deadLetters(page: 100).map(\.message.id)
        let wanted = Set(stage.messages(0..<count).map(\.id))
        let lost = wanted.subtracting(queued).subtracting(dead)
        try expect(lost.isEmpty, "\(lost.count) messages are neither in the queue nor dead letters")
        try expect(wanted.isSuperset(of: queued + dead), "there is what was never published")
        let capabilities = try await stage.stage.queue.capabilities()
        if capabilities[.atomicMove].isAvailable {
            try expectEqual(queued.count + dead.count, count, "the number of messages and dead letters")
        }
        try expect(!dead.isEmpty, "nothing was rejected")
    }

    private static let unavailableLetters = ConformanceCase(
        "dlq.unavailable",
        .deadLetters,
        "a rejection that cannot be written down is refused, and the message comes again",
        tier: .fault,
        requires: [.deadLetters]
    ) { harness in
        // Making a broker refuse may take a program that starts for seconds.
        let lease = harness.timeUnit * 12
        let stage = try await FaultStage(harness) { $0.groups[0].lease = lease }
        let consumer = try await stage.stage.consumer("first")
        try await stage.stage.publish(stage.messages(0..<2))
        let found = try await stage.stage.found(2, from: consumer)
        let held = found.value
        let letter = try await stage.stage.timely(since: found.asked, lease) { () async throws -> DeadLetter in
            try await consumer.settle(held[1], .reject(reason: .rejected, error: "kept"))
            let letter = try await stage.stage.deadLetter()
            try await stage.faults.broker(.refuseWrites)
            do throws(QueueError) {
                try await consumer.settle(held[0], .reject(reason: .rejected, error: "no room"))
                throw QueueError(.brokerError, "settling said that it was done")
            } catch {
                try expectEqual(error.code, .unavailable, "the error of a rejection without room (\(error.message))")
            }
            return letter
        }
        // What cannot be sent again stays where it is.
        let sent = try? await stage.stage.queue.redrive([letter.id], of: stage.name)
        try await stage.faults.broker(.acceptWrites)
        let expected = (sent ?? []).isEmpty ? 1 : 0
        try expectEqual(try await stage.stage.deadLetters().count, expected, "the number of dead letters")
        let other = try await stage.stage.consumer("other")
        var attempts: [MessageID: Int] = [:]
        let again = try await stage.stage.found(2 - expected, from: other, within: lease + stage.recovery)
        for delivery in again.value {
            attempts[delivery.message.id] = delivery.attempt
            try await stage.stage.timely(since: again.asked, lease) { try await other.acknowledge(delivery) }
        }
        try expectEqual(attempts[stage.message(0).id], 2, "the attempt of what could not be rejected")
        try await stage.stage.expectNothing(other, for: lease)
    }

    private static let redriveKilled = ConformanceCase(
        "dlq.redriveKill",
        .deadLetters,
        "a process killed while it redrives leaves every dead letter there or sent",
        tier: .fault,
        requires: [.deadLetters]
    ) { harness in
        let stage = try await FaultStage(harness)
        let (count, batch) = (200, 5)
        let consumer = try await stage.stage.consumer("first")
        try await stage.stage.publish(stage.messages(0..<count))
        let held = try await stage.stage.found(count, from: consumer)
        try await stage.stage.timely(since: held.asked, stage.lease) {
            try await stage.stage.settle(held.value, by: consumer, .reject(reason: .rejected, error: "later"))
        }
        var generator = SeededGenerator(seed: 0xD1E)
        for number in 0..<6 {
            let letters = try await stage.stage.deadLetters(page: 100).map(\.id)
            let job = FaultChildJob(.redrive, queue: stage.name, name: "redriver-\(number)", count: batch)
            let child = try await stage.child(job, letters: letters)
            let wanted = Int.random(in: 1...20, using: &generator)
            try await stage.wait(for: child, "\(wanted) were sent") { $0.ids(.redriven).count >= wanted || $0.hasEnded }
            try await Task.sleep(for: .microseconds(Int.random(in: 0...2000, using: &generator)))
            await child.kill()
        }
        let left = try await stage.stage.deadLetters(page: 100).map(\.message.id)
        let came = try await stage.drain(consumer)
        try expectEqual(Set(left + came).count, count, "the number of different messages, sent or still there")
        let capabilities = try await stage.stage.queue.capabilities()
        let allowed = capabilities[.atomicMove].isAvailable ? 0 : 6 * batch
        try expect(
            left.count + came.count - count <= allowed,
            "\(left.count + came.count - count) of \(count) are there twice"
        )
        try expect(!came.isEmpty, "nothing was sent")
    }
}
