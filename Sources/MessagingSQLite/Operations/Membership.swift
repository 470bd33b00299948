#if SQLite
import Messaging

/// Which consumers a group has: each notes now and then that it is there.
enum Membership {
    /// How often a consumer notes that it is there, in milliseconds.
    static let interval: Int64 = 10_000
    /// How long a consumer counts after its last note, in milliseconds.
    static let presence: Int64 = 30_000
    /// After which time without a note a consumer is forgotten, in milliseconds; until then its name is known.
    static let memory: Int64 = 3_600_000 * 24
}

extension Transaction {
    func join(_ member: Member) throws -> GroupDefinition {
        let (_, group) = try group(member.group, of: member.queue)
        try prepared("INSERT INTO mq_consumer (token, group_id, name, seen_at) VALUES (?, ?, ?, ?)")
            .run(.integer(Int64(member.token)), .integer(group.id), .text(member.name), .integer(now))
        writer.seen[member.token] = now
        return group.definition
    }

    func noteSeen(_ member: Member, _ group: GroupInfo) throws {
        guard now - (writer.seen[member.token] ?? .min / 2) >= Membership.interval else { return }
        // A consumer that was away for long may have been forgotten.
        try prepared("INSERT OR REPLACE INTO mq_consumer (token, group_id, name, seen_at) VALUES (?, ?, ?, ?)")
            .run(.integer(Int64(member.token)), .integer(group.id), .text(member.name), .integer(now))
        writer.seen[member.token] = now
    }

    func leave(_ member: Member) throws {
        try prepared("DELETE FROM mq_consumer WHERE token = ?").run(.integer(Int64(member.token)))
        writer.seen[member.token] = nil
    }
}
#endif
