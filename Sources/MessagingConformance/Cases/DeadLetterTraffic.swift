import Messaging

extension Conformance {
    static let deadLetterTraffic: [ConformanceCase] = [page, redriveFilter, trace]

    private static let page = ConformanceCase(
        "dlq.page",
        .deadLetters,
        "pages show no dead letter twice and miss none that stays, while others come and go",
        requires: [.deadLetters]
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        var generator = SeededGenerator(seed: 23)
        func fail(_ count: Int, _ error: String) async throws {
            try await stage.publish(count, prefix: error)
            let taken = try await stage.take(count, from: consumer)
            try await stage.settle(taken, by: consumer, .reject(reason: .rejected, error: error))
        }
        // The ones that stay lie among those that go.
        for _ in 0..<10 {
            try await fail(4, "stays")
            try await fail(4, "goes")
        }
        for limit in [3, 7, 20] {
            let before = try await stage.deadLetters(page: 1000)
            let staying = Set(before.filter { $0.error == "stays" }.map(\.id))
            try expectEqual(staying.count, 40, "the number of dead letters that stay")
            var going = before.filter { $0.error == "goes" }.map(\.id)
            var seen = Set<String>()
            var cursor: String?
            var pages = 0
            repeat {
                let found = try await stage.queue.deadLetters(
                    of: stage.name,
                    matching: .all,
                    after: cursor,
                    limit: limit
                )
                try expect(found.elements.count <= limit, "a page of \(limit) has \(found.elements.count) dead letters")
                for letter in found.elements {
                    try expect(seen.insert(letter.id).inserted, "dead letter \(letter.id) is on two pages")
                }
                cursor = found.next
                pages += 1
                try expect(pages < 200, "the pages do not end")
                // One of those before or behind the cursor goes, and a new one comes.
                going.shuffle(using: &generator)
                if let id = going.popLast() {
                    let isSent = Bool.random(using: &generator)
                    if isSent {
                        _ = try await stage.queue.redrive([id], of: stage.name)
                        try await consumer.acknowledge(try await stage.takeOne(from: consumer))
                    } else {
                        _ = try await stage.queue.discardDeadLetters([id], of: stage.name)
                    }
                }
                try await fail(1, "goes")
            } while cursor != nil
            try expectEqual(staying.subtracting(seen), [], "what the pages of \(limit) missed")
        }
        try await stage.expectNothing(consumer)
    }

    private static let redriveFilter = ConformanceCase(
        "dlq.redriveFilter",
        .deadLetters,
        "a redrive by filter sends exactly what matches, once, while consumers run",
        requires: [.deadLetters]
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        try await stage.publish(100)
        let taken = try await stage.take(100, from: consumer)
        for (index, delivery) in taken.enumerated() {
            try await consumer.settle(
                delivery,
                .reject(reason: .rejected, error: index.isMultiple(of: 2) ? "no route to host" : "not JSON")
            )
        }
        let expected = Set(taken.enumerated().filter { $0.offset.isMultiple(of: 2) }.map(\.element.message.id))
        let (stream, sink) = AsyncStream.makeStream(of: Delivery.self)
        let members = [try await stage.consumer("running-1"), try await stage.consumer("running-2")]
        let (sent, came) = try await within("a redrive with consumers running") {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for member in members {
                    group.addTask {
                        let failure = await handle(member) { sink.yield($0) }
                        guard failure.code == .cancelled || failure.code == .closed else { throw failure }
                    }
                }
                let filter = DeadLetterFilter(errorContains: "NO ROUTE")
                let sent = try await stage.queue.redriveAll(of: stage.name, matching: filter)
                var came: [Delivery] = []
                for await delivery in stream {
                    came.append(delivery)
                    if came.count == 50 { break }
                }
                for member in members { await member.close() }
                group.cancelAll()
                try await group.waitForAll()
                sink.finish()
                for await delivery in stream { came.append(delivery) }
                return (sent, came)
            }
        }
        try expectEqual(sent, 50, "how many were sent")
        try expectEqual(came.count, 50, "how many came")
        try expectEqual(Set(came.map(\.message.id)), expected, "what came")
        for delivery in came {
            try expectEqual(delivery.attempt, 1, "the attempt")
            try expectEqual(delivery.redrives, 1, "the number of redrives")
            try expectEqual(delivery.history.map(\.error), ["no route to host"], "the history")
        }
        let left = try await stage.deadLetters(page: 100)
        try expectEqual(left.count, 50, "how many dead letters are left")
        try expect(left.allSatisfy { $0.error == "not JSON" }, "a dead letter that matches is left")
        try await stage.expectNothing(consumer)
        try await stage.expectFigures(ready: 0, inFlight: 0, delayed: 0, dead: 50)
    }

    /// Acknowledges what comes.
    ///
    /// - Returns: What ended the loop.
    private static func handle(_ member: any QueueConsumer, _ handled: (Delivery) -> Void) async -> QueueError {
        do throws(QueueError) {
            for try await delivery in member.deliveries() {
                try await member.acknowledge(delivery)
                handled(delivery)
            }
        } catch {
            return error
        }
        return QueueError(.brokerError, "the deliveries ended without an error")
    }

    private static let trace = ConformanceCase(
        "obs.trace",
        .fidelity,
        "the headers of a trace survive a retry, a dead letter and a redrive byte for byte"
    ) { harness in
        let stage = try await Stage(harness)
        let consumer = try await stage.consumer()
        let headers: MessageHeaders = [
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "tracestate": "vendor=a=b;c, other=\u{00FC}", "baggage": "user=%20x,tenant=7;p=1", "Traceparent": "another",
        ]
        let message = Message(text: "traced", key: "k", headers: headers, contentType: "text/plain")
        try await stage.publish([message])
        func check(_ found: Message, _ what: String) throws {
            try expectEqual(found, message, "the message \(what)")
        }
        var delivery = try await stage.takeOne(from: consumer)
        try check(delivery.message, "as delivered")
        try await consumer.settle(delivery, .retry(after: .zero, error: "now"))
        delivery = try await stage.takeOne(from: consumer)
        try check(delivery.message, "after a retry")
        try await consumer.settle(delivery, .release)
        delivery = try await stage.takeOne(from: consumer)
        try check(delivery.message, "after a release")
        guard try await stage.queue.capabilities()[.deadLetters].isAvailable else {
            try await consumer.acknowledge(delivery)
            return try await stage.expectNothing(consumer)
        }
        try await consumer.settle(delivery, .reject(reason: .rejected, error: "for good"))
        for round in 1...2 {
            let letter = try await stage.deadLetter()
            try check(letter.message, "of dead letter \(round)")
            try expectEqual(try await stage.queue.redrive([letter.id], of: stage.name), [letter.id], "what was sent")
            delivery = try await stage.takeOne(from: consumer)
            try check(delivery.message, "after redrive \(round)")
            try expectEqual(delivery.redrives, round, "the number of redrives")
            if round == 1 { try await consumer.settle(delivery, .reject(reason: .rejected, error: "again")) }
        }
        try await consumer.acknowledge(delivery)
        try await stage.expectNothing(consumer)
    }
}
