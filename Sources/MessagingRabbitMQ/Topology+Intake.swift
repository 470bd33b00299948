#if RabbitMQ
import Messaging

/// How a queue is closed for publications: without its bindings the broker sends them back.
///
/// What is due later comes by the exchange behind the levels. While the queue is open that leads to the queue's own
/// exchange, and while it is closed to the groups.
extension Topology {
    /// The exchange for what is due later.
    static func later(_ queue: String) -> [AMQPMethod] {
        let name = RabbitNames.later(queue)
        return [.exchangeDeclare(name, type: "fanout"), .exchangeBind(DelayPlan.top, source: name, key: "")]
    }

    /// Methods without those that let publications in.
    static func withoutIntake(_ methods: [AMQPMethod], of queue: String) -> [AMQPMethod] {
        let (name, later) = (RabbitNames.exchange(queue), RabbitNames.later(queue))
        return methods.filter { method in
            switch method {
            case .queueBind(_, let exchange, _): exchange != name
            case .exchangeBind(let target, let source, _): target != name && source != later
            default: true
            }
        }
    }

    /// What the groups of a closed queue are bound to instead.
    static func closed(_ queue: String, groups: [String]) -> [AMQPMethod] {
        groups.map { group in
            .queueBind(RabbitNames.group(queue, group), exchange: DelayPlan.out, key: binding(queue))
        }
    }

    private static func binding(_ queue: String) -> String { DelayPlan.binding(RabbitNames.exchange(queue)) }

    /// What closes a queue, or opens it again.
    ///
    /// What is due meanwhile must always have a way, so the new one is made before the old one is removed.
    static func intake(_ queue: String, groups: [String], isOpen: Bool) -> [AMQPMethod] {
        let (name, later) = (RabbitNames.exchange(queue), RabbitNames.later(queue))
        let names = groups.map { RabbitNames.group(queue, $0) }
        if isOpen {
            return names.map { .queueBind($0, exchange: name, key: "#") }
                + [.exchangeBind(name, source: DelayPlan.out, key: binding(queue))]
                + names.map { .queueUnbind($0, exchange: DelayPlan.out, key: binding(queue)) }
                + self.later(queue)
        }
        return [.exchangeDeclare(later, type: "fanout"), .exchangeUnbind(DelayPlan.top, source: later, key: "")]
            + closed(queue, groups: groups)
            + [.exchangeUnbind(name, source: DelayPlan.out, key: binding(queue))]
            + names.map { .queueUnbind($0, exchange: name, key: "#") }
    }
}
#endif
