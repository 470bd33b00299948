import Messaging

#if canImport(FoundationEssentials)
import FoundationEssentials
#else
import Foundation
#endif

extension Conformance {
    static let transfers: [ConformanceCase] = [
        survey, surveyPages, reserved, reservedPutBack, restored, restoredLater, restoredOnce, intake, remembered,
    ]

    // MARK: Looking

    private static let survey = ConformanceCase(
        "transfer.survey",
        .transfer,
        "every state of a queue can be seen with all that belongs to it, and looking changes nothing",
        requires: [.transfer, .deadLetters, .delay]
    ) { harness in
        let stage = try await TransferStage(harness)
        let before = try await stage.statistics()
        let states = try await stage.fill()
        let filled = try await stage.statistics()
        for state in StoredMessage.State.allCases {
            if stage.limits.unlisted[state] != nil {
                try await expectError(.unsupported, "listing what is \(state.rawValue)") {
                    try await stage.page(state, after: nil, limit: 1)
                }
                continue
            }
            let found = try await stage.all(state)
            try expectEqual(found.map(\.message.id), states[state].map { [$0.id] } ?? [], "what is \(state.rawValue)")
            guard let stored = found.first, let message = states[state] else { continue }
            try expectEqual(stored.state, state, "the state")
            try expectEqual(
                stored.group,
                state == .scheduled ? nil : "workers",
                "the group of what is \(state.rawValue)"
            )
            try expectEqual(stored.message.body, message.body, "the body of what is \(state.rawValue)")
            try expectEqual(stored.message.headers, message.headers, "the headers of what is \(state.rawValue)")
            try expectEqual(stored.message.key, message.key, "the key of what is \(state.rawValue)")
            try expectEqual(stored.message.contentType, message.contentType, "the type of what is \(state.rawValue)")
            let hasFailed = state == .waiting || state == .dead
            try expectEqual(
                stored.history.map(\.error),
                hasFailed ? ["no"] : [],
                "the history of what is \(state.rawValue)"
            )
            try expectEqual(
                stored.attempts,
                hasFailed || state == .inFlight ? 1 : 0,
                "the attempts of what is \(state.rawValue)"
            )
            try expectEqual(stored.due != nil, state == .waiting || state == .scheduled, "whether it is due later")
            try expectEqual(stored.death?.reason, state == .dead ? .rejected : nil, "the reason of what is dead")
            try expectEqual(stored.death?.error, state == .dead ? "no" : nil, "the error of what is dead")
        }
        try await stage.expectStatistics(filled, "the figures after looking")
        try expect(before != filled, "the figures do not say what there is")
    }

    private static let surveyPages = ConformanceCase(
        "transfer.pages",
        .transfer,
        "pages hold everything once, and go on where the last one ended although what it held is gone",
        requires: [.transfer]
    ) { harness in
        let stage = try await TransferStage(harness)
        if let reason = stage.limits.unlisted[.scheduled] { throw NotPossible(reason) }
        let messages = (0..<23).map { Message(text: "m-\($0)", due: .after(stage.stage.unit * 1000)) }
        try await stage.stage.publish(messages)
        func expectPages(
            _ state: StoredMessage.State,
            _ each: ([String]) async throws -> Void
        ) async throws {
            var seen: [MessageID] = []
            var cursor: String?
            repeat {
                let page = try await stage.page(state, after: cursor, limit: 5)
                try expect(page.elements.count <= 5, "a page of 5 has \(page.elements.count) messages")
                seen += page.elements.map(\.message.id)
                try await each(page.elements.map(\.id))
                cursor = page.next
            } while cursor != nil && seen.count <= messages.count
            try expectEqual(seen.count, messages.count, "the number of messages on all pages of \(state.rawValue)")
            try expectEqual(Set(seen), Set(messages.map(\.id)), "the messages on all pages of \(state.rawValue)")
        }
        try await expectPages(.scheduled) { _ in }
        try await expectPages(.scheduled) { ids in
            try expectEqual(Set(try await stage.transfer.reserve(ids, of: stage.name)), Set(ids), "what was reserved")
        }
        try await expectPages(.reserved) { _ in }
        try await expectPages(.reserved) { ids in
            let removed = try await stage.transfer.removeReserved(ids, of: stage.name)
            try expectEqual(Set(removed), Set(ids), "what was removed")
        }
        try expectEqual(try await stage.all(.reserved).count, 0, "what is left")
    }

    // MARK: Taking out

    private static let reserved = ConformanceCase(
        "transfer.reserve",
        .transfer,
        "what is reserved is out of everybody's reach, counted as before, and gone when it is removed",
        requires: [.transfer, .deadLetters, .delay]
    ) { harness in
        let stage = try await TransferStage(harness)
        let reservable = stage.reservable
        // Before the first of them is due.
        let (states, ids) = try await stage.stage.timely(since: harness.now, stage.later) {
            () async throws -> ([StoredMessage.State: Message], [String]) in
            let states = try await stage.fill(until: stage.later)
            let filled = try await stage.statistics()
            let ids = try await stage.ids(reservable)
            try expectEqual(ids.count, reservable.count, "the number of messages to reserve")
            try expectEqual(Set(try await stage.transfer.reserve(ids, of: stage.name)), Set(ids), "what was reserved")
            try expectEqual(
                Set(try await stage.transfer.reserve(ids, of: stage.name)),
                Set(ids),
                "what is reserved already"
            )
            for state in reservable {
                try expectEqual(try await stage.all(state).count, 0, "what is \(state.rawValue) and not reserved")
            }
            let inside = try await stage.all(.reserved)
            try expectEqual(Set(inside.map(\.id)), Set(ids), "what is listed as reserved")
            try expectEqual(Set(inside.map(\.state)), Set(reservable), "the states that reserved messages were in")
            try await stage.expectStatistics(filled, "the figures with reserved messages")
            let queue = stage.stage.queue
            let letters = try await queue.deadLetters(of: stage.name, matching: .all, after: nil, limit: 10)
            try expectEqual(letters.elements.count, 0, "the number of dead letters that can be seen")
            if let dead = stage.deadLetter {
                try expectEqual(try await queue.redrive([dead], of: stage.name), [], "what was sent again")
                try expectEqual(try await queue.discardDeadLetters([dead], of: stage.name), [], "what was discarded")
            }
            if try await queue.capabilities()[.scheduleList].isAvailable, let scheduled = states[.scheduled] {
                let cancelled = try await queue.cancelScheduled([scheduled.id], of: stage.name)
                try expectEqual(cancelled, [], "what was cancelled")
            }
            return (states, ids)
        }
        // Past the time when they would have come.
        let unreserved = [StoredMessage.State.waiting, .scheduled].filter { !reservable.contains($0) }
        try await stage.expectOnly(([.ready] + unreserved).map { states[$0] }, for: stage.later)
        try expectEqual(Set(try await stage.transfer.removeReserved(ids, of: stage.name)), Set(ids), "what was removed")
        try expectEqual(try await stage.transfer.removeReserved(ids, of: stage.name), [], "what was removed again")
        try expectEqual(try await stage.all(.reserved).count, 0, "what is reserved afterwards")
        try expectEqual(try await stage.transfer.putBack(ids, of: stage.name), [], "what was put back after its end")
        try await stage.stage.expectFigures(inFlight: 1, delayed: 0, dead: 0, scheduled: 0)
    }

    private static let reservedPutBack = ConformanceCase(
        "transfer.putBack",
        .transfer,
        "what is put back goes on as if nothing had been",
        requires: [.transfer, .deadLetters, .delay]
    ) { harness in
        let stage = try await TransferStage(harness)
        // Before the first of them is due.
        let states = try await stage.stage.timely(since: harness.now, stage.later) {
            () async throws -> [StoredMessage.State: Message] in
            let states = try await stage.fill(until: stage.later)
            let filled = try await stage.statistics()
            let ids = try await stage.ids(stage.reservable)
            _ = try await stage.transfer.reserve(ids, of: stage.name)
            try expectEqual(Set(try await stage.transfer.putBack(ids, of: stage.name)), Set(ids), "what was put back")
            try expectEqual(try await stage.transfer.putBack(ids, of: stage.name), [], "what was put back again")
            try expectEqual(try await stage.transfer.removeReserved(ids, of: stage.name), [], "what was removed")
            try await stage.expectStatistics(filled, "the figures")
            for state in stage.reservable {
                let expected = states[state].map { [$0.id] } ?? []
                // It may be on its way between two places of the broker.
                let end = harness.now + harness.tolerance
                while try await stage.all(state).map(\.message.id) != expected {
                    try expect(harness.now < end, "what is \(state.rawValue) did not come back")
                    try await harness.advance(by: stage.stage.step)
                }
            }
            let letter = try await stage.stage.deadLetter()
            try expectEqual(letter.message.id, states[.dead]?.id, "the dead letter")
            return states
        }
        let came = try await stage.expectOnly(
            [states[.ready], states[.waiting], states[.scheduled]],
            for: stage.later
        )
        try expectEqual(came.first { $0.message.id == states[.waiting]?.id }?.attempt, 2, "the attempt of the retry")
    }

    // MARK: Writing in

    private static let restored = ConformanceCase(
        "transfer.restore",
        .transfer,
        "what is written in goes on for its group alone: body, headers, attempts and history as they were",
        requires: [.transfer, .deadLetters]
    ) { harness in
        let stage = try await TransferStage(harness)
        let others = try await stage.stage.otherGroup()
        let failure = Failure(attempt: 1, at: 1_700_000_000_000, consumer: "far", error: "no")
        let ready = stage.foreign("a", .ready, attempts: 1, history: [failure])
        let second = stage.foreign("b", .inFlight, attempts: 2, history: [failure])
        let dead = stage.foreign(
            "c",
            .dead,
            attempts: 3,
            history: [failure],
            death: StoredMessage.Death(reason: .attemptsExhausted, error: "no", failedAt: nil)
        )
        let outcomes = try await stage.transfer.restore([ready, second, dead], to: stage.name)
        for outcome in outcomes {
            guard case .accepted = outcome else { throw ConformanceFailure("restoring said \(outcome)") }
        }
        try expectEqual(outcomes.count, 3, "the number of outcomes")
        let letter = try await stage.stage.deadLetter()
        try expectEqual(letter.message.id, dead.message.id, "the dead letter")
        try expectEqual(letter.message.body, dead.message.body, "its body")
        try expectEqual(letter.reason, .attemptsExhausted, "its reason")
        try expectEqual(letter.error, "no", "its error")
        try expectEqual(letter.attempts, 3, "its attempts")
        try expectEqual(letter.history, [failure], "its history")
        try expectEqual(letter.group, "workers", "its group")
        let consumer = try await stage.stage.consumer()
        for delivery in try await stage.stage.take(2, from: consumer) {
            let source = delivery.message.id == ready.message.id ? ready : second
            try expectEqual(delivery.message.id, source.message.id, "what came")
            try expectEqual(delivery.message.body, source.message.body, "the body")
            try expectEqual(delivery.message.headers, source.message.headers, "the headers")
            try expectEqual(delivery.message.contentType, source.message.contentType, "the type of the content")
            try expectEqual(delivery.attempt, source.attempts + 1, "the attempt")
            try expectEqual(delivery.history, source.history, "the history")
            try await consumer.acknowledge(delivery)
        }
        try expectEqual(try await stage.stage.queue.redrive([letter.id], of: stage.name), [letter.id], "what was sent")
        let again = try await stage.stage.takeOne(from: consumer)
        try expectEqual(again.message.id, dead.message.id, "what was sent again")
        try expectEqual(again.attempt, 1, "its attempt")
        try await consumer.acknowledge(again)
        try await stage.stage.expectNothing(consumer)
        if let others {
            let sentinel = try await stage.stage.takeOne(from: others)
            try expectEqual(sentinel.message.text, "sentinel", "what came to the other group")
            try await others.acknowledge(sentinel)
        }
        let unknown = StoredMessage(id: "far-x", state: .ready, group: "nobody", message: Message(text: "x"))
        guard case .refused(let error)? = try await stage.transfer.restore([unknown], to: stage.name).first else {
            throw ConformanceFailure("a message for an unknown group was not refused")
        }
        try expectEqual(error.code, .notFound, "the refusal of a message for an unknown group")
    }

    private static let restoredLater = ConformanceCase(
        "transfer.later",
        .transfer,
        "what is written in for later comes then: a retry to its group, a schedule to every group",
        requires: [.transfer, .delay]
    ) { harness in
        let stage = try await TransferStage(harness)
        let others = try await stage.stage.otherGroup()
        let consumer = try await stage.stage.consumer()
        let start = harness.now
        let now = try await stage.date()
        let due = now.addingTimeInterval(Self.seconds(stage.later))
        let past = now.addingTimeInterval(-60)
        let retry = stage.foreign("a", .waiting, attempts: 1, due: due)
        let schedule = stage.foreign("b", .scheduled, group: nil, due: due)
        let late = stage.foreign("c", .scheduled, group: nil, due: past)
        for outcome in try await stage.transfer.restore([retry, schedule, late], to: stage.name) {
            guard case .accepted = outcome else { throw ConformanceFailure("restoring said \(outcome)") }
        }
        let first = try await stage.stage.takeOne(from: consumer)
        // On a machine that stood still until then all three are due, in any order.
        if harness.now - start < stage.later - .milliseconds(5) {
            try expectEqual(first.message.id, late.message.id, "what was due in the meantime")
        }
        try await consumer.acknowledge(first)
        let rest = try await stage.stage.take(2, from: consumer)
        let took = harness.now - start
        // A clock of the broker's own may be a little ahead.
        try expect(took >= stage.later - .milliseconds(5), "it came after \(took)")
        let all = [first] + rest
        let expected = [late.message.id, retry.message.id, schedule.message.id]
        try expectEqual(Set(all.map(\.message.id)), Set(expected), "what came")
        let attempt = all.first { $0.message.id == retry.message.id }?.attempt
        try expectEqual(attempt, 2, "the attempt of the retry")
        try await stage.stage.settle(rest, by: consumer)
        if let others {
            let came = try await stage.stage.take(2, from: others)
            try expectEqual(
                Set(came.map(\.message.id)),
                [late.message.id, schedule.message.id],
                "what came to the other group"
            )
            try await stage.stage.settle(came, by: others)
            try await stage.stage.expectQuiet(others)
        }
    }

    private static func seconds(_ duration: Duration) -> Double { duration / .seconds(1) }

    private static let restoredOnce = ConformanceCase(
        "transfer.once",
        .transfer,
        "what is written in twice is there once, also when it was handled in between",
        requires: [.transfer]
    ) { harness in
        let stage = try await TransferStage(harness)
        let stored = stage.foreign("a", .ready, attempts: 1)
        let consumer = try await stage.stage.consumer()
        _ = try await stage.transfer.restore([stored], to: stage.name)
        try await consumer.acknowledge(try await stage.stage.takeOne(from: consumer))
        guard case .duplicate? = try await stage.transfer.restore([stored], to: stage.name).first else {
            throw ConformanceFailure("writing a message in twice was not recognised")
        }
        try await stage.stage.expectNothing(consumer)
        try await stage.transfer.forgetRestored(of: stage.name)
        guard case .accepted? = try await stage.transfer.restore([stored], to: stage.name).first else {
            throw ConformanceFailure("what was restored is not forgotten")
        }
        try await consumer.acknowledge(try await stage.stage.takeOne(from: consumer))
    }

    // MARK: Closing and remembering

    private static let intake = ConformanceCase(
        "transfer.intake",
        .transfer,
        "a closed queue takes no publication, knows what it has taken, and goes on with everything else",
        requires: [.transfer]
    ) { harness in
        let stage = try await TransferStage(harness)
        let (known, retried) = (Message(text: "known"), Message(text: "retried"))
        try await stage.stage.publish([known, retried])
        let consumer = try await stage.stage.consumer()
        let held = try await stage.stage.take(2, from: consumer)
        for _ in 0..<2 { try await stage.transfer.setIntake(isOpen: false, of: stage.name) }
        let other = try await harness.makeQueue()
        let new = Message(text: "new", id: MessageID("new"))
        let outcomes = try await other.publish([new, known], to: stage.name)
        try expectEqual(outcomes.count, 2, "the number of outcomes")
        guard case .refused(let error) = outcomes[0] else {
            throw ConformanceFailure("publishing to a closed queue said \(outcomes[0])")
        }
        try expectEqual(error.code, .queueClosed, "the refusal")
        if try await other.capabilities()[.deduplication].isAvailable {
            guard case .duplicate = outcomes[1] else {
                throw ConformanceFailure("publishing a known id to a closed queue said \(outcomes[1])")
            }
        }
        for delivery in held where delivery.message.id == known.id { try await consumer.acknowledge(delivery) }
        for delivery in held where delivery.message.id == retried.id {
            try await consumer.settle(delivery, .retry(after: .zero, error: "again"))
        }
        let again = try await stage.stage.takeOne(from: consumer)
        try expectEqual(again.message.id, retried.id, "what came although the queue is closed")
        try await consumer.acknowledge(again)
        try await stage.transfer.setIntake(isOpen: true, of: stage.name)
        try await stage.stage.publish([new])
        let last = try await stage.stage.takeOne(from: consumer)
        try expectEqual(last.message.id, new.id, "what came after opening")
        try await consumer.acknowledge(last)
    }

    private static let remembered = ConformanceCase(
        "transfer.remember",
        .transfer,
        "the ids that a queue remembers can be carried to another one, which then knows them",
        requires: [.transfer, .deduplication]
    ) { harness in
        let stage = try await TransferStage(harness)
        let messages = try await stage.stage.publish(12)
        var found: [RememberedID] = []
        var cursor: String?
        repeat {
            let page = try await stage.transfer.rememberedIDs(of: stage.name, after: cursor, limit: 5)
            found += page.elements
            cursor = page.next
        } while cursor != nil && found.count <= 100
        try expectEqual(Set(found.map(\.id)), Set(messages.map(\.id)), "the ids that are remembered")
        let now = try await stage.date()
        try expect(found.allSatisfy { $0.until > now }, "an id is remembered until a time that is over")
        let target = try await Stage(harness)
        let over = RememberedID(id: MessageID("over"), until: now.addingTimeInterval(-1))
        for _ in 0..<2 { try await target.transfer().remember(found + [over], of: target.name) }
        for outcome in try await target.queue.publish(messages, to: target.name) {
            guard case .duplicate = outcome else { throw ConformanceFailure("a carried id is \(outcome)") }
        }
        try await target.publish([Message(text: "over", id: over.id), Message(text: "new")])
        try await target.expectFigures(ready: 2)
    }
}
