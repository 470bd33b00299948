#if RabbitMQ
import Messaging

/// What the broker can do, without I/O.
enum RabbitProbe {
    static let noReplay = "a message leaves its group's queue when it is acknowledged, and no other copy is kept"
    static let noBound =
        "a quorum queue keeps a bound only roughly: it refuses late, and takes messages again below four fifths"
    static let noScheduleList =
        "all queues share the delay levels, and a look at them holds up what others have there; only a transfer looks"
    static let noDeduplication = "the broker does not know ids; skip repeated ones with a ProcessedStore"

    static func capabilities(product: String, version: String, maxBodyBytes: Int) -> Capabilities {
        var findings: [String] = []
        if product != "RabbitMQ" { findings.append("the server is \(product), not RabbitMQ; only RabbitMQ was tested") }
        if let problem = problem(version) { findings.append(problem) }
        // RabbitMQ 4 lowered what it takes by default.
        let limit = major(version).map { $0 >= 4 ? 16 << 20 : 128 << 20 } ?? 16 << 20
        if maxBodyBytes > limit {
            findings.append("max_body is \(maxBodyBytes), but RabbitMQ \(version) takes \(limit) unless told otherwise")
        }
        return Capabilities(
            system: "rabbitmq",
            version: version,
            // A confirmation means that a majority of the queue's members has it on disk; one member is a majority of one.
            durability: .disk,
            maxBodyBytes: min(maxBodyBytes, limit),
            support: support,
            findings: findings
        )
    }

    /// Why a version does not do; one that cannot be told is let through.
    static func problem(_ version: String) -> String? {
        let parts = version.split(separator: ".").prefix(2).compactMap { Int($0) }
        guard parts.count == 2, (parts[0], parts[1]) < (3, 10) else { return nil }
        return "RabbitMQ \(version) is too old; 3.10 or newer is needed"
    }

    private static func major(_ version: String) -> Int? { version.split(separator: ".").first.flatMap { Int($0) } }

    private static let support: [Capabilities.Feature: Capabilities.Support] = [
        .persistence: .native,
        .delay: .emulated("a walk down 28 shared queues that each hold a message for a power of two of 100 ms"),
        .scheduleList: .unavailable(noScheduleList),
        .deduplication: .unavailable(noDeduplication),
        .idConflict: .unavailable(noDeduplication),
        .fanOut: .native,
        .renewal: .emulated(
            "the consumer's client counts the lease and gives back what outlives it; the broker takes everything back "
                + "when the connection ends, or after its consumer_timeout"
        ),
        .fencedSettle: .emulated("a delivery belongs to its channel, and the client remembers what it gave back"),
        .confirmedSettle: .unavailable(
            "the broker does not answer acknowledgements; those of the moments before a connection breaks can be lost"
        ),
        .keyedOrder: .emulated(
            "lanes that the broker gives to one consumer at a time, fixed for the life of the queue; the consumer holds back the "
                + "messages of a key that waits"
        ),
        .deadLetters: .emulated("a queue for each group, written before the message is acknowledged"),
        .atomicMove: .unavailable(
            "a copy is written before the message is acknowledged; a crash in between leaves both"
        ),
        .replay: .unavailable(noReplay),
        .boundedQueue: .unavailable(noBound),
        .atMostOnce: .emulated("acknowledged before the hand-over"),
        .transfer: .emulated(
            "what waits and what is dead is taken out unacknowledged, as long as the connection lives; what is ready is taken "
                + "out by consuming it; what another client writes in again is there twice"
        ),
        .deletion: .emulated(
            "its parts are removed one after the other; what waits in the delay levels, which all queues share, is dropped "
                + "when its time comes, unless there is a queue of the same name again by then"
        ),
    ]
}
#endif
