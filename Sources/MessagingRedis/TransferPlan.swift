#if Redis
import Messaging

/// What moving a queue means on Redis, without I/O.
enum TransferPlan {
    /// Tells whether a page can begin behind this text: it is what a page of the same state ended with.
    static func isCursor(_ text: String, of state: StoredMessage.State) -> Bool {
        switch state {
        case .ready, .inFlight: text.first.map { $0 == "l" || $0 == "r" } == true && isEntry(text.dropFirst())
        case .waiting, .scheduled: isPlace(text[...])
        case .dead: isEntry(text[...])
        case .reserved: isReserved(text)
        }
    }

    private static func isEntry(_ text: Substring) -> Bool { EntryID(text.utf8) != nil }

    /// A score and a member.
    private static func isPlace(_ text: Substring) -> Bool {
        guard let end = text.firstIndex(of: ":") else { return false }
        return Int64(text[..<end]) != nil
    }

    private static func isReserved(_ text: String) -> Bool {
        if text.hasPrefix("d:") { return isEntry(text.dropFirst(2)) }
        if text.hasPrefix("s:") { return isPlace(text.dropFirst(2)) }
        let parts = text.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == "w", let size = Int(parts[1]), size > 0, size < parts[2].utf8.count else {
            return false
        }
        let rest = parts[2].dropFirst(size)
        return rest.first == ":" && isPlace(rest.dropFirst())
    }

    /// Why a message cannot be written in; `nil` when it can.
    static func problem(_ stored: StoredMessage, maxBodyBytes: Int, queue: String) -> QueueError? {
        if stored.isDead, stored.group == nil {
            return QueueError(.invalidArgument, "a dead letter must name its group", queue: queue)
        }
        if stored.id.isEmpty {
            return QueueError(
                .invalidArgument,
                "a message that is written in needs the id it was stored with",
                queue: queue
            )
        }
        return MessageRules.problem(stored.message, maxBodyBytes: maxBodyBytes, queue: queue)
    }

    /// Where a message is written to.
    static func kind(_ stored: StoredMessage) -> String {
        stored.group == nil ? "q" : stored.isDead ? "d" : "g"
    }

    /// What became of a message by the code that the script answered.
    static func outcome(_ code: String, _ stored: StoredMessage, _ queue: String) -> PublishOutcome {
        switch code {
        case "A": .accepted
        case "D": .duplicate
        case "G":
            .refused(
                QueueError(.notFound, "there is no group '\(stored.group ?? "")'; declare it first", queue: queue)
            )
        case "": .indeterminate(QueueError(.indeterminate, "Redis sent no outcome; write it in again", queue: queue))
        default: .refused(RedisErrors.error(code, queue: queue))
        }
    }
}

extension WireFormat {
    /// The fields beside the message that say how far it had come elsewhere.
    static func state(of stored: StoredMessage) -> [(String, [UInt8])] {
        var fields: [(String, [UInt8])] = []
        func add(_ name: String, _ text: String) { fields.append((name, Array(text.utf8))) }
        if let published = stored.publishedAt { add("mq-published", String(UnixTime.milliseconds(published))) }
        if let due = schedule(of: stored) { add("mq-due", String(due)) }
        if stored.redrives > 0 { add("mq-redrives", String(stored.redrives)) }
        if let history = HistoryCoder.encode(stored.history) { fields.append(("mq-history", history)) }
        guard TransferPlan.kind(stored) == "d" else {
            if stored.attempts > 0 { add("retry_count", String(stored.attempts)) }
            return fields
        }
        add("original_message_id", stored.message.id.rawValue)
        add("retry_count", String(max(0, stored.attempts - 1)))
        add("mq-attempts", String(stored.attempts))
        add("mq-group", stored.group ?? "")
        add("mq-reason", (stored.death?.reason ?? .rejected).rawValue)
        if let error = stored.death?.error { add("error", Failure.shortened(error)) }
        if let failedAt = stored.death?.failedAt { add("failed_at", TimestampCoder.encode(failedAt)) }
        return fields
    }

    /// When the message was published for; the time that a retry waits for is another one.
    private static func schedule(of stored: StoredMessage) -> Int64? {
        if stored.group == nil { return stored.due.map(UnixTime.milliseconds) }
        guard case .at(let date) = stored.message.due else { return nil }
        return UnixTime.milliseconds(date)
    }
}
#endif
