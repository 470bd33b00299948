import Messaging

/// How a queue gets messages in every state.
extension MigrationPlace {
    /// What there is when a queue was filled.
    struct Filled: Sendable {
        let before: Set<Trace>
        /// Which of what was ready a group has handled already, by its place.
        let handled: Set<String>
    }

    /// How many messages go over the wire at a time.
    private static let batch = 500
    /// The seconds until the first and the last schedule: none is due before a test has ended that takes minutes.
    private static let times = (first: 900, last: 3600)

    /// Puts so many messages into each state that can be moved, and returns what there is then.
    func fill(_ count: Int, lease: Duration = .milliseconds(500), apart: Bool = false) async throws -> Set<Trace> {
        try await fillAndTell(count, lease: lease, apart: apart).before
    }

    /// Puts so many messages into each state that can be moved.
    ///
    /// - Parameters:
    ///   - count: How many.
    ///   - lease: The lease of both groups.
    ///   - apart: Whether the first group has handled a third of what is ready, and the other one nothing.
    /// - Returns: What there is then.
    /// - Throws: When the source cannot be used.
    func fillAndTell(_ count: Int, lease: Duration = .milliseconds(500), apart: Bool = false) async throws -> Filled {
        let queue = try open(sourceURL)
        try await queue.declare(Self.definition(lease: lease))
        let phases: [(state: String, settlement: Settlement)] = [
            ("dead", .reject(reason: .rejected, error: "no")),
            ("waiting", .retry(after: .seconds(3600), error: "later")),
        ]
        for (state, settlement) in phases {
            try await publish((0..<count).map { Self.message("\(state)-\($0)") }, queue)
            for group in Self.groups { _ = try await settle(count, of: group, queue, settlement) }
        }
        let ready = (0..<count).map { Self.message("ready-\($0)") }
        try await publish(ready, queue)
        var handled: Set<String> = []
        if apart, let group = Self.groups.first {
            let ids = try await settle(count / 3, of: group, queue, .acknowledge)
            handled = Set(ids.map { Trace.place($0, group) })
        }
        try await publish((0..<count).map { Self.message("later-\($0)", due: Self.due($0, of: count)) }, queue)
        let unlisted = try await queue.transfer?.limits().unlisted ?? [:]
        await queue.close()
        var before = Set(try await contents(sourceURL, takingReady: false))
        if unlisted[.ready] != nil {
            for group in Self.groups {
                for message in ready where !handled.contains(Trace.place(message.id.rawValue, group)) {
                    before.insert(Trace(ready: message, group: group))
                }
            }
        }
        return Filled(before: before, handled: handled)
    }

    /// The time of a schedule: spread evenly, up to an hour.
    private static func due(_ index: Int, of count: Int) -> Message.Due {
        let seconds = times.first + index * (times.last - times.first) / max(1, count - 1)
        return .after(.seconds(seconds))
    }

    /// Takes so many messages of a group and ends them; returns their ids.
    private func settle(
        _ count: Int,
        of group: String,
        _ queue: any MessageQueue,
        _ settlement: Settlement
    ) async throws -> [String] {
        guard count > 0 else { return [] }
        let consumer = try await queue.consume(Self.name, group: group, consumer: "filler")
        var settled: [String] = []
        while settled.count < count {
            let deliveries = try await consumer.receive(max: min(Self.batch, count - settled.count), wait: .seconds(5))
            guard !deliveries.isEmpty else { throw QueueError(.unavailable, "nothing came while filling") }
            let outcomes = try await consumer.settle(deliveries.map { SettleRequest($0.receipt, settlement) })
            for (delivery, outcome) in zip(deliveries, outcomes) {
                // On a machine that stands still for longer than the lease, the message comes again.
                if let error = outcome.error, error.code != .leaseLost { throw error }
                if outcome.error == nil { settled.append(delivery.message.id.rawValue) }
            }
        }
        // Where nobody answers an acknowledgement, one that is on its way when its consumer closes may be lost.
        if settlement == .acknowledge, try await !queue.capabilities()[.confirmedSettle].isAvailable {
            try await Task.sleep(for: .seconds(1))
        }
        await consumer.close()
        return settled
    }

    private func publish(_ messages: [Message], _ queue: any MessageQueue) async throws {
        for start in stride(from: 0, to: messages.count, by: Self.batch) {
            let part = Array(messages[start..<min(start + Self.batch, messages.count)])
            for outcome in try await queue.publish(part, to: Self.name) { if let error = outcome.error { throw error } }
        }
    }

    static func message(_ text: String, due: Message.Due? = nil) -> Message {
        // No two messages have the same headers, and one value is no text.
        var headers: MessageHeaders = ["colour": "blue", "origin": text]
        headers.set("raw", Array(text.utf8) + [255, 0])
        return Message(
            body: Array(text.utf8) + [0, 255],
            id: MessageID(text),
            key: "key-\(text)",
            headers: headers,
            contentType: "application/x-test",
            due: due
        )
    }
}
