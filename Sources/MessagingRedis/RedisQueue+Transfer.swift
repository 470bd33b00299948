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
        let needsGroup = [.ready, .inFlight, .waiting].contains(state)
        if group == nil, needsGroup {
            throw QueueError(.invalidArgument, "the state '\(state.rawValue)' needs a group", queue: queue)
        }
        if let after, !TransferPlan.isCursor(after, of: state) {
            throw QueueError(.invalidArgument, "'after' is not from a page before", queue: queue)
        }
        let keys = RedisKeys(queue: queue)
        let call = ScriptCall(
            .stored,
            keys: [keys.log, keys.meta, keys.deadLetters, keys.due, keys.held, keys.reserved, keys.reservedIDs],
            [keys.groupPrefix, state.rawValue, needsGroup ? group ?? "" : "", after ?? "", String(limit)]
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
                keys: [keys.meta, keys.deadLetters, keys.due, keys.held, keys.reserved, keys.reservedIDs],
                [keys.groupPrefix, keys.wake, step] + page
            )
        }
    }

    public func restore(_ messages: [StoredMessage], to queue: String) async throws(QueueError) -> [PublishOutcome] {
        try await requireQueue(queue)
        let limit = configuration.maxBodyBytes
        var outcomes = messages.map { stored in
            TransferPlan.problem(stored, maxBodyBytes: limit, queue: queue).map { PublishOutcome.refused($0) }
        }
        let sound = outcomes.indices.filter { outcomes[$0] == nil }
        var window: [[Int]] = []
        var bytes = 0
        var isFirst = true
        for chunk in Self.chunks(sound.map { messages[$0].message }, first: Self.firstRestored) {
            window.append(Array(sound[chunk]))
            bytes += sound[chunk].reduce(0) { $0 + messages[$1].message.body.count }
            guard bytes >= Self.restoredBytes || chunk.upperBound == sound.count else { continue }
            try await restore(messages, window, to: queue, &outcomes, mayThrow: isFirst)
            (window, bytes, isFirst) = ([], 0, false)
        }
        return outcomes.map { $0 ?? .indeterminate(QueueError(.indeterminate, "Redis sent no outcome", queue: queue)) }
    }

    /// How many bytes leave together at least; the deadline is that of one command, and the line may be slow.
    private static let restoredBytes = 1 << 20
    /// How many messages the first call has, so that Redis begins while the others are written.
    private static let firstRestored = 32

    /// Writes messages in with calls that leave together.
    ///
    /// A failure before anything was sent is thrown while nothing has been written at all.
    private func restore(
        _ messages: [StoredMessage],
        _ chunks: [[Int]],
        to queue: String,
        _ outcomes: inout [PublishOutcome?],
        mayThrow: Bool
    ) async throws(QueueError) {
        do throws(QueueError) {
            let calls = chunks.map { indices in restoreCall(indices.map { messages[$0] }, queue) }
            let replies = try await link.run(calls, overlaps: true)
            let isFailure = replies.allSatisfy { $0.error != nil }
            for (indices, reply) in zip(chunks, replies) {
                if let error = reply.error {
                    let error = RedisErrors.error(error, queue: queue)
                    if mayThrow, isFailure { throw error }
                    for index in indices { outcomes[index] = .refused(error) }
                } else {
                    let codes = reply.strings
                    if codes.contains(where: RedisLink.isFromReplica) { link.current?.close() }
                    for (index, code) in zip(indices, codes) {
                        outcomes[index] = TransferPlan.outcome(code, messages[index], queue)
                    }
                }
            }
        } catch  where error.code == .indeterminate {
            for index in chunks.joined() { outcomes[index] = .indeterminate(error.about(queue)) }
        } catch {
            if mayThrow { throw error.about(queue) }
            for index in chunks.joined() { outcomes[index] = .refused(error.about(queue)) }
        }
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
                writer.word(TransferPlan.kind(stored))
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

    public func forgetRestored(of queue: String) async throws(QueueError) {
        try await requireQueue(queue)
        _ = try await link.command(["UNLINK", RedisKeys(queue: queue).restored], queue: queue)
    }

    public func rememberedIDs(
        of queue: String,
        after: String?,
        limit: Int
    ) async throws(QueueError) -> Page<RememberedID> {
        let limit = try await checkedLimit(limit, queue)
        // One hash after the other; a page's end is which one, and the server's cursor in it.
        let place = (after ?? "0-0").split(separator: "-", omittingEmptySubsequences: false)
        let keys = RedisKeys(queue: queue)
        guard place.count == 2, let hash = Int(place[0]), keys.ids.indices.contains(hash), UInt64(place[1]) != nil
        else { throw QueueError(.invalidArgument, "'after' is not from a page before", queue: queue) }
        let call = ScriptCall(.remembered, keys: [keys.meta, keys.ids[hash]], [String(place[1]), String(limit)])
        return try await link.run(call, queue: queue).read(queue) { (cursor) throws(RedisReplyCursor.Unexpected) in
            let count = try cursor.array() ?? 0
            let next = try cursor.string()
            let now = try cursor.integer()
            var found: [RememberedID] = []
            for _ in 0..<max(0, (count - 2) / 2) {
                let id = MessageID(try cursor.string())
                found.append(RememberedID(id: id, until: UnixTime.date(now + (try cursor.integer()))))
            }
            if next != "0" { return Page(found, next: "\(hash)-\(next)") }
            return Page(found, next: hash + 1 < keys.ids.count ? "\(hash + 1)-0" : nil)
        }
    }

    public func remember(_ ids: [RememberedID], of queue: String) async throws(QueueError) {
        try await requireQueue(queue)
        let keys = RedisKeys(queue: queue)
        for page in stride(from: 0, to: ids.count, by: 500).map({ ids[$0..<min($0 + 500, ids.count)] }) {
            let words = page.flatMap { [$0.id.rawValue, String(UnixTime.milliseconds($0.until))] }
            _ = try await link.run(ScriptCall(.remember, keys: [keys.meta] + keys.ids, words), queue: queue)
        }
    }
}
#endif
