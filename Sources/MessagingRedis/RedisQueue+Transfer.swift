#if Redis
import Messaging

extension RedisQueue: QueueTransfer {
    /// This client.
    public var transfer: (any QueueTransfer)? { self }
}

// The contract of each member stands in `QueueTransfer`.
// swift-format-ignore: AllPublicDeclarationsHaveDocumentation
extension RedisQueue {
    public func stored(
        in queue: String,
        state: StoredMessage.State,
        group: String?,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<StoredMessage> {
        let limit = try await checkedLimit(limit, queue)
        if group == nil, [.ready, .inFlight, .waiting].contains(state) {
            throw QueueError(.invalidArgument, "the state '\(state.rawValue)' needs a group", queue: queue)
        }
        let keys = RedisKeys(queue: queue)
        let call = ScriptCall(
            .stored,
            keys: [keys.log, keys.meta, keys.deadLetters, keys.due, keys.held, keys.reserved],
            [keys.groupPrefix, state.rawValue, group ?? "", after ?? "", String(limit)]
        )
        return try await link.run(call, queue: queue).read(queue) {
            (cursor) throws(RedisReplyCursor.Unexpected) in
            let count = try cursor.array() ?? 0
            let next = try cursor.string()
            var found: [StoredMessage] = []
            for _ in 1..<max(1, count) {
                let words = try cursor.array() ?? 0
                let id = try cursor.string()
                let state = StoredMessage.State(rawValue: try cursor.string()) ?? state
                let group = try cursor.string()
                let due = try cursor.integer()
                let attempts = try cursor.integer()
                let entry = try WireFormat.read(
                    &cursor,
                    fields: (words - 5) / 2,
                    id: EntryID(milliseconds: 0, sequence: 0)
                )
                found.append(Self.stored(id, state, group.isEmpty ? nil : group, due: due, attempts: attempts, entry))
            }
            return Page(found, next: next.isEmpty ? nil : next)
        }
    }

    private static func stored(
        _ id: String,
        _ state: StoredMessage.State,
        _ group: String?,
        due: Int64,
        attempts: Int64,
        _ entry: WireFormat.Entry
    ) -> StoredMessage {
        StoredMessage(
            id: id,
            state: state,
            group: group,
            message: entry.message,
            due: due < 0 ? nil : UnixTime.date(due),
            attempts: Int(clamping: attempts),
            redrives: entry.redrives,
            history: entry.history,
            publishedAt: entry.published.map(UnixTime.date),
            death: state == .dead
                ? StoredMessage.Death(
                    reason: entry.reason.map { DeadLetterReason(rawValue: $0) } ?? .rejected,
                    error: entry.error,
                    failedAt: entry.failedAt.flatMap(TimestampCoder.decode)
                ) : nil
        )
    }

    public func setIntake(isOpen: Bool, of queue: String) async throws(QueueError) {
        try await requireQueue(queue)
        let call = ScriptCall(.intake, keys: [RedisKeys(queue: queue).meta], [isOpen ? "0" : "1"])
        _ = try await link.run(call, queue: queue)
    }

    public func reserve(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await transfer("reserve", ids, of: queue)
    }

    public func putBack(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await transfer("put-back", ids, of: queue)
    }

    public func removeReserved(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        try await transfer("remove", ids, of: queue)
    }

    private func transfer(_ step: String, _ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        let keys = RedisKeys(queue: queue)
        return try await forEach(ids, of: queue) { page in
            ScriptCall(
                .transfer,
                keys: [keys.meta, keys.deadLetters, keys.due, keys.held, keys.reserved],
                [keys.groupPrefix, keys.wake, step] + page
            )
        }
    }

    public func restore(_ messages: [StoredMessage], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        try await requireQueue(queue)
        let limit = configuration.maxBodyBytes
        var outcomes: [PublishOutcome] = []
        for start in stride(from: 0, to: messages.count, by: 100) {
            let page = messages[start..<min(start + 100, messages.count)]
            let problems = page.map { stored in
                stored.state == .dead && stored.group == nil
                    ? QueueError(.invalidArgument, "a dead letter must name its group", queue: queue)
                    : MessageRules.problem(stored.message, maxBodyBytes: limit, queue: queue)
            }
            let written = zip(page, problems).filter { $1 == nil }.map(\.0)
            var answers =
                written.isEmpty ? [] : try await link.run(restoreCall(written, queue), queue: queue).strings[...]
            for (stored, problem) in zip(page, problems) {
                if let problem {
                    outcomes.append(.refused(problem))
                } else {
                    outcomes.append(Self.outcome(answers.popFirst() ?? "", stored, queue))
                }
            }
        }
        return outcomes
    }

    private func restoreCall(_ messages: [StoredMessage], _ queue: String) -> ScriptCall {
        let keys = RedisKeys(queue: queue)
        let states = messages.map { WireFormat.state(of: $0) }
        let words = zip(messages, states).reduce(2) { $0 + 5 + WireFormat.words($1.0.message) + 2 * $1.1.count }
        return ScriptCall(
            .restore,
            keys: [keys.log, keys.meta, keys.deadLetters, keys.due, keys.held, keys.restored],
            arguments: words
        ) { writer in
            writer.word(keys.groupPrefix)
            writer.word(keys.wake)
            for (stored, state) in zip(messages, states) {
                writer.word(stored.id)
                writer.word(stored.group == nil ? "q" : stored.death == nil ? "g" : "d")
                writer.word(stored.group ?? "")
                writer.word(stored.due.map { String(UnixTime.milliseconds($0)) } ?? "")
                writer.word(String(WireFormat.words(stored.message) + 2 * state.count))
                WireFormat.write(stored.message, &writer)
                for (name, value) in state {
                    writer.word(name)
                    writer.word(value)
                }
            }
        }
    }

    private static func outcome(_ code: String, _ stored: StoredMessage, _ queue: String) -> PublishOutcome {
        switch code {
        case "A": .accepted
        case "D": .duplicate
        case "G":
            .refused(
                QueueError(.notFound, "there is no group '\(stored.group ?? "")'; declare it first", queue: queue)
            )
        default: .refused(RedisErrors.error(code, queue: queue))
        }
    }

    public func forgetRestored(of queue: String) async throws(QueueError) {
        try await requireQueue(queue)
        _ = try await link.command(["UNLINK", RedisKeys(queue: queue).restored], queue: queue)
    }

    public func rememberedIDs(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<RememberedID> {
        _ = try await checkedLimit(limit, queue)
        let keys = RedisKeys(queue: queue)
        let call = ScriptCall(.remembered, keys: [keys.meta], [keys.dedupePrefix, after ?? "0"])
        return try await link.run(call, queue: queue).read(queue) { (cursor) throws(RedisReplyCursor.Unexpected) in
            let count = try cursor.array() ?? 0
            let next = try cursor.string()
            let now = try cursor.integer()
            var found: [RememberedID] = []
            for _ in 0..<max(0, (count - 2) / 2) {
                let id = MessageID(try cursor.string())
                found.append(RememberedID(id: id, until: UnixTime.date(now + (try cursor.integer()))))
            }
            return Page(found, next: next == "0" ? nil : next)
        }
    }

    public func remember(_ ids: [RememberedID], of queue: String) async throws(QueueError) {
        try await requireQueue(queue)
        let keys = RedisKeys(queue: queue)
        for page in stride(from: 0, to: ids.count, by: 500).map({ ids[$0..<min($0 + 500, ids.count)] }) {
            let words = page.flatMap { [$0.id.rawValue, String(UnixTime.milliseconds($0.until))] }
            _ = try await link.run(ScriptCall(.remember, keys: [keys.meta], [keys.dedupePrefix] + words), queue: queue)
        }
    }
}

extension WireFormat {
    /// The fields beside the message that say how far it had come elsewhere.
    static func state(of stored: StoredMessage) -> [(String, [UInt8])] {
        var fields: [(String, [UInt8])] = []
        func add(_ name: String, _ text: String) { fields.append((name, Array(text.utf8))) }
        if let published = stored.publishedAt { add("mq-published", String(UnixTime.milliseconds(published))) }
        if let due = stored.due { add("mq-due", String(UnixTime.milliseconds(due))) }
        if stored.redrives > 0 { add("mq-redrives", String(stored.redrives)) }
        if let history = HistoryCoder.encode(stored.history) { fields.append(("mq-history", history)) }
        guard let death = stored.death else {
            if stored.attempts > 0 { add("retry_count", String(stored.attempts)) }
            return fields
        }
        add("original_message_id", stored.message.id.rawValue)
        add("retry_count", String(max(0, stored.attempts - 1)))
        add("mq-attempts", String(stored.attempts))
        add("mq-group", stored.group ?? "")
        add("mq-reason", death.reason.rawValue)
        if let error = death.error { add("error", Failure.shortened(error)) }
        if let failedAt = death.failedAt { add("failed_at", TimestampCoder.encode(failedAt)) }
        return fields
    }
}
#endif
