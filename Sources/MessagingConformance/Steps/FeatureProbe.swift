import Messaging

/// The least that each feature must do where it is claimed, and the call that must be refused where it is not.
struct FeatureProbe {
    private let harness: any ConformanceHarness
    /// What counts the bytes that clients send, where there is something.
    private let proxy: (any FaultProxy)?

    init(_ harness: any ConformanceHarness, proxy: (any FaultProxy)? = nil) {
        self.harness = harness
        self.proxy = proxy
    }

    // MARK: - Claimed

    func works(_ feature: Capabilities.Feature) async throws {
        switch feature {
        case .delay: try await delays()
        case .scheduleList: try await listsSchedules()
        case .deduplication, .idConflict: try await comparesIDs(isConflict: feature == .idConflict)
        case .fanOut: try await fansOut()
        case .renewal: try await renews()
        case .fencedSettle: try await fences()
        case .confirmedSettle: try await ends()
        case .keyedOrder: try await keepsKeys()
        case .deadLetters, .atomicMove: try await movesToDeadLetters()
        case .replay: try await replays()
        case .boundedQueue: try await isBounded()
        case .atMostOnce: try await forgets()
        case .persistence: try await outlivesItsClient()
        case .deletion: try await deletes()
        case .transfer: try await transfers()
        default: throw ConformanceFailure("this suite does not know the feature; update it")
        }
    }

    /// What was acknowledged stays so although its client ends right afterwards.
    private func ends() async throws {
        let stage = try await Stage(harness)
        try await stage.publish(10)
        let other = try await harness.makeQueue()
        let consumer = try await other.consume(stage.name, group: "workers", consumer: "other")
        try await stage.settle(try await stage.take(10, from: consumer), by: consumer)
        await other.close()
        try await stage.expectNothing(try await stage.consumer())
    }

    private func transfers() async throws {
        let stage = try await Stage(harness)
        let transfer = try stage.transfer()
        let message = Message(text: "later", due: .after(stage.unit * 1000))
        try await stage.publish([message])
        let page = try await transfer.stored(in: stage.name, state: .scheduled, group: nil, after: nil, limit: 10)
        let ids = page.elements.map(\.id)
        try expectEqual(page.elements.map(\.message.id), [message.id], "what is scheduled")
        try expectEqual(try await transfer.reserve(ids, of: stage.name), ids, "what was reserved")
        try expectEqual(try await transfer.removeReserved(ids, of: stage.name), ids, "what was removed")
    }

    private func delays() async throws {
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        let start = harness.now
        try await stage.publish([Message(text: "later", due: .after(stage.unit))])
        try await consumer.acknowledge(try await stage.takeOne(from: consumer))
        try expect(harness.now - start >= stage.unit - .milliseconds(1), "it came after \(harness.now - start)")
    }

    private func listsSchedules() async throws {
        let stage = try await Stage(harness)
        let message = Message(text: "later", due: .after(stage.unit * 1000))
        try await stage.publish([message, Message(text: "now")])
        let page = try await stage.queue.scheduled(of: stage.name, after: nil, limit: 10)
        try expectEqual(page.elements.map(\.message.id), [message.id], "what is scheduled")
        let cancelled = try await stage.queue.cancelScheduled([message.id], of: stage.name)
        try expectEqual(cancelled, [message.id], "what was cancelled")
    }

    private func comparesIDs(isConflict: Bool) async throws {
        let stage = try await Stage(harness)
        let message = Message(text: "same")
        try await stage.publish([message])
        let again = Message(text: isConflict ? "other" : "same", id: message.id)
        let outcome = try await stage.queue.publish([again], to: stage.name).first
        switch outcome {
        case .duplicate where !isConflict: break
        case .refused(let error) where isConflict: try expectEqual(error.code, .idConflict, "the refusal")
        default: throw ConformanceFailure("publishing the id again gave \(outcome.map { "\($0)" } ?? "nothing")")
        }
    }

    private func fansOut() async throws {
        let stage = try await Stage(harness) {
            $0.groups.append(GroupDefinition("others", lease: Stage.longLease(harness)))
        }
        let message = try await stage.publish(1)[0]
        for group in ["workers", "others"] {
            let delivery = try await stage.takeOne(from: try await stage.consumer(group: group))
            try expectEqual(delivery.message.id, message.id, "what group \(group) got")
        }
    }

    private func renews() async throws {
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        try await stage.publish(1)
        let held = try await stage.takeOne(from: consumer)
        try expectEqual(try await consumer.renew([held.receipt]), [true], "what renewing says")
        try await consumer.acknowledge(held)
        try expectEqual(try await consumer.renew([held.receipt]), [false], "what renewing after settling says")
    }

    private func fences() async throws {
        let stage = try await Stage(harness)
        let holder = try await stage.consumer("holder")
        let other = try await stage.consumer("other")
        try await stage.publish(1)
        let held = try await stage.takeOne(from: holder)
        try await expectError(.leaseLost, "settling what another consumer holds") { try await other.acknowledge(held) }
        try await holder.acknowledge(held)
    }

    private func keepsKeys() async throws {
        let stage = try await Stage(harness) { $0.ordering = .keyed }
        let consumer = try await stage.consumer()
        try await stage.publish(["1", "2"].map { Message(text: $0, key: "k") })
        let first = try await stage.takeOne(from: consumer)
        try expectEqual(first.message.text, "1", "the first of the key")
        try await stage.expectQuiet(consumer, for: stage.step)
        try await consumer.acknowledge(first)
        try expectEqual(try await stage.takeOne(from: consumer).message.text, "2", "the second of the key")
    }

    private func movesToDeadLetters() async throws {
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        let message = try await stage.publish(1)[0]
        let held = try await stage.takeOne(from: consumer)
        try await consumer.settle(held, .reject(reason: .rejected, error: "no"))
        let letter = try await stage.deadLetter()
        try expectEqual(letter.message, message, "the dead letter")
        try await stage.expectFigures(ready: 0, inFlight: 0, dead: 1)
        try expectEqual(try await stage.queue.redrive([letter.id], of: stage.name), [letter.id], "what was sent")
        try await stage.expectFigures(ready: 1, inFlight: 0, dead: 0)
    }

    private func replays() async throws {
        let stage = try await Stage(harness) { $0.retention = .seconds(3600) }
        let consumer = try await stage.consumer()
        let message = try await stage.publish(1)[0]
        try await consumer.acknowledge(try await stage.takeOne(from: consumer))
        var definition = QueueDefinition(stage.name, groups: [GroupDefinition("late")])
        definition.retention = .seconds(3600)
        try await stage.queue.declare(definition)
        let late = try await stage.consumer(group: "late")
        try expectEqual(try await stage.takeOne(from: late).message.id, message.id, "what the new group got")
    }

    private func isBounded() async throws {
        let stage = try await Stage(harness) { $0.maxReady = 2 }
        try await stage.publish(2)
        try await expectError(.queueFull, "publishing to a full queue") {
            try await stage.queue.publish(Message(text: "one more"), to: stage.name)
        }
    }

    private func forgets() async throws {
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer(mode: .atMostOnce)
        try await stage.publish(1)
        _ = try await stage.takeOne(from: consumer)
        await consumer.close()
        try await stage.expectNothing(try await stage.consumer("other"), for: stage.step)
    }

    private func outlivesItsClient() async throws {
        let stage = try await Stage(harness)
        let message = try await stage.publish(1)[0]
        await stage.queue.close()
        let queue = try await harness.makeQueue()
        let consumer = try await queue.consume(stage.name, group: "workers", consumer: "after")
        let delivery = try await stage.takeOne(from: consumer)
        try expectEqual(delivery.message.id, message.id, "what a client opened later got")
    }

    private func deletes() async throws {
        let stage = try await Stage(harness)
        try await stage.publish(1)
        try expect(try await stage.queue.deleteQueue(stage.name), "deleting says that there was no such queue")
        try await expectError(.notFound, "publishing to a deleted queue") { try await stage.publish(1) }
    }

    // MARK: - Not claimed

    /// Checks the same through a proxy that counts what is sent, where there is one.
    func isRefusedUnseen(_ feature: Capabilities.Feature) async throws {
        guard let faults = harness.faults else { return }
        let proxy: any FaultProxy
        do { proxy = try await faults.proxy() } catch is NotPossible { return }
        try await FeatureProbe(RemoteHarness(base: harness, faults: faults), proxy: proxy).isRefused(feature)
    }

    /// Fails unless a call is refused as unsupported, with nothing sent where that is counted.
    private func expectRefused<Result>(_ what: String, _ body: () async throws -> Result) async throws {
        var sent = 0
        // What a client says by itself, such as a heartbeat, may fall between two counts; a request is sent each time.
        for _ in 0..<5 {
            let before = try await proxy?.traffic().requestBytes ?? 0
            try await expectError(.unsupported, what, body)
            let after = try await proxy?.traffic().requestBytes ?? 0
            sent = after - before
            if sent == 0 { return }
        }
        throw ConformanceFailure("refusing \(what) sent \(sent) bytes to the broker")
    }

    func isRefused(_ feature: Capabilities.Feature) async throws {
        switch feature {
        case .keyedOrder: try await refusesToDeclare { $0.ordering = .keyed }
        case .boundedQueue: try await refusesToDeclare { $0.maxReady = 2 }
        case .replay: try await refusesToDeclare { $0.retention = .seconds(3600) }
        case .fanOut:
            try await refusesToDeclare { $0.groups = [GroupDefinition("a"), GroupDefinition("b")] }
        case .delay:
            try await refuses { stage in
                try await stage.queue.publish(Message(text: "later", due: .after(stage.unit)), to: stage.name)
            }
        case .scheduleList:
            try await refuses { try await $0.queue.scheduled(of: $0.name, after: nil, limit: 1) }
            try await refuses { try await $0.queue.cancelScheduled(["x"], of: $0.name) }
        case .deadLetters:
            try await refuses {
                try await $0.queue.deadLetters(of: $0.name, matching: .all, after: nil, limit: 1)
            }
            try await refuses { try await $0.queue.redrive(["x"], of: $0.name) }
            try await refuses { try await $0.queue.discardDeadLetters(["x"], of: $0.name) }
        case .atMostOnce: try await refuses { try await $0.consumer(mode: .atMostOnce) }
        case .deletion: try await refuses { try await $0.queue.deleteQueue($0.name) }
        case .transfer:
            try expect(
                try await harness.makeQueue().transfer == nil,
                "there is a transfer although it is not available"
            )
        case .renewal:
            let stage = try await Stage(harness)
            let consumer = try await stage.consumer()
            try await stage.publish(1)
            let held = try await stage.takeOne(from: consumer)
            try await expectRefused("renewing") { try await consumer.renew([held.receipt]) }
            try await consumer.acknowledge(held)
        // There is no call that asks for these: they say what other calls promise.
        case .deduplication, .idConflict, .fencedSettle, .confirmedSettle, .atomicMove, .persistence: break
        default: throw ConformanceFailure("this suite does not know the feature; update it")
        }
    }

    private func refusesToDeclare(_ change: (inout QueueDefinition) -> Void) async throws {
        let queue = try await harness.makeQueue()
        var definition = QueueDefinition(harness.uniqueName("refused"))
        change(&definition)
        let refused = definition
        try await expectRefused("declaring it") { try await queue.declare(refused) }
        let found = try await queue.definition(of: refused.name)
        try expect(found == nil, "a refused declaration left a queue behind")
    }

    private func refuses<Result>(_ call: (Stage) async throws -> Result) async throws {
        let stage = try await Stage(harness)
        try await expectRefused("the call") { try await call(stage) }
        let consumer = try await stage.consumer()
        try await stage.expectNothing(consumer)
        try await stage.expectFigures(ready: 0, inFlight: 0)
    }
}

/// A harness whose clients reach the broker through the proxy.
private struct RemoteHarness: ConformanceHarness {
    let base: any ConformanceHarness
    let faults: any FaultControl

    var timeUnit: Duration { base.timeUnit }
    var tolerance: Duration { base.tolerance }
    var now: Duration { base.now }

    func makeQueue() async throws -> any MessageQueue {
        let queue = try await faults.makeQueue()
        // What it asks when it connects is no part of a refusal.
        _ = try await queue.capabilities()
        return queue
    }
    func uniqueName(_ prefix: String) -> String { base.uniqueName(prefix) }
    func advance(by duration: Duration) async throws { try await base.advance(by: duration) }
}
