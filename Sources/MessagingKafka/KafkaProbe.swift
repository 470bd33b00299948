#if Kafka
import Messaging

/// What Kafka and this backend can do.
enum KafkaProbe {
    static let support: [Capabilities.Feature: Capabilities.Support] = [
        .persistence: .native,
        .delay: .emulated("a topic of delay levels per queue and group, moved on by the group's members"),
        .scheduleList: .unavailable("a log cannot be searched by time or id without reading all of it"),
        .deduplication: .unavailable("Kafka recognises only its own repetitions within one producer's session"),
        .idConflict: .unavailable("Kafka does not look at ids"),
        .fanOut: .native,
        .renewal: .emulated("the member that has the partition times leases; it renews them without the broker"),
        .fencedSettle: .emulated("the group's generation, and a commit where the broker may have given the member up"),
        .confirmedSettle: .unavailable(
            "commits follow a little later, many settlements in each; a client that dies before one repeats them"
        ),
        .keyedOrder: .emulated("a partition per lane, and one message of a key at a time within its member"),
        .deadLetters: .emulated("a topic per queue, and one that says which of them are gone"),
        .atomicMove: .unavailable("a copy is written before the original is finished; a crash between doubles it"),
        .replay: .native,
        .boundedQueue: .unavailable("Kafka bounds topics by time and size, and then drops what was not read"),
        .atMostOnce: .emulated("committed before the hand-over"),
        .transfer: .emulated("words in a log beside it say what is reserved, and the group's members keep to them"),
        .deletion: .emulated("the queue's topics are deleted, and the registry is told"),
    ]

    static func unsupported(_ feature: Capabilities.Feature, _ queue: String) -> QueueError {
        var reason = "the backend does not have it"
        if case .unavailable(let text)? = support[feature] { reason = text }
        return QueueError(.unsupported, "\(feature) is not available on kafka: \(reason)", queue: queue)
    }

    /// The decision, without I/O.
    static func judge(brokers: Int, configuration: KafkaConfiguration) -> Capabilities {
        let copies = configuration.replication ?? min(3, brokers)
        var findings: [String] = []
        if copies < 2 {
            findings.append(
                "new queues are on one broker, which confirms before its disk has them: a crash of the machine can lose "
                    + "what was confirmed"
            )
        }
        if configuration.username != nil, configuration.mechanism == .plain, configuration.tls == nil {
            findings.append("the password is sent in the clear; use kafkas:// or SCRAM")
        }
        return Capabilities(
            system: "kafka",
            version: "unknown (librdkafka \(KafkaClient.libraryVersion))",
            durability: copies >= 2 ? .replicated : .window(.seconds(30)),
            maxBodyBytes: configuration.maxBodyBytes,
            support: support,
            findings: findings
        )
    }

    /// On how many brokers a new topic is.
    static func replication(_ configuration: KafkaConfiguration, brokers: Int) -> Int {
        configuration.replication ?? max(1, min(3, brokers))
    }
}
#endif
