/// What the groups of a queue share.
struct QueueStore: Sendable {
    var log: MessageLog
    var dead = DeadLetterStore()
}
