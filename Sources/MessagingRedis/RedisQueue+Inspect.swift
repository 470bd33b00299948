#if Redis
import Messaging

extension RedisQueue {
    // MARK: - Figures

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func statistics(of queue: String) async throws(QueueError) -> QueueStatistics {
        try NameRules.validate(queue: queue)
        let keys = RedisKeys(queue: queue)
        let reply = try await link.run(
            ScriptCall(
                .statistics,
                keys: [keys.log, keys.meta, keys.deadLetters, keys.due, keys.reserved],
                [keys.groupPrefix]
            ),
            queue: queue
        )
        return try reply.read(queue) { (cursor) throws(RedisReplyCursor.Unexpected) in
            let count = try cursor.array() ?? 0
            let now = try cursor.integer()
            let stored = try cursor.integer()
            let scheduled = try cursor.integer()
            let dead = try cursor.integer()
            let arrived = try cursor.integer()
            var groups: [GroupStatistics] = []
            for _ in 5..<max(5, count) {
                _ = try cursor.array()
                let name = try cursor.string()
                let ready = try cursor.integer()
                let inFlight = try cursor.integer()
                let delayed = try cursor.integer()
                let died = try cursor.integer()
                let consumers = try cursor.integer()
                let oldest = try cursor.integer()
                groups.append(
                    GroupStatistics(
                        group: name,
                        ready: ready >= 0
                            ? .exact(Int(ready))
                            : .unavailable(
                                "Redis does not know the lag: another program moved the group or deleted entries"
                            ),
                        inFlight: .exact(Int(inFlight)),
                        delayed: .exact(Int(delayed)),
                        dead: .exact(Int(died)),
                        consumers: .exact(Int(consumers)),
                        oldestAge: oldest >= 0 ? .milliseconds(max(0, now - oldest)) : nil
                    )
                )
            }
            // The counts of several groups are kept beside the stream; another program may have changed it.
            if groups.count > 1, groups.reduce(0, { $0 + ($1.dead.value ?? 0) }) != Int(dead) {
                for index in groups.indices { groups[index].dead = .estimate(groups[index].dead.value ?? 0) }
            }
            return QueueStatistics(
                queue: queue,
                groups: groups,
                scheduled: .exact(Int(scheduled)),
                stored: .exact(Int(stored)),
                arrived: arrived >= 0 ? .exact(Int(arrived)) : .unavailable("the stream is gone")
            )
        }
    }

    // MARK: - Dead letters

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func deadLetters(
        of queue: String,
        matching filter: DeadLetterFilter,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<DeadLetter> {
        let limit = try await checkedLimit(limit, queue)
        let start = after.map { "(" + $0 } ?? "-"
        let reply = try await link.command(
            ["XRANGE", RedisKeys(queue: queue).deadLetters, start, "+", "COUNT", String(limit)],
            queue: queue
        )
        return try reply.read(queue) { (cursor) throws(RedisReplyCursor.Unexpected) in
            let count = try cursor.array() ?? 0
            var letters: [DeadLetter] = []
            var last: String?
            for _ in 0..<count {
                _ = try cursor.array()
                let text = try cursor.string()
                last = text
                let id = EntryID(text.utf8) ?? EntryID(milliseconds: 0, sequence: 0)
                let letter = Self.deadLetter(text, try WireFormat.read(&cursor, id: id), id, queue)
                if filter.matches(letter) { letters.append(letter) }
            }
            return Page(letters, next: count == limit ? last : nil)
        }
    }

    private static func deadLetter(
        _ text: String,
        _ entry: WireFormat.Entry,
        _ id: EntryID,
        _ queue: String
    ) -> DeadLetter {
        DeadLetter(
            id: text,
            message: entry.message,
            queue: queue,
            group: entry.group,
            reason: entry.reason.map { DeadLetterReason(rawValue: $0) } ?? .rejected,
            error: entry.error,
            attempts: entry.attempts ?? entry.previousAttempts,
            failedAt: entry.failedAt.flatMap(TimestampCoder.decode)
                ?? UnixTime.date(Int64(clamping: id.milliseconds)),
            publishedAt: entry.published.map(UnixTime.date),
            history: entry.history
        )
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func redrive(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        let keys = RedisKeys(queue: queue)
        return try await forEach(ids.filter(Self.isEntryID), of: queue) { page in
            ScriptCall(.redrive, keys: [keys.log, keys.meta, keys.deadLetters], [keys.groupPrefix] + page)
        }
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func discardDeadLetters(_ ids: [String], of queue: String) async throws(QueueError) -> [String] {
        let keys = RedisKeys(queue: queue)
        return try await forEach(ids.filter(Self.isEntryID), of: queue) { page in
            ScriptCall(.discard, keys: [keys.meta, keys.deadLetters], page)
        }
    }

    // MARK: - Scheduled messages

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func scheduled(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<ScheduledMessage> {
        let limit = try await checkedLimit(limit, queue)
        let keys = RedisKeys(queue: queue)
        let offset = after.flatMap { Int($0) } ?? 0
        let reply = try await link.run(
            ScriptCall(.scheduled, keys: [keys.meta, keys.due, keys.held], [String(offset), String(limit)]),
            queue: queue
        )
        return try reply.read(queue) { (cursor) throws(RedisReplyCursor.Unexpected) in
            let count = try cursor.array() ?? 0
            var messages: [ScheduledMessage] = []
            for _ in 0..<count {
                let words = try cursor.array() ?? 0
                let due = try cursor.integer()
                let entry = try WireFormat.read(
                    &cursor,
                    fields: (words - 1) / 2,
                    id: EntryID(milliseconds: 0, sequence: 0)
                )
                messages.append(ScheduledMessage(message: entry.message, due: UnixTime.date(due)))
            }
            return Page(messages, next: count == limit ? String(offset + limit) : nil)
        }
    }

    // swift-format-ignore: AllPublicDeclarationsHaveDocumentation
    public func cancelScheduled(_ ids: [MessageID], of queue: String) async throws(QueueError) -> [MessageID] {
        let keys = RedisKeys(queue: queue)
        return try await forEach(ids.map(\.rawValue), of: queue) { page in
            ScriptCall(.cancel, keys: [keys.meta, keys.due, keys.held] + keys.ids, page)
        }.map { MessageID($0) }
    }

    // MARK: - Common

    /// An id of another form can be no dead letter's, and Redis would refuse it.
    private static func isEntryID(_ id: String) -> Bool { EntryID(id.utf8) != nil }

    func checkedLimit(_ limit: Int, _ queue: String) async throws(QueueError) -> Int {
        guard 1...1000 ~= limit else {
            throw QueueError(.invalidArgument, "a page has 1 to 1000 elements, not \(limit)", queue: queue)
        }
        try await requireQueue(queue)
        return limit
    }

    func requireQueue(_ queue: String) async throws(QueueError) {
        try NameRules.validate(queue: queue)
        try checkOpen()
        let exists = try await link.command(["HEXISTS", RedisKeys(queue: queue).meta, "format"], queue: queue)
        if exists.integer != 1 {
            throw QueueError(.notFound, "there is no such queue; declare it first", queue: queue)
        }
    }

    /// Runs a script over ids in pages, and returns those it answered 1 for.
    func forEach(
        _ ids: [String],
        of queue: String,
        _ call: ([String]) -> ScriptCall
    ) async throws(QueueError) -> [String] {
        try await requireQueue(queue)
        var done: [String] = []
        for start in stride(from: 0, to: ids.count, by: 100) {
            let page = Array(ids[start..<min(start + 100, ids.count)])
            let answers = try await link.run(call(page), queue: queue).integers
            done += zip(page, answers).filter { $1 == 1 }.map(\.0)
        }
        return done
    }
}
#endif
