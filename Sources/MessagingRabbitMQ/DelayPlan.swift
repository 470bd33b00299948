#if RabbitMQ
import Messaging

/// Delays as a walk down levels, each of which holds a message for a power of two of the unit.
///
/// Level n is a topic exchange and a queue. The n-th word of the routing key says whether the message waits there or goes
/// on to the next lower level at once; behind the last level it goes where the rest of the key says. Queues of one level
/// hold all messages equally long, so none waits behind another.
enum DelayPlan {
    /// How long the lowest level holds a message.
    static let unit: Int64 = 100
    static let levels = 28
    /// Longer delays walk the levels again.
    static let longest = unit * ((1 << Int64(levels)) - 1)

    static let top = name(levels - 1)
    static let out = "mq.delay@100ms@out"

    static func name(_ level: Int) -> String { "mq.delay@100ms@\(level)" }

    /// What the first walk takes, and what is left for further ones.
    static func split(_ milliseconds: Int64) -> (now: Int64, left: Int64) {
        milliseconds <= longest ? (milliseconds, 0) : (longest, milliseconds - longest)
    }

    /// The routing key for a delay, rounded up so that nothing comes early.
    static func key(_ milliseconds: Int64, to destination: String) -> String {
        let units = min(max(0, (milliseconds + unit - 1) / unit), longest / unit)
        var key = ""
        for level in (0..<levels).reversed() { key += (units >> Int64(level)) & 1 == 1 ? "1." : "0." }
        return key + destination
    }

    /// What has to be bound to `out` so that a destination gets its messages.
    static func binding(_ destination: String) -> String { String(repeating: "*.", count: levels) + destination }

    /// What makes the levels; the top comes last, so that where it is all are.
    static func topology() -> [AMQPMethod] {
        var methods: [AMQPMethod] = [.exchangeDeclare(out, type: "topic")]
        for level in 0..<levels {
            let next = level == 0 ? out : name(level - 1)
            let skipped = String(repeating: "*.", count: levels - 1 - level)
            methods += [
                .exchangeDeclare(name(level), type: "topic"),
                .queueDeclare(
                    name(level),
                    arguments: Topology.quorum + [
                        AMQPHeader("x-message-ttl", .number(unit << Int64(level))),
                        AMQPHeader("x-dead-letter-exchange", .text(next)),
                        AMQPHeader("x-dead-letter-strategy", .text("at-least-once")),
                    ]
                ),
                .queueBind(name(level), exchange: name(level), key: skipped + "1.#"),
                .exchangeBind(next, source: name(level), key: skipped + "0.#"),
            ]
        }
        return methods
    }
}
#endif
