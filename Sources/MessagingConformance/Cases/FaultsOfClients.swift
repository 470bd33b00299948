import Messaging

extension Conformance {
    static let faultsOfClients: [ConformanceCase] = [
        fenceMoves, ackUnknown, kill9, halfOpen, reaper, crashLoop, delayDurable, brokerLeaks,
    ]

    private static let fenceMoves = ConformanceCase(
        "lease.fenceMoves",
        .leases,
        "who has lost a lease cannot retry, reject, release or renew what another consumer holds",
        requires: [.fencedSettle]
    ) { harness in
        let lease = harness.timeUnit * 2
        let stage = try await Stage(harness) { $0.groups = [GroupDefinition("workers", lease: lease)] }
        let late = try await stage.consumer("late")
        try await stage.publish(5)
        let lost = try await stage.take(5, from: late)
        try await harness.advance(by: lease)
        let holder = try await stage.consumer("holder")
        let held = try await stage.take(5, from: holder, by: harness.now + lease)
        try expectEqual(Set(held.value.map(\.message.id)), Set(lost.map(\.message.id)), "what was taken over")
        let capabilities = try await stage.queue.capabilities()
        var settlements: [Settlement] = [.retry(after: .zero, error: "late"), .release, .discard]
        if capabilities[.deadLetters].isAvailable { settlements.append(.reject(reason: .rejected, error: "late")) }
        try await stage.timely(since: held.asked, lease) {
            for (delivery, settlement) in zip(lost, settlements) {
                try await expectError(.leaseLost, "a late \(settlement)") {
                    try await late.settle(delivery, settlement)
                }
            }
            if capabilities[.renewal].isAvailable {
                try expectEqual(try await late.renew([lost[4].receipt]), [false], "renewing what another one holds")
            }
            try await stage.settle(held.value, by: holder)
        }
        try await stage.expectNothing(holder, for: lease)
        try await stage.expectFigures(ready: 0, inFlight: 0, delayed: 0, dead: 0)
    }

    private static let ackUnknown = ConformanceCase(
        "settle.ackUnknown",
        .settlement,
        "an acknowledgement whose answer was lost is indeterminate; then the message is gone, or comes again counted",
        tier: .fault,
        requires: [.confirmedSettle]
    ) { harness in
        let stage = try await FaultStage(harness)
        let proxy = try await stage.faults.proxy()
        let remote = try await stage.remote()
        let far = try await remote.consume(stage.name, group: "workers", consumer: "far")
        var isSeen = false
        // Something else of the client may be cut instead, which proves nothing.
        for number in 0..<10 where !isSeen {
            for fault in [ProxyFault.cut(.replies, after: 0), .cut(.requests, after: 1)] {
                try await stage.stage.publish([stage.message(2 * number + (fault == .cut(.requests, after: 1) ? 1 : 0))]
                )
                let found = try await stage.stage.found(1, from: far, within: stage.recovery)
                let held = found.value[0]
                try await proxy.apply(fault)
                do throws(QueueError) {
                    try await far.acknowledge(held)
                } catch {
                    // A request that never left whole may also be told as not carried out.
                    let isTrue =
                        error.code == .indeterminate
                        || (error.code == .unavailable && fault != .cut(.replies, after: 0))
                    try await stage.stage.timely(since: found.asked, stage.lease) {
                        try expect(isTrue, "with \(fault) settling said \(error)")
                    }
                    if error.code == .indeterminate { isSeen = true }
                }
                try await proxy.apply(.none)
            }
        }
        try expect(isSeen, "no acknowledgement was indeterminate")
        let near = try await stage.stage.consumer("near")
        let end = harness.now + stage.lease * 2 + stage.recovery
        while harness.now < end {
            // `far` is a member still, and waits with the others.
            let asked = harness.now
            for delivery in try await near.receive(max: 10, wait: .zero) {
                try expectEqual(delivery.attempt, 2, "the attempt of what came again")
                try await stage.stage.timely(since: asked, stage.lease) { try await near.acknowledge(delivery) }
            }
            let left = try await stage.stage.queue.statistics(of: stage.name)["workers"]?.lag.value
            if left == 0 { break }
            try await harness.advance(by: stage.stage.step)
        }
        await far.close()
        try await stage.stage.expectNothing(near, for: stage.lease)
        try await stage.stage.expectFigures(ready: 0, inFlight: 0, dead: 0)
    }

    private static let kill9 = ConformanceCase(
        "crash.kill9",
        .leases,
        "what a killed process held comes to others with the attempt counted, and nothing that it has acknowledged",
        tier: .fault
    ) { harness in
        let stage = try await FaultStage(harness)
        let survivor = try await stage.stage.consumer("survivor")
        try await stage.stage.publish(stage.messages(0..<15))
        let job = FaultChildJob(.hold, queue: stage.name, name: "victim", count: 15, acknowledged: 5)
        let started = harness.now
        let child = try await stage.child(job)
        try await stage.stage.timely(since: started, stage.lease) {
            try await stage.wait(for: child, "it held everything") { !$0.ids(.holding).isEmpty }
        }
        let settled = Set(child.ids(.settled))
        try expectEqual(settled.count, 5, "how many were acknowledged")
        if try await !stage.stage.queue.capabilities()[.confirmedSettle].isAvailable {
            // Nobody answers: what was sent a moment before the connection dies may be lost with it.
            try await harness.advance(by: stage.stage.unit)
        }
        await child.kill()
        let took = harness.now - started
        let taken = try await stage.stage.found(10, from: survivor, within: stage.lease + stage.recovery)
        try await stage.stage.timely(since: taken.asked, stage.lease) {
            try expectEqual(
                Set(taken.value.map(\.message.id.rawValue)),
                Set(child.ids(.delivered)).subtracting(settled),
                "what came again"
            )
            try await stage.stage.settle(taken.value, by: survivor)
        }
        try expectSecondAttempts(taken.value, heldFor: took, of: stage.lease)
        try await stage.stage.expectNothing(survivor, for: stage.lease)
    }

    private static let halfOpen = ConformanceCase(
        "crash.halfOpen",
        .leases,
        "what a consumer behind a dead connection held comes to others, and it can end none of it afterwards",
        tier: .fault,
        requires: [.fanOut, .fencedSettle]
    ) { harness in
        // With a second group that has read nothing, what is settled late is still on the broker and could be moved.
        let stage = try await FaultStage(harness) { definition in
            definition.groups.append(GroupDefinition("idle", lease: FaultStage.lease(harness)))
        }
        let proxy = try await stage.faults.proxy()
        let remote = try await stage.remote()
        let far = try await remote.consume(stage.name, group: "workers", consumer: "far")
        try await stage.stage.publish(stage.messages(0..<5))
        let held = try await stage.stage.take(5, from: far)
        let near = try await stage.stage.consumer("near")
        try await proxy.apply(.silence([.requests, .replies]))
        let limit = stage.lease + stage.faults.patience + stage.recovery
        let taken = try await stage.stage.found(5, from: near, within: limit)
        let late: [Settlement] = [
            .acknowledge, .retry(after: .zero, error: "late"), .retry(after: stage.stage.unit, error: "late"),
            .reject(reason: .rejected, error: "late"), .release,
        ]
        try await stage.stage.timely(since: taken.asked, stage.lease) {
            try expectEqual(Set(taken.value.map(\.message.id)), Set(held.map(\.message.id)), "what came again")
            try expectEqual(Set(taken.value.map(\.attempt)), [2], "the attempts")
            try await proxy.apply(.none)
            for (delivery, settlement) in zip(held, late) {
                let code = try await stage.refusal(of: delivery, settlement, by: far)
                try expectEqual(code, .leaseLost, "the error of a late \(settlement)")
            }
            try await stage.stage.settle(taken.value, by: near)
        }
        await far.close()
        try await stage.stage.expectNothing(near, for: stage.lease)
        try await stage.stage.expectFigures(ready: 0, inFlight: 0, delayed: 0, dead: 0)
        // The other group has neither lost nor won anything by it: the five and the sentinel are there to be read.
        let idle = try await stage.stage.consumer("idle", group: "idle")
        let found = try await stage.stage.found(6, from: idle)
        let rest = found.value
        try await stage.stage.timely(since: found.asked, stage.lease) {
            let ids = Set(rest.map(\.message.id))
            try expect(
                ids.count == 6 && ids.isSuperset(of: held.map(\.message.id)),
                "the other group got other messages"
            )
            try expectEqual(Set(rest.map(\.attempt)), [1], "the attempts in the other group")
            try await stage.stage.settle(rest, by: idle)
        }
        try await stage.stage.expectQuiet(idle, for: stage.stage.unit)
    }

    /// Fails unless everything is on its second attempt, when it was held for less than a lease before: what is held
    /// for longer may have come to its holder again.
    private static func expectSecondAttempts(
        _ taken: [Delivery],
        heldFor took: Duration,
        of lease: Duration
    ) throws {
        let attempts = Set(taken.map(\.attempt))
        if attempts != [2], took >= lease { throw TooSlow(limit: lease, took: took) }
        try expectEqual(attempts, [2], "the attempts")
    }

    private static let reaper = ConformanceCase(
        "crash.reaper",
        .leases,
        "a consumer whose process died is forgotten after a while, and nothing that it held with it",
        tier: .fault
    ) { harness in
        let stage = try await FaultStage(harness)
        // More than one look takes over, and nobody looks until the dead one may be forgotten.
        try await stage.stage.publish(stage.messages(0..<450))
        let started = harness.now
        let child = try await stage.child(FaultChildJob(.hold, queue: stage.name, name: "victim", count: 450))
        try await stage.wait(for: child, "it held everything") { !$0.ids(.holding).isEmpty }
        await child.kill()
        let took = harness.now - started
        try await harness.advance(by: stage.faults.registrationLimit + stage.lease)
        let survivor = try await stage.stage.consumer("survivor")
        let taken = try await stage.handle(450, by: survivor, within: stage.lease + stage.recovery)
        try expectEqual(Set(taken.map(\.message.id.rawValue)).count, 450, "how many different messages came again")
        try expectSecondAttempts(taken, heldFor: took, of: stage.lease)
        let end = harness.now + stage.faults.registrationLimit + stage.recovery
        while true {
            let figure = try await stage.stage.queue.statistics(of: stage.name)["workers"]?.consumers
            guard let count = figure?.value else { throw NotPossible("the backend does not count consumers") }
            // An estimate may leave out the one that lives and does not wait at the moment.
            if count == 1 || (count == 0 && figure?.grade == .estimate) { break }
            try expect(harness.now < end, "\(count) consumers are registered, and one of them is alive")
            try await harness.advance(by: stage.stage.step)
        }
        try await stage.stage.expectNothing(survivor, for: stage.lease)
    }

    private static let crashLoop = ConformanceCase(
        "crash.loop",
        .leases,
        "a message that kills its consumer each time is a dead letter after the last attempt, with the reason",
        tier: .fault,
        requires: [.deadLetters]
    ) { harness in
        let stage = try await FaultStage(harness) { $0.groups[0].maxAttempts = 3 }
        try await stage.stage.publish([stage.message(0)])
        for attempt in 1...3 {
            let job = FaultChildJob(.die, queue: stage.name, name: "victim-\(attempt)", count: 1)
            let child = try await stage.child(job)
            let limit = stage.lease * 2 + stage.recovery
            try await stage.waitWhileTimePasses(for: child, "attempt \(attempt)", limit: limit) { $0.hasEnded }
            let attempts = child.events.filter { $0.what == .delivered }.map(\.attempt)
            try expectEqual(attempts, [attempt], "the attempts that a child saw")
        }
        let observer = try await stage.stage.consumer("observer")
        let end = harness.now + stage.lease + stage.recovery
        var letters: [DeadLetter] = []
        while letters.isEmpty {
            if let delivery = try await observer.receive(max: 1, wait: .zero).first {
                throw ConformanceFailure("attempt \(delivery.attempt) of 3 came")
            }
            letters = try await stage.stage.deadLetters()
            try expect(harness.now < end, "it is no dead letter")
            try await harness.advance(by: stage.stage.step)
        }
        try expectEqual(letters.map(\.message.id), [stage.message(0).id], "the dead letters")
        try expectEqual(letters[0].reason, .attemptsExhausted, "the reason")
        try expectEqual(letters[0].attempts, 3, "the attempts of the dead letter")
        try await stage.stage.expectNothing(observer, for: stage.lease)
    }

    private static let delayDurable = ConformanceCase(
        "delay.durable",
        .retries,
        "what is delayed comes when it is due, although its publisher and the broker were killed meanwhile",
        tier: .fault,
        requires: [.delay]
    ) { harness in
        let stage = try await FaultStage(harness)
        let delay = max(stage.stage.unit * 6, .seconds(2))
        let milliseconds = Int(delay / .milliseconds(1))
        let start = harness.now
        let job = FaultChildJob(.publish, queue: stage.name, name: "publisher", count: 20, delay: milliseconds)
        let child = try await stage.child(job)
        try await stage.wait(for: child, "its end") { $0.hasEnded }
        let ids = child.ids(.published)
        try expectEqual(ids.count, 20, "the number of confirmed messages")
        // A retry waits as well.
        try await stage.stage.publish([stage.message(0)])
        let client = try await harness.makeQueue()
        let first = try await client.consume(stage.name, group: "workers", consumer: "first")
        let found = try await stage.stage.found(1, from: first)
        let held = found.value[0]
        let retried = harness.now
        try await stage.stage.timely(since: found.asked, stage.lease) {
            try await first.settle(held, .retry(after: delay, error: "later"))
        }
        await client.close()
        do {
            try await stage.faults.broker(.kill)
            try await stage.faults.broker(.start)
        } catch is NotPossible {
            // Where there is no broker, its file and the killed publisher are what is left to survive.
        }
        let consumer = try await stage.consumer("after")
        var came: [String: Duration] = [:]
        let end = harness.now + delay + stage.recovery
        while came.count < 21, harness.now < end {
            let asked = harness.now
            let batch = try await consumer.receive(max: 100, wait: .zero)
            for delivery in batch { came[delivery.message.id.rawValue] = harness.now }
            try await stage.stage.timely(since: asked, stage.lease) {
                try await stage.stage.settle(batch, by: consumer)
            }
            if batch.isEmpty { try await harness.advance(by: stage.stage.step) }
        }
        try expectEqual(Set(came.keys), Set(ids + [held.message.id.rawValue]), "what came")
        for (id, time) in came {
            let earliest = (id == held.message.id.rawValue ? retried : start) + delay
            try expect(time >= earliest - .milliseconds(2), "'\(id)' came \(earliest - time) too early")
        }
        try await stage.stage.expectNothing(consumer, for: stage.lease)
    }

    private static let brokerLeaks = ConformanceCase(
        "life.brokerLeaks",
        .lifecycle,
        "clients and consumers that were closed leave no connection and no registration with the broker",
        tier: .fault
    ) { harness in
        let stage = try await FaultStage(harness)
        let proxy = try await stage.faults.proxy()
        let before = try await proxy.traffic().open
        try await stage.stage.publish(stage.messages(0..<50))
        for number in 0..<50 {
            for attempt in 1... {
                let client = try await stage.faults.makeQueue()
                do {
                    let consumer = try await client.consume(stage.name, group: "workers", consumer: "c\(number)")
                    let held = try await stage.stage.takeOne(from: consumer)
                    try await consumer.acknowledge(held)
                    // Every second one leaves its consumer to the client.
                    if number.isMultiple(of: 2) { await consumer.close() }
                    await client.close()
                    break
                } catch let error as QueueError where attempt < 5 && (error.isRetryable || error.code == .leaseLost) {
                    // A machine that stands still runs into the deadlines of its clients.
                    await client.close()
                    try await stage.stage.publish([stage.message(50 + 5 * number + attempt)])
                }
            }
        }
        let end = harness.now + stage.recovery
        while true {
            let open = try await proxy.traffic().open
            let consumers = try await stage.stage.queue.statistics(of: stage.name)["workers"]?.consumers.value ?? 0
            if open <= before, consumers == 0 { break }
            try expect(
                harness.now < end,
                "\(open - before) connections and \(consumers) registered consumers are left of 50 that were closed"
            )
            try await harness.advance(by: stage.stage.step)
        }
    }
}
