#if Redis
/// The keys of one queue.
///
/// `{queue}:…` hashes to the slot of the key `queue` itself.
struct RedisKeys: Sendable, Hashable {
    let queue: String

    /// The stream that producers add to; its key is the queue's name.
    var log: String { queue }
    /// The dead letters of all groups.
    var deadLetters: String { queue + ":dlq" }
    var meta: String { "{\(queue)}:meta" }
    /// Scheduled messages: a sorted set by due time, and their fields.
    var due: String { "{\(queue)}:due" }
    var held: String { "{\(queue)}:held" }
    /// Dead letters that are on their way elsewhere.
    var reserved: String { "{\(queue)}:reserved" }
    /// Their ids, in an order.
    var reservedIDs: String { "{\(queue)}:reserved:ids" }
    /// The ids of what was restored.
    var restored: String { "{\(queue)}:restored" }
    /// Where the due time of a new earliest message is announced.
    var wake: String { "{\(queue)}:wake" }
    /// The ids that publishing recognises: two hashes, each for every other period of one dedupe window.
    var ids: [String] { ["{\(queue)}:ids:0", "{\(queue)}:ids:1"] }
    var groupPrefix: String { "{\(queue)}:g:" }

    func group(_ name: String) -> Group { Group(prefix: groupPrefix + name) }

    /// The keys that belong to one group alone.
    struct Group: Sendable, Hashable {
        let prefix: String
        /// What was released, retried or taken over: a stream with this one group.
        var retry: String { prefix + ":retry" }
        /// Retries whose time has not come.
        var due: String { prefix + ":due" }
        var held: String { prefix + ":held" }
        /// When each consumer was last known to be alive.
        var seen: String { prefix + ":seen" }
    }

    /// The set of all declared queues.
    static let registry = "mq:queues"
}
#endif
