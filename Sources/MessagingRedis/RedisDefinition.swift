#if Redis
import Messaging

/// The settings of a queue as the fields of its `meta` hash, and back.
enum RedisDefinition {
    /// The call that declares a queue; `again` is what a client makes anew by itself, which a deletion forbids.
    static func declareCall(_ definition: QueueDefinition, again: Bool = false) -> ScriptCall {
        let keys = RedisKeys(queue: definition.name)
        var words = [
            again ? "1" : "0", String(definition.dedupeWindow.milliseconds), String(definition.retention.milliseconds),
            String(definition.maxReady ?? 0), "unordered",
        ]
        for group in definition.groups {
            words += [
                group.name, String(group.lease.milliseconds), String(group.maxAttempts), position(group.start),
                keys.group(group.name).retry,
            ]
        }
        return ScriptCall(.declare, keys: [keys.log, keys.meta, keys.deadLetters], words)
    }

    /// The id after which a new group begins.
    private static func position(_ start: GroupDefinition.Start) -> String {
        switch start {
        case .earliest: return "0-0"
        case .latest: return "$"
        case .at(let date):
            let milliseconds = UnixTime.milliseconds(date)
            return milliseconds <= 0 ? "0-0" : "\(milliseconds - 1)-\(UInt64.max)"
        }
    }

    /// Reads the hash; `nil` when the queue was not declared.
    static func read(_ reply: RedisReply, queue: String) throws(QueueError) -> QueueDefinition? {
        let words = reply.strings
        var fields: [String: String] = [:]
        for index in stride(from: 0, to: words.count - 1, by: 2) { fields[words[index]] = words[index + 1] }
        guard let format = fields["format"] else { return nil }
        guard format == "1" else {
            throw QueueError(
                .topologyConflict,
                "the queue has the format \(format); this version understands 1, a newer one is needed",
                queue: queue
            )
        }
        var definition = QueueDefinition(queue)
        definition.dedupeWindow = duration(fields["dedupe_ms"])
        definition.retention = duration(fields["retention_ms"])
        definition.maxReady = fields["max_ready"].flatMap { Int($0) }.flatMap { $0 > 0 ? $0 : nil }
        for (name, value) in fields where name.hasPrefix("group:") && name.hasSuffix(":lease_ms") {
            let group = String(name.dropFirst("group:".count).dropLast(":lease_ms".count))
            definition.groups.append(
                GroupDefinition(
                    group,
                    lease: duration(value),
                    maxAttempts: fields["group:\(group):max_attempts"].flatMap { Int($0) } ?? 10
                )
            )
        }
        definition.groups.sort { $0.name < $1.name }
        return definition
    }

    private static func duration(_ text: String?) -> Duration { .milliseconds(text.flatMap { Int64($0) } ?? 0) }

    /// The refusal that the script reports, in words.
    static func refusal(_ reply: RedisReply, of definition: QueueDefinition) -> QueueError? {
        let queue = definition.name
        let words = reply.strings
        if words == ["DELETED"] { return QueueError(.topologyLost, "the queue has been deleted", queue: queue) }
        if words.count == 3, words[0] == "TRIMMED", let complete = Int64(words[2]) {
            guard case .at(let date)? = definition.groups.first(where: { $0.name == words[1] })?.start else {
                return nil
            }
            return .positionTrimmed(group: words[1], at: date, complete: UnixTime.date(complete), queue: queue)
        }
        guard words.count == 4, words[0] == "CONFLICT" else { return nil }
        return QueueError(
            .topologyConflict,
            "it exists with other settings: \(words[1]) is \(words[3]), wanted is \(words[2]); nothing was changed. "
                + "Declare it as it is, or use another name",
            queue: queue
        )
    }
}
#endif
