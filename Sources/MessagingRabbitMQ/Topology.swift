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

    /// The exchanges of a queue; a keyed one has one for each lane, and what other programs publish to the queue's own goes
    /// to the first lane.
    static func exchange(_ queue: String, lanes: Int) -> [AMQPMethod] {
        let names = [RabbitNames.exchange(queue)] + (0..<lanes).map { RabbitNames.exchange(queue, lane: $0) }
        let all = names.flatMap { name -> [AMQPMethod] in
            [
                // Not a topic exchange: looking up its patterns takes a quarter of the broker's throughput.
                .exchangeDeclare(name, type: "fanout"),
                .exchangeBind(name, source: DelayPlan.out, key: DelayPlan.binding(name)),
            ]
        }
        return lanes == 0 ? all : all + [.exchangeBind(names[1], source: names[0], key: "#")]
    }

    /// What removes a queue.
    ///
    /// Removing what is not there is no error. The exchange comes after the groups: while it is there, publishers get their messages back; after it they lose their
    /// channel.
    static func removal(_ queue: String, groups: [String], lanes: Int) -> [AMQPMethod] {
        groups.flatMap { group in work(queue, group, lanes: lanes).map { .queueDelete($0) } }
            + groups.map { .queueDelete(RabbitNames.dead(queue, $0)) }
            + (lanes == 0
                ? []
                : groups.flatMap { group in
                    [RabbitNames.notes(queue, group), RabbitNames.members(queue, group)].map { .queueDelete($0) }
                })
            + [.exchangeDelete(RabbitNames.exchange(queue))]
            + [.exchangeDelete(RabbitNames.later(queue))]
            + (0..<lanes).map { .exchangeDelete(RabbitNames.exchange(queue, lane: $0)) }
    }

    /// The queues that a group's messages wait in.
    static func work(_ queue: String, _ group: String, lanes: Int) -> [String] {
        lanes == 0
            ? [RabbitNames.group(queue, group)] : (0..<lanes).map { RabbitNames.group(queue, group, lane: $0) }
    }

    /// The parts of a group of a keyed queue: for each lane a queue that one consumer at a time gets messages of.
    ///
    /// The answers to the first ones count what is ready.
    static func keyed(_ queue: String, _ group: GroupDefinition, lanes: Int) -> [AMQPMethod] {
        let names = work(queue, group.name, lanes: lanes)
        let dead = RabbitNames.dead(queue, group.name)
        // A lane that changes hands counts as a delivery of what is on its way, so the broker must not give up on it.
        let arguments = walked + deadLettering(to: dead)
        return names.map { .queueDeclare($0, arguments: arguments) }
            + [
                .queueDeclare(dead, arguments: walked),
                .queueDeclare(RabbitNames.notes(queue, group.name), arguments: walked),
                // Nothing is ever in it. Of a lane the broker tells only the consumer that has it.
                .queueDeclare(RabbitNames.members(queue, group.name), arguments: quorum),
            ]
            + names.enumerated().flatMap { lane, name -> [AMQPMethod] in
                [
                    .queueBind(name, exchange: DelayPlan.out, key: DelayPlan.binding(name)),
                    .queueBind(name, exchange: RabbitNames.exchange(queue, lane: lane), key: "#"),
                ]
            }
    }

    private static func deadLettering(to dead: String) -> AMQPTable {
        [
            AMQPHeader("x-dead-letter-exchange", .text("")),
            AMQPHeader("x-dead-letter-routing-key", .text(dead)),
            AMQPHeader("x-dead-letter-strategy", .text("at-least-once")),
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
                arguments: quorum + deadLettering(to: dead) + [AMQPHeader("x-delivery-limit", .number(limit))]
            ),
            .queueBind(name, exchange: DelayPlan.out, key: DelayPlan.binding(name)),
            .queueBind(name, exchange: RabbitNames.exchange(queue), key: "#"),
        ]
    }
}
#endif
