#if RabbitMQ
import Messaging

/// What a queue of this library is made of on the broker.
enum Topology {
    static let quorum: AMQPTable = [
        AMQPHeader("x-queue-type", .text("quorum")), AMQPHeader("x-overflow", .text("reject-publish")),
    ]
    /// More deliveries than anybody makes: listing counts as one, and RabbitMQ 4 drops at 20 unless told otherwise.
    private static let unlimited = AMQPHeader("x-delivery-limit", .number(1_000_000_000))
    /// How many more deliveries than its attempts the broker allows, for messages that kill their consumer before this
    /// library can count.
    private static let backstop = 20

    /// Only one consumer at a time sees what is in it, so that who walks through it sees all of it.
    static let walked: AMQPTable =
        quorum + [AMQPHeader("x-single-active-consumer", .bool(true)), unlimited]

    static let registry: [AMQPMethod] = [.queueDeclare(RabbitNames.registry, arguments: walked)]

    static func exchange(_ queue: String) -> [AMQPMethod] {
        let name = RabbitNames.exchange(queue)
        return [
            .exchangeDeclare(name, type: "topic"),
            .exchangeBind(name, source: DelayPlan.out, key: DelayPlan.binding(name)),
        ]
    }

    /// The parts of a group; the answer to the second one counts what is ready.
    static func group(_ queue: String, _ group: GroupDefinition) -> [AMQPMethod] {
        let (name, dead) = (RabbitNames.group(queue, group.name), RabbitNames.dead(queue, group.name))
        let limit = min(Int64(group.maxAttempts), 1_000_000_000) + Int64(backstop)
        return [
            .queueDeclare(dead, arguments: walked),
            .queueDeclare(
                name,
                arguments: quorum + [
                    AMQPHeader("x-dead-letter-exchange", .text("")),
                    AMQPHeader("x-dead-letter-routing-key", .text(dead)),
                    AMQPHeader("x-dead-letter-strategy", .text("at-least-once")),
                    AMQPHeader("x-delivery-limit", .number(limit)),
                ]
            ),
            .queueBind(name, exchange: DelayPlan.out, key: DelayPlan.binding(name)),
            .queueBind(name, exchange: RabbitNames.exchange(queue), key: "#"),
        ]
    }
}
#endif
